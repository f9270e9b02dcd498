// Package app puts the program together: it opens the store, starts Temporal, makes every room and gives each what it
// needs. It is the only importer of the adapters' folders, whose list stands in products.go. It decides nothing.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
	_ "time/tzdata" // zones of people and business hours, also where the machine has none

	"github.com/gofrs/flock"
	"github.com/google/uuid"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	temporalotel "go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"golang.org/x/sync/errgroup"

	"github.com/firebreak/firebreak/activities"
	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/access"
	"github.com/firebreak/firebreak/internal/api"
	"github.com/firebreak/firebreak/internal/approval"
	"github.com/firebreak/firebreak/internal/decide"
	"github.com/firebreak/firebreak/internal/dispatch"
	"github.com/firebreak/firebreak/internal/engine"
	"github.com/firebreak/firebreak/internal/ingest"
	"github.com/firebreak/firebreak/internal/lab"
	"github.com/firebreak/firebreak/internal/secret"
	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/telemetry"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/policies"
	"github.com/firebreak/firebreak/workflows"
)

// How long parts may take to come up and to end.
const (
	startWithin  = 2 * time.Minute // migrations, and Temporal's first tables
	serveEnds    = 5 * time.Second // open calls of HTTP
	finishWithin = time.Second     // of those, before their contexts end
	engineEnds   = 25 * time.Second
	signEvery    = 5 * time.Minute // the journal's heads
	readHeader   = 10 * time.Second
	readBody     = 60 * time.Second
	idleFor      = 2 * time.Minute
	maxHeader    = 64 << 10
	firstAdmin   = "admin@firebreak.local"
	firstName    = "First administrator"
	nextAdmin    = "admin-%d@firebreak.local"

	maxFirstAdmins = 100
	providerSlug   = "provider"
)

// App is the running program.
type App struct {
	cfg      Config
	log      *slog.Logger
	metrics  *telemetry.Metrics
	untrace  func(context.Context) error
	lock     *flock.Flock // nil on PostgreSQL
	keys     *secret.Keyring
	store    *store.Store
	root     threat.Organisation
	policy   *policies.Engine
	registry *adapters.Registry
	devices  *devices
	decide   *decide.Service
	access   *access.Service
	door     *approval.Door
	ingest   *ingest.Service
	engine   *engine.Engine
	dispatch *dispatch.Dispatcher
	pager    *pager
	teller   *teller
	labPager *lab.Pager
	lab      *lab.Lab
	api      *api.API
	listener net.Listener
	metricsL net.Listener
	base     string
}

// New opens everything and binds the addresses; nothing runs before Run. Faults are those of the parts, each with what to
// do next: Conflict for a data directory, a port or a database that another process has, Invalid for settings, and
// Unavailable for what cannot be reached. After a fault everything is closed again.
func New(ctx context.Context, cfg Config) (a *App, err error) {
	a = &App{cfg: cfg.filled(), metrics: telemetry.NewMetrics()}
	a.log = a.cfg.Log
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close(context.WithoutCancel(ctx)))
			a = nil
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	if a.untrace, err = telemetry.Tracing(ctx, a.cfg.OTLPEndpoint, a.cfg.Version); err != nil {
		return a, err
	}
	for _, part := range []func(context.Context) error{a.listen, a.openStore, a.openPolicy, a.wire, a.followPolicy, a.startEngine, a.openLab} {
		if err := part(ctx); err != nil {
			return a, err
		}
	}
	return a, nil
}

// listen binds the addresses, so that a port that is taken is told before anything else begins.
func (a *App) listen(context.Context) (err error) {
	if a.listener, err = bind(a.cfg.Listen, "--listen"); err != nil {
		return err
	}
	if a.cfg.MetricsListen != "off" {
		if a.metricsL, err = bind(a.cfg.MetricsListen, "--metrics-listen"); err != nil {
			return err
		}
	}
	a.base = strings.TrimSuffix(a.cfg.BaseURL, "/")
	if a.base == "" {
		a.base = "http://" + a.listener.Addr().String()
	}
	return nil
}

func bind(address, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, &threat.Fault{Kind: threat.Conflict, What: "the address " + threat.Inert(address, 80) + " cannot be listened on",
			Place: flag, Next: "stop what uses it, or give another one", Err: err}
	}
	return l, nil
}

