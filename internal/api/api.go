// Package api is all HTTP in but the console and the feed: the REST surface with its OpenAPI document, the events as they
// happen, and the webhooks. It authenticates every call, asks access whether the caller may do it there, and hands it on
// to the room that does it; every refusal is an RFC 9457 problem made of a fault. It decides nothing, and knows no
// database and no product.
package api

import (
	"log/slog"
	"net/http"
	"path"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

// Surfaces that callers of this package are marked with.
const (
	Surface    = "api"
	SurfaceCLI = "cli"
)

// surfaceOf tells our own command line from other programs, for the journal; no right hangs on it.
func surfaceOf(r *http.Request) string {
	if strings.HasPrefix(r.UserAgent(), wire.AgentCLI) {
		return SurfaceCLI
	}
	return Surface
}

// API serves the REST surface.
type API struct {
	d       Deps
	mux     *http.ServeMux
	huma    huma.API
	handler http.Handler
	streams streams
}

// New makes an API.
func New(d Deps) *API {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Metrics == nil {
		d.Metrics = uncounted{}
	}
	if d.Heartbeat <= 0 {
		d.Heartbeat = 15 * time.Second
	}
	if d.Recheck <= 0 {
		d.Recheck = time.Minute
	}
	if d.Poll <= 0 {
		d.Poll = 2 * time.Second
	}
	if d.Streams <= 0 {
		d.Streams = 200
	}
	a := &API{d: d, mux: http.NewServeMux(), streams: newStreams()}
	a.huma = humago.New(a.mux, config(d.Version.Version))
	a.routes()
	a.mux.HandleFunc("/", a.missing)
	a.handler = identified(a.logged(a.guarded(a.mux)))
	d.Store.OnWake(func(string) { a.streams.wake() })
	return a
}

// ServeHTTP answers one call.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// Mount puts the API's paths on a mux.
func (a *API) Mount(mux *http.ServeMux) {
	for _, path := range []string{"/v1/", "/healthz", "/readyz", "/openapi.json"} {
		mux.Handle(path, a)
	}
}

// OpenAPI gives the document that /openapi.json serves.
func (a *API) OpenAPI() *huma.OpenAPI { return a.huma.OpenAPI() }

func config(version string) huma.Config {
	registry := huma.NewMapRegistry("#/components/schemas/", schemaName)
	return huma.Config{
		OpenAPI: &huma.OpenAPI{OpenAPI: "3.1.0",
			Info: &huma.Info{Title: "Firebreak", Version: version,
				Description: "Detections in, contained threats out. Every refusal is a problem (RFC 9457) with a kind, a place and what " +
					"to do next. Times are RFC 3339 in UTC; durations are seconds. A tenant in a path is its id or its slug; a case is its " +
					"id, FB-12 or 12."},
			Components: &huma.Components{Schemas: registry, SecuritySchemes: map[string]*huma.SecurityScheme{
				"token":   {Type: "http", Scheme: "bearer", Description: "a program's token"},
				"session": {Type: "apiKey", In: "cookie", Name: wire.SessionCookie, Description: "a signed-in person"},
			}}},
		OpenAPIPath:                  "/openapi",
		Formats:                      map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{ours},
	}
}

// noSuch makes what may not be seen look like what is not there.
func noSuch(err error, noun string) error {
	if threat.Is(err, threat.NotFound) {
		return threat.Faultf(threat.NotFound, "no such %s", noun)
	}
	return err
}

var qualified = regexp.MustCompile(`(?:[\w.-]+/)*(\w+)\.(\w+)`)

// schemaName names a type in the OpenAPI document: those of package wire by their own name, others behind their package's,
// so that two of one name stay two.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Name() == "" {
		return huma.DefaultSchemaNamer(t, hint)
	}
	full := qualified.ReplaceAllStringFunc(path.Base(t.PkgPath())+"."+t.Name(), func(name string) string {
		parts := qualified.FindStringSubmatch(name)
		if parts[1] == "wire" || parts[1] == "api" {
			return strings.ToUpper(parts[2][:1]) + parts[2][1:]
		}
		return strings.ToUpper(parts[1][:1]) + parts[1][1:] + parts[2]
	})
	return strings.NewReplacer("[", "Of", "]", "", ",", "And", "*", "").Replace(full)
}
