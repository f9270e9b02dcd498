package deptest

// reasons are what a room may import, each with why. Keys are rooms of the house by their path below the module, or other
// modules by a path that they or their packages begin with. The standard library is free, except in pure rooms.
type reasons map[string]string

// Reasons that many rooms share.
const (
	nouns    = "speaks in the nouns that all rooms agree on"
	ids      = "the identities of the nouns"
	verbs    = "the table of verbs: their classes, targets and limits"
	contract = "the adapters' contract, which knows no product"
	settings = "settings and how they inherit"
	events   = "reads and writes OCSF events"
)

// uuid is a module in almost every room.
const uuid = "github.com/google/uuid"

// pure are the rooms that workflows may call: no clock, no randomness, nothing outside of themselves.
var pure = []string{"internal/threat", "internal/verb", "internal/guard", "internal/tenant", "internal/plan", "internal/schedule",
	"internal/cacao", "internal/message"}

// product is what every folder below adapters may import; a folder of its own name in rooms adds to it.
var product = reasons{
	"adapters":        contract,
	"internal/threat": nouns,
	"internal/verb":   verbs,
	"internal/ocsf":   events,
	uuid:              ids,
}

// rooms is the house: every folder with Go in it, and what it may import.
var rooms = map[string]reasons{
	// Pure.
	"internal/threat":   {uuid: ids},
	"internal/verb":     {"internal/threat": nouns},
	"internal/tenant":   {"internal/threat": nouns},
	"internal/schedule": {"internal/threat": nouns},
	"internal/cacao":    {"internal/threat": nouns, "internal/verb": verbs, uuid: ids},
	"internal/guard":    {"internal/threat": nouns, "internal/verb": verbs, "internal/tenant": settings},
	"internal/plan":     {"internal/threat": nouns, "internal/verb": verbs, "internal/tenant": settings, uuid: ids},
	"internal/message": {"internal/threat": nouns, "internal/verb": verbs, "internal/tenant": settings, "internal/schedule": "people's wall clocks",
		uuid: ids},

	// Workflows, and what they name.
	"workflows": {
		"activities":         "names and types of activities",
		"internal/threat":    nouns,
		"internal/plan":      "pure",
		"internal/schedule":  "pure",
		uuid:                 ids,
		"go.temporal.io/sdk": "the workflow API; the client in it is refused below",
	},
	"activities": {
		"adapters":           "speaks to a device through the contract; no product is reached by it",
		"internal/threat":    nouns,
		"internal/verb":      verbs,
		"internal/plan":      "which connections act on what",
		"internal/guard":     "asks again about what stands when a list changes",
		"internal/message":   "what people read",
		"internal/tenant":    settings,
		"internal/schedule":  "when people are on call",
		uuid:                 ids,
		"go.temporal.io/sdk": "heartbeats and typed failures of activities",
	},

	// Policy.
	"policies": {
		"internal/threat":                       "the five questions and the rules' labels",
		uuid:                                    ids,
		"github.com/open-policy-agent/opa":      "the only room that holds OPA",
		"github.com/fsnotify/fsnotify":          "a directory of rules is reloaded when it changes",
		"github.com/santhosh-tekuri/jsonschema": "schemas of questions and answers are checked",
	},
	"internal/decide": {
		"policies":        "asks the five questions",
		"internal/guard":  "people see a guard's refusal before they are asked",
		"internal/tenant": settings, "internal/threat": nouns, "internal/verb": verbs, "internal/schedule": "business hours", uuid: ids,
	},

	// Adapters.
	"adapters": {"internal/threat": nouns, "internal/verb": verbs, uuid: ids},
	"adapters/adaptertest": {"adapters": "the contract that it tests", "internal/threat": nouns, "internal/verb": verbs, uuid: ids,
		"pgregory.net/rapid": "random sequences of orders"},
	"adapters/nftables/nftsim": {"adapters/nftables": "stands in for its runner in tests", "internal/threat": nouns},
	"adapters/smtp":            {"github.com/wneessen/go-mail": "speaks SMTP", "internal/message": "what people read"},
	"adapters/pagerduty":       {"github.com/PagerDuty/go-pagerduty": "its types of events and webhooks"},

	// Data and its doors.
	"internal/ocsf":   {"internal/threat": nouns, uuid: ids},
	"internal/secret": {"internal/threat": "kinds of faults", "github.com/gofrs/flock": "two first starts make one key"},
	"internal/store": {
		"internal/threat": nouns, uuid: ids,
		"internal/guard":           "Claim asks the guards under the tenant's lock",
		"internal/tenant":          settings,
		"internal/verb":            "classes for budgets",
		"internal/plan":            "the rounds of a request",
		"internal/secret":          "seals payloads and credentials",
		"github.com/gowebpki/jcs":  "the digest of a request is over its canonical JSON (RFC 8785)",
		"github.com/jackc/pgx/v5":  "PostgreSQL",
		"modernc.org/sqlite":       "SQLite without cgo",
		"github.com/pressly/goose": "migrations",
	},
	"internal/store/storetest": {"internal/store": "opens it for tests", "internal/secret": "a keyring in memory", "internal/threat": nouns,
		"internal/tenant": settings, uuid: ids, "github.com/jackc/pgx/v5": "makes and drops test databases"},
	"internal/ingest":   {"adapters": "decoders", "internal/ocsf": events, "internal/threat": nouns, "internal/tenant": settings, uuid: ids},
	"internal/feed":     {"internal/threat": nouns, uuid: ids},
	"internal/access":   {"internal/threat": nouns, uuid: ids},
	"internal/approval": {"internal/threat": nouns, "internal/verb": verbs, "internal/tenant": settings, uuid: ids},
	"internal/report":   {"internal/threat": nouns, "internal/verb": verbs, uuid: ids},

	// Temporal.
	"internal/engine": {
		"internal/threat": "kinds of faults", uuid: ids,
		"workflows":                  "registers them",
		"activities":                 "registers them",
		"go.temporal.io/sdk":         "client and worker",
		"go.temporal.io/api":         "namespaces and raw calls",
		"go.temporal.io/server":      "the only room that links the server",
		"google.golang.org/protobuf": "payloads",
		"google.golang.org/grpc":     "credentials and errors of the frontend",
		"github.com/jackc/pgx/v5":    "makes the two sibling databases, under an advisory lock",
		"modernc.org/sqlite":         "the driver of the embedded server's file",
		"go.opentelemetry.io/otel":   "traces through workflows",
		"go.uber.org/zap":            "the server's log goes into ours",
	},
	"internal/dispatch": {
		"activities":      "names of workflows, signals and activities",
		"workflows":       "names of workflows",
		"internal/threat": nouns, uuid: ids,
		"go.temporal.io/sdk": "starts and nudges",
		"go.temporal.io/api": "lists open executions for the sweep",
		"golang.org/x/sync":  "bounded in flight",
	},

	// Surfaces.
	"internal/api": {
		"internal/api/wire":                   "the bodies",
		"internal/approval":                   "the door",
		"internal/ingest":                     "receipts and limits of what comes in",
		"internal/plan":                       "what a case would have done, through what",
		"internal/tenant":                     settings,
		"internal/threat":                     nouns,
		"internal/verb":                       verbs,
		"adapters":                            "what adapters can do, for GET /v1/adapters",
		"policies":                            "the status and trials of policy",
		uuid:                                  ids,
		"github.com/danielgtaylor/huma/v2":    "REST and its OpenAPI description",
		"github.com/prometheus/client_golang": "counts requests",
		"go.opentelemetry.io/contrib":         "traces requests",
		"go.opentelemetry.io/otel":            "traces requests",
	},
	"internal/api/wire": {"internal/tenant": settings, "internal/threat": nouns, "internal/verb": verbs, uuid: ids},
	"internal/api/client": {"internal/api/wire": "the bodies", "internal/ingest": "receipts", "internal/tenant": settings,
		"internal/threat": nouns, "internal/verb": verbs, uuid: ids},
	"internal/api/apitest": {
		"internal/api": "what it opens for tests", "internal/api/wire": "the bodies", "internal/api/client": "the client", uuid: ids,
		"adapters": contract, "policies": "real rules", "internal/access": "real rights", "internal/approval": "the real door",
		"internal/decide": "real decisions", "internal/ingest": "the real inbox", "internal/plan": "real plans",
		"internal/store": "the real store", "internal/store/storetest": "opens it", "internal/secret": "a keyring in memory",
		"internal/tenant": settings, "internal/threat": nouns, "internal/verb": verbs,
	},
	"internal/console": {
		"internal/approval": "the door", "internal/tenant": settings, "internal/threat": nouns, "internal/verb": verbs,
		"internal/message": "the words for people", uuid: ids,
	},

	// The lab, telemetry, and what wires everything.
	"internal/lab": {
		"adapters":        "the simulated pager is a channel like any other",
		"internal/tenant": settings, "internal/threat": nouns, uuid: ids,
	},
	"internal/telemetry": {
		"adapters":                            "counts what reads of devices show",
		"internal/threat":                     nouns,
		"github.com/prometheus/client_golang": "the metrics page",
		"go.opentelemetry.io/otel":            "traces",
		"go.opentelemetry.io/contrib":         "traces of HTTP",
		"go.temporal.io/sdk":                  "traces and metrics through workflows",
		uuid:                                  ids,
	},
	"internal/app": {everything: "wires everything, and is the only importer of the adapters' folders"},
	"cmd/firebreak": {
		"internal/telemetry":    "the log that serve writes",
		"cmd/firebreak/command": "the verbs",
		"internal/app":          "serve",
		"internal/api/client":   "every other verb goes over HTTP",
		"internal/threat":       "kinds of faults become exit codes",
		"github.com/spf13":      "cobra",
	},
	"cmd/firebreak/command": {
		"internal/app":        "serve",
		"internal/api/client": "every other verb goes over HTTP",
		"internal/api/wire":   "the bodies",
		"internal/ingest":     "receipts",
		"internal/store":      "journal verify works offline, on the store's own file",
		"internal/secret":     "the keyring that an offline check needs",
		"internal/tenant":     settings, "internal/threat": nouns, "internal/verb": verbs, uuid: ids,
		"policies":         "policy test and lint work offline",
		"github.com/spf13": "cobra",
		"golang.org/x":     "the terminal: its width, and words typed unseen",
	},

	// Tests of the whole.
	"internal/e2e":     {everything: "drives the built program and real parts; its build tag keeps it out of everything else"},
	"internal/deptest": {},
	"bench":            {everything: "measures rooms beside their floors"},
	"bench/figure":     {},
}