// openStore locks the data, opens the key file and the database, and sees that there is a provider.
func (a *App) openStore(ctx context.Context) (err error) {
	if a.cfg.KeyFile == "" {
		if a.cfg.KeyFile, err = secret.DefaultPath(); err != nil {
			return err
		}
	}
	address := a.cfg.DatabaseURL
	if address == "" {
		if a.lock, err = lockData(a.cfg.Data); err != nil {
			return err
		}
		file, err := filepath.Abs(filepath.Join(a.cfg.Data, "firebreak.db"))
		if err != nil {
			return err
		}
		address = "sqlite:" + file
	}
	if a.keys, err = secret.Open(a.cfg.KeyFile, a.cfg.Data); err != nil {
		return err
	}
	if a.store, err = store.Open(ctx, store.Options{URL: address, Keys: a.keys, Log: a.log}); err != nil {
		return err
	}
	a.root, err = a.provider(ctx)
	return err
}

// provider gives the root of the tree, and makes it at the first start.
func (a *App) provider(ctx context.Context) (threat.Organisation, error) {
	o, err := a.store.Root(ctx)
	if !threat.Is(err, threat.NotFound) {
		return o, err
	}
	o, err = a.store.CreateOrganisation(ctx, threat.SystemActor, threat.Organisation{Kind: threat.Provider, Slug: providerSlug,
		Name: "Provider"})
	if threat.Is(err, threat.Conflict) { // another process was first
		return a.store.Root(ctx)
	}
	return o, err
}

func (a *App) openPolicy(ctx context.Context) (err error) {
	if a.policy, err = policies.New(ctx, policies.Options{Dir: a.cfg.PolicyDir, Log: a.log}); err != nil {
		return err
	}
	a.metrics.Register("policy_stale", "1 while the rules in the directory cannot be taken and the last good ones decide.", func() float64 {
		if a.policy.Active().Stale {
			return 1
		}
		return 0
	})
	a.metrics.Register("policy_age_seconds", "How long the rules in force have been so.", func() float64 {
		return a.policy.Active().Age.Seconds()
	})
	return nil
}

// wire makes the rooms that need no Temporal.
func (a *App) wire(context.Context) (err error) {
	if a.cfg.Lab {
		a.labPager = lab.NewPager(nil)
	}
	if a.registry, err = adapters.NewRegistry(append(products(a.store, a.labPager), a.cfg.Products...)...); err != nil {
		return err
	}
	a.devices = newDevices(a.store, a.registry, time.Now)
	a.pager = &pager{store: a.store, devices: a.devices, root: a.root.ID, log: a.log, count: a.metrics.Paged, now: time.Now,
		last: map[string]time.Time{}}
	a.teller = a.newTeller()
	a.decide = decide.New(decide.Deps{Store: a.store, Policies: a.policy, Page: a.pager.Page, Ours: a.ours(), Log: a.log})
	if a.access, err = access.New(access.Deps{Store: a.store, Decide: a.decide, BaseURL: a.base, Log: a.log}); err != nil {
		return err
	}
	a.door = approval.New(approval.Deps{Store: a.store, Decide: a.decide, Plan: a.plan, Log: a.log, Metrics: a.metrics})
	sources, err := ingest.Sources(sensors()...)
	if err != nil {
		return err
	}
	a.ingest = ingest.New(ingest.Deps{Store: a.store, Decide: a.decide, Detectors: sources, Now: time.Now, Log: a.log,
		Page: a.pager.Page, Metrics: a.metrics, Networks: a.networks})
	a.store.OnWake(func(kind string) {
		if kind == "received" {
			a.ingest.Wake()
		}
	})
	return nil
}

// ours are Firebreak's own addresses and names, which no action may cut off.
func (a *App) ours() []string {
	var out []string
	add := func(host string) {
		if host != "" && host != "localhost" {
			out = append(out, host)
		}
	}
	for _, address := range []string{a.base, a.cfg.DatabaseURL, a.cfg.OTLPEndpoint} {
		if u, err := url.Parse(address); err == nil {
			add(u.Hostname())
		}
	}
	for _, address := range []string{a.listener.Addr().String(), a.cfg.Temporal.Address} {
		if host, _, err := net.SplitHostPort(address); err == nil {
			add(host)
		}
	}
	return out
}

