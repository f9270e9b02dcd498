package decide

import (
	"time"

	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// The structs of this file are the questions' inputs. Their shape is that of policies/schema/<question>.input.json; a test
// holds the two together. Every property is always there.

type tenantFacts struct {
	ID            string      `json:"id"`
	Mode          threat.Mode `json:"mode"`
	Eradicate     bool        `json:"eradicate"`
	Stopped       bool        `json:"stopped"`
	Simulated     bool        `json:"simulated"`
	BusinessHours bool        `json:"business_hours"`
}

type observableFacts struct {
	Kind    threat.ObservableKind `json:"kind"`
	Value   string                `json:"value"`
	Bearing threat.Bearing        `json:"bearing"`
	Public  bool                  `json:"public"`
}

type detectionFacts struct {
	ID         string            `json:"id"`
	Product    string            `json:"product"`
	Sensor     string            `json:"sensor"`
	UID        string            `json:"uid"`
	Title      string            `json:"title"`
	Severity   threat.Severity   `json:"severity"`
	Techniques []string          `json:"techniques"`
	Categories []string          `json:"categories"`
	Clock      threat.ClockMark  `json:"clock"`
	HappenedAt time.Time         `json:"happened_at"`
	Observed   []observableFacts `json:"observables"`
	LeftOut    int               `json:"observables_left_out"`
}

type triageTenant struct {
	ID            string `json:"id"`
	Simulated     bool   `json:"simulated"`
	BusinessHours bool   `json:"business_hours"`
}

type triageInput struct {
	At        time.Time      `json:"at"`
	Detection detectionFacts `json:"detection"`
	Tenant    triageTenant   `json:"tenant"`
}

type methodFacts struct {
	Channel      string `json:"channel"`
	DelaySeconds int    `json:"delay_seconds"`
	Verified     bool   `json:"verified"`
	Compromised  bool   `json:"compromised"`
}

type contactFacts struct {
	PersonID string        `json:"person_id"`
	Position int           `json:"position"`
	Language string        `json:"language"`
	Disabled bool          `json:"disabled"`
	Subject  bool          `json:"subject"`
	Methods  []methodFacts `json:"methods"`
}

type responseFacts struct {
	ID       string               `json:"id"`
	Verb     string               `json:"verb"`
	State    threat.ResponseState `json:"state"`
	Required bool                 `json:"required"`
}

type escalateCase struct {
	ID           string              `json:"id"`
	Number       int64               `json:"number"`
	Severity     threat.Severity     `json:"severity"`
	Threat       threat.ThreatState  `json:"threat"`
	Contact      threat.ContactState `json:"contact"`
	Acknowledged bool                `json:"acknowledged"`
	Simulated    bool                `json:"simulated"`
}

type escalateSettings struct {
	Rounds   int `json:"rounds"`
	StepWait int `json:"step_wait_seconds"`
	AckFor   int `json:"ack_seconds"`
}

type escalateTenant struct {
	ID            string      `json:"id"`
	Mode          threat.Mode `json:"mode"`
	Simulated     bool        `json:"simulated"`
	BusinessHours bool        `json:"business_hours"`
}

type escalateInput struct {
	At        time.Time        `json:"at"`
	Case      escalateCase     `json:"case"`
	Contacts  []contactFacts   `json:"contacts"`
	Responses []responseFacts  `json:"responses"`
	LeftOut   int              `json:"responses_left_out"`
	Settings  escalateSettings `json:"settings" encode:"shared"`
	Tenant    escalateTenant   `json:"tenant"`
}

type targetFacts struct {
	Kind   threat.TargetKind `json:"kind"`
	Value  string            `json:"value"`
	Public bool              `json:"public"`
}

type actionFacts struct {
	ID          string       `json:"id"`
	Verb        string       `json:"verb"`
	Class       threat.Class `json:"class"`
	Step        string       `json:"step"`
	Round       int          `json:"round"`
	Target      targetFacts  `json:"target"`
	Duration    int64        `json:"duration_seconds"`
	Longest     int64        `json:"longest_seconds"`
	End         threat.End   `json:"end"`
	Required    bool         `json:"required"`
	AskedBy     string       `json:"asked_by"`
	Connections int          `json:"connections"`
	Stales      int          `json:"stales"`
}

type assetFacts struct {
	ID        string           `json:"id"`
	Name      string           `json:"name"`
	Kind      string           `json:"kind"`
	Role      threat.AssetRole `json:"role"`
	Managed   bool             `json:"managed"`
	Protected bool             `json:"protected"`
	Tags      []string         `json:"tags"`
}

type respondCase struct {
	ID           string              `json:"id"`
	Number       int64               `json:"number"`
	Severity     threat.Severity     `json:"severity"`
	Threat       threat.ThreatState  `json:"threat"`
	Contact      threat.ContactState `json:"contact"`
	Acknowledged bool                `json:"acknowledged"`
	Open         bool                `json:"open"`
	Simulated    bool                `json:"simulated"`
}

type guardFacts struct {
	Basis    threat.Basis `json:"basis"`
	Name     string       `json:"name"`
	Why      string       `json:"why"`
	Narrower string       `json:"narrower"`
}

type reachFacts struct {
	Contacts      int  `json:"contacts"`
	TriedToEnd    int  `json:"tried_to_end"`
	Interrupted   int  `json:"interrupted"`
	Accepted      int  `json:"accepted"`
	Undelivered   int  `json:"undelivered"`
	Acknowledged  bool `json:"acknowledged"`
	Over          bool `json:"over"`
	Unreachable   bool `json:"unreachable"`
	Undeliverable bool `json:"undeliverable"`
}

type respondSettings struct {
	Block    int64      `json:"block_seconds"`
	BlockMax int64      `json:"block_max_seconds"`
	BlockEnd threat.End `json:"block_end"`
	Request  int64      `json:"request_seconds"`
}

type respondInput struct {
	At       time.Time       `json:"at"`
	Action   actionFacts     `json:"action"`
	Assets   []assetFacts    `json:"assets"`
	LeftOut  int             `json:"assets_left_out"`
	Case     respondCase     `json:"case"`
	Guard    guardFacts      `json:"guard" encode:"shared"`
	Reach    reachFacts      `json:"reach" encode:"shared"`
	Settings respondSettings `json:"settings" encode:"shared"`
	Tenant   tenantFacts     `json:"tenant" encode:"shared"`
}

type approveCaller struct {
	ID           string        `json:"id"`
	Person       bool          `json:"person"`
	Disabled     bool          `json:"disabled"`
	Roles        []threat.Role `json:"roles"`
	Listed       bool          `json:"listed"`
	MayAuthorise bool          `json:"may_authorise"`
	Subject      bool          `json:"subject"`
	Surface      string        `json:"surface"`
}

type approveCase struct {
	ID       string             `json:"id"`
	Severity threat.Severity    `json:"severity"`
	Threat   threat.ThreatState `json:"threat"`
}

type approveRequest struct {
	ID            string              `json:"id"`
	Kind          threat.RequestKind  `json:"kind"`
	Verb          string              `json:"verb"`
	State         threat.RequestState `json:"state"`
	Roles         []threat.Role       `json:"roles"`
	Needed        int                 `json:"needed"`
	FourEyes      bool                `json:"four_eyes"`
	AskedByCaller bool                `json:"asked_by_caller"`
	Targets       int                 `json:"targets"`
	Duration      int64               `json:"duration_seconds"`
}

type approveTenant struct {
	ID            string      `json:"id"`
	Mode          threat.Mode `json:"mode"`
	Stopped       bool        `json:"stopped"`
	BusinessHours bool        `json:"business_hours"`
}

type approveInput struct {
	At      time.Time          `json:"at"`
	Caller  approveCaller      `json:"caller"`
	Case    approveCase        `json:"case"`
	Request approveRequest     `json:"request"`
	Tenant  approveTenant      `json:"tenant"`
	Verdict threat.VerdictKind `json:"verdict"`
}

type grantFacts struct {
	Org  string      `json:"org"`
	Role threat.Role `json:"role"`
}

type accessCaller struct {
	Kind       string       `json:"kind"`
	Grants     []grantFacts `json:"grants"`
	ChangeMode bool         `json:"change_mode"`
}

type accessInput struct {
	At      time.Time    `json:"at"`
	Action  string       `json:"action"`
	Caller  accessCaller `json:"caller"`
	Lineage []string     `json:"lineage"`
}

// businessHours reports whether t lies in the tenant's business hours: Monday to Friday, in the tenant's zone, from one
// minute of the day until another. A zone that is not known is UTC, and told.
func (s *Service) businessHours(set tenant.Settings, t time.Time) bool {
	zone, err := zoneOf(*set.Zone)
	if err != nil {
		s.deps.Log.Warn("a tenant's zone is not known; UTC is taken", "zone", threat.Inert(*set.Zone, 64))
		zone = time.UTC
	}
	t = t.In(zone)
	if d := t.Weekday(); d == time.Saturday || d == time.Sunday {
		return false
	}
	m := t.Hour()*60 + t.Minute()
	from, to := *set.BusinessFrom, *set.BusinessTo
	if from <= to {
		return m >= from && m < to
	}
	return m >= from || m < to // a shift over midnight
}

func seconds(s *tenant.Seconds) int64 { return int64(s.Duration() / time.Second) }

// atLeastOne rounds a duration below a second up: the settings of an accelerated run are fractions, and a schema's second
// is whole.
func atLeastOne(s *tenant.Seconds) int64 { return max(1, seconds(s)) }