// everything stands for whatever is in the house and in go.mod.
const everything = "*"

// forTests are the rooms that exist for tests. What ships imports none of them.
var forTests = []string{"adapters/adaptertest", "adapters/nftables/nftsim", "internal/store/storetest", "internal/api/apitest",
	"internal/e2e", "internal/deptest", "bench", "bench/figure"}

// holders say which rooms alone may import something directly, whatever their table says.
var holders = []struct {
	what  string
	rooms []string
	why   string
}{
	{"go.temporal.io/sdk/client", []string{"internal/engine", "internal/dispatch", "internal/app", "internal/telemetry"},
		"only engine, dispatch and app hold a Temporal client"},
	{"go.temporal.io/server", []string{"internal/engine"}, "the server is linked in one room, so that all others build fast"},
	{"github.com/open-policy-agent/opa", []string{"policies"}, "policy is asked in one room"},
	{"modernc.org/sqlite", []string{"internal/store", "internal/engine"}, "SQL is spoken by the store, and by Temporal's own files"},
	{"github.com/jackc/pgx/v5", []string{"internal/store", "internal/store/storetest", "internal/engine", "internal/e2e"},
		"SQL is spoken by the store, and by Temporal's own databases"},
	{"database/sql", []string{"internal/store", "internal/store/storetest", "internal/engine", "internal/e2e"},
		"SQL is spoken by the store, and by Temporal's own databases"},
}

// unreached are what nothing that workflows reach may import.
var unreached = []string{"policies", "internal/store", "internal/decide", "internal/engine", "internal/dispatch", "internal/app", "internal/api",
	"internal/console", "internal/access", "internal/approval", "internal/ingest", "internal/lab", "internal/secret",
	"github.com/open-policy-agent", "modernc.org/sqlite", "github.com/jackc/pgx", "github.com/pressly/goose", "database/sql",
	"go.temporal.io/server", "go.temporal.io/sdk/client", "net/http/httptest"}