// networks gives a tenant's own networks.
func (a *App) networks(ctx context.Context, tenant uuid.UUID) ([]string, error) {
	set, err := a.store.EffectiveSettings(ctx, tenant)
	return set.OwnNetworks, err
}

// startEngine brings Temporal up and has our workers and the dispatcher ready.
func (a *App) startEngine(ctx context.Context) error {
	key, err := a.keys.Derived("temporal-payloads")
	if err != nil {
		return err
	}
	tracing, err := temporalotel.NewTracingInterceptor(temporalotel.TracerOptions{})
	if err != nil {
		return threat.Faultf(threat.Internal, "traces of Temporal cannot be made: %w", err)
	}
	o := engine.Options{PayloadKey: key, Interceptors: []interceptor.ClientInterceptor{tracing}, Log: a.log,
		Ports: engine.Ports{Base: a.cfg.Temporal.BasePort}}
	switch {
	case a.cfg.Temporal.Address != "":
		if o.Dial, err = a.outside(); err != nil {
			return err
		}
	case a.cfg.DatabaseURL != "":
		o.PostgresURL = a.cfg.DatabaseURL
	default:
		o.SQLitePath = filepath.Join(a.cfg.Data, "temporal.db")
	}
	if a.engine, err = engine.Start(ctx, o); err != nil {
		return err
	}
	a.dispatch = dispatch.New(dispatch.Deps{Store: a.store, Client: a.engine.Client(), TaskQueue: a.engine.TaskQueue(), Now: time.Now,
		Log: a.log, Metrics: a.metrics, Sweep: a.cfg.Sweep})
	return nil
}

// outside says how the outside cluster is reached.
func (a *App) outside() (*engine.Dial, error) {
	t := a.cfg.Temporal
	d := &engine.Dial{Address: t.Address, Namespace: t.Namespace, TLS: engine.TLS{CAFile: t.TLSCA, CertFile: t.TLSCert,
		KeyFile: t.TLSKey, ServerName: t.TLSServerName}}
	if t.APIKeyFile == "" {
		return d, nil
	}
	b, err := os.ReadFile(t.APIKeyFile)
	if err != nil {
		return nil, &threat.Fault{Kind: threat.Invalid, What: "the file with Temporal's API key cannot be read",
			Place: "--temporal-api-key-file", Err: err}
	}
	d.APIKey = strings.TrimSpace(string(b))
	return d, nil
}

// register gives the workers what the workflows call.
func (a *App) register(r worker.Registry) {
	d := activities.Deps{Resolve: leads, Store: a.store, Decide: a.decide, Devices: a.devices, Links: a.access, Page: a.pager.Page,
		CaseLink: func(id uuid.UUID) string { return a.base + "/cases/" + id.String() },
		Ours:     a.ours(), Build: a.build(), Log: a.log, Metrics: a.metrics}
	workflows.Register(r, workflows.Activities{Case: activities.NewCase(d), Escalation: activities.NewEscalation(d),
		Response: activities.NewResponse(d)})
}

// build tells this program from another version of it: long workflows continue as new on their first wake after an upgrade.
func (a *App) build() string { return a.cfg.Version + "+" + a.cfg.Commit }

// Base gives the URL under which people reach the console.
func (a *App) Base() string { return a.base }

// Run serves until ctx ends, and then drains: open calls end, what is under way is finished or left to the next start,
// and nothing that was accepted is lost. It gives the first fault of a part that ended by itself.
func (a *App) Run(ctx context.Context) error {
	handler, err := a.handler()
	if err != nil {
		return err
	}
	if err := a.engine.StartWorker(a.register); err != nil {
		return err
	}
	if a.lab != nil {
		if err := a.lab.Prepare(ctx); err != nil {
			return err
		}
	}
	if err := a.announce(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	a.serve(ctx, g, a.listener, handler)
	if a.metricsL != nil {
		mux := http.NewServeMux()
		mux.Handle("/metrics", a.metrics.Handler())
		a.serve(ctx, g, a.metricsL, mux)
	}
	part := func(name string, run func(context.Context) error) {
		g.Go(func() error {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	part("ingest", a.ingest.Run)
	part("dispatch", a.dispatch.Run)
	part("telling of changes of mode", a.teller.run)
	part("signing the journal's heads", a.signHeads)
	if a.lab != nil {
		part("the lab", a.lab.Run)
	}
	return g.Wait()
}

// serve runs one HTTP server until ctx ends. Calls that are open then have a moment to finish before their contexts end;
// streams would never end by themselves.
func (a *App) serve(ctx context.Context, g *errgroup.Group, l net.Listener, h http.Handler) {
	base, end := context.WithCancel(context.WithoutCancel(ctx))
	s := &http.Server{Handler: h, ReadHeaderTimeout: readHeader, ReadTimeout: readBody, IdleTimeout: idleFor, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelWarn), BaseContext: func(net.Listener) context.Context { return base }}
	s.RegisterOnShutdown(func() {
		a.api.Close() // event streams end by themselves
		time.AfterFunc(finishWithin, end)
	})
	g.Go(func() error {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("http: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		defer end()
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), serveEnds)
		defer cancel()
		if err := s.Shutdown(within); err != nil {
			return s.Close()
		}
		return nil
	})
}

// traced wraps the handler so that each call is a span, named by its method: paths may hold secrets.
func traced(h http.Handler) http.Handler {
	return otelhttp.NewHandler(h, "http", otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method }),
		otelhttp.WithFilter(func(r *http.Request) bool {
			return !strings.HasPrefix(r.URL.Path, "/feeds/") && !strings.HasPrefix(r.URL.Path, access.SignInPath) &&
				!strings.HasPrefix(r.URL.Path, access.AckPath)
		}))
}

// announce tells where to look, and how the first administrator gets in.
func (a *App) announce(ctx context.Context) error {
	link, err := a.firstLink(ctx)
	if err != nil {
		return err
	}
	a.cfg.Announce("Firebreak " + a.cfg.Version + " runs at " + a.base)
	if link != "" {
		a.cfg.Announce("First administrator, sign in once within 15 minutes: " + link)
	}
	if a.lab != nil {
		a.cfg.Announce("Simulated network, with a scenario to play in a minute: " + a.base + "/lab")
	}
	return nil
}

// firstLink gives the first administrator's sign-in link, if they have not been here. Where no administrator is left and the
// usual address is a disabled person's, the next address becomes one: a server that nobody administers still starts.
func (a *App) firstLink(ctx context.Context) (string, error) {
	email := firstAdmin
	for n := 2; ; n++ {
		who, link, err := a.access.EnsureAdministrator(ctx, email, firstName)
		if err == nil && link == "" && a.cfg.AdminLink {
			return a.access.SignInLink(ctx, who.ID, 0)
		}
		if !threat.Is(err, threat.Conflict) || n > maxFirstAdmins {
			return link, err
		}
		email = fmt.Sprintf(nextAdmin, n)
	}
}

// signHeads signs how far the journal has come, now and every few minutes, so that a tail that was cut off shows.
func (a *App) signHeads(ctx context.Context) error {
	tick := time.NewTicker(signEvery)
	defer tick.Stop()
	for {
		if _, err := a.store.SignHeads(ctx); err != nil && ctx.Err() == nil {
			a.log.ErrorContext(ctx, "the journal's heads could not be signed", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Close ends what New opened, in the reverse order. It may be called once Run has returned.
func (a *App) Close(ctx context.Context) error {
	var errs []error
	if a.engine != nil {
		end, cancel := context.WithTimeout(ctx, engineEnds)
		defer cancel()
		errs = append(errs, a.engine.Close(end))
	}
	if a.policy != nil {
		errs = append(errs, a.policy.Close())
	}
	for _, l := range []net.Listener{a.listener, a.metricsL} {
		if l == nil {
			continue
		}
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if a.store != nil {
		errs = append(errs, a.store.Close())
	}
	if a.lock != nil {
		errs = append(errs, a.lock.Unlock())
	}
	if a.untrace != nil {
		end, cancel := context.WithTimeout(ctx, serveEnds)
		defer cancel()
		errs = append(errs, a.untrace(end))
	}
	return errors.Join(errs...)
}
