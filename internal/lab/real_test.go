package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	feedadapter "github.com/firebreak/firebreak/adapters/feed"
	"github.com/firebreak/firebreak/adapters/suricata"
	"github.com/firebreak/firebreak/internal/access"
	"github.com/firebreak/firebreak/internal/decide"
	"github.com/firebreak/firebreak/internal/feed"
	"github.com/firebreak/firebreak/internal/ingest"
	"github.com/firebreak/firebreak/internal/lab"
	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
	"github.com/firebreak/firebreak/policies"
)

// served is Firebreak without workflows: the real store, policy, ingest and feed behind HTTP.
type served struct {
	*httptest.Server
	store *store.Store
	lab   *lab.Lab
}

func serve(t *testing.T, pace lab.Pace) *served {
	t.Helper()
	s := &served{store: storetest.Open(t)}
	rules, err := policies.New(t.Context(), policies.Options{Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rules.Close(); err != nil {
			t.Error(err)
		}
	})
	decider := decide.New(decide.Deps{Store: s.store, Policies: rules, Now: time.Now})
	sources, err := ingest.Sources(suricata.Product)
	if err != nil {
		t.Fatal(err)
	}
	inbox := ingest.New(ingest.Deps{Store: s.store, Decide: decider, Detectors: sources, Now: time.Now})
	s.store.OnWake(func(kind string) {
		if kind == "received" {
			inbox.Wake()
		}
	})
	mux := http.NewServeMux()
	s.Server = httptest.NewServer(mux)
	rights, err := access.New(access.Deps{Store: s.store, Decide: decider, Now: time.Now, BaseURL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	mux.HandleFunc("POST /v1/tenants/{tenant}/sensors/{product}", func(w http.ResponseWriter, r *http.Request) {
		who, err := rights.Authenticate(r, "api")
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		org, err := s.store.Organisation(r.Context(), r.PathValue("tenant"))
		if err == nil {
			err = rights.Allow(r.Context(), who, "detection.write", org.ID)
		}
		body, bodyErr := io.ReadAll(r.Body)
		receipt, keepErr := ingest.Receipt{}, error(nil)
		if err == nil && bodyErr == nil {
			receipt, keepErr = inbox.AcceptProduct(r.Context(), org.ID, who.Name, r.PathValue("product"), body)
		}
		if err := errors.Join(err, bodyErr, keepErr); err != nil {
			t.Errorf("a post of the lab's was refused: %v", err)
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		if err := json.NewEncoder(w).Encode(receipt); err != nil {
			t.Error(err)
		}
	})
	mux.Handle("/feeds/", feed.New(feed.Options{Lists: s.store, Log: slog.New(slog.DiscardHandler),
		Authenticate: func(ctx context.Context, token string) (feed.Subscriber, error) {
			c, firewall, err := rights.FeedSubscriber(ctx, token)
			return feed.Subscriber{Connection: c, Firewall: firewall}, err
		}}))
	if s.lab, err = lab.New(lab.Options{BaseURL: s.URL, Setup: lab.StoreSetup{Store: s.store, Tokens: rights}, Pace: pace,
		C2: func(string, time.Time) (string, string) { return "203.0.113.66", "c2.lab.example" }}); err != nil {
		t.Fatal(err)
	}
	if err := s.lab.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	go func() {
		if err := inbox.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		done <- struct{}{}
	}()
	go func() {
		if err := s.lab.Run(ctx); err != nil {
			t.Error(err)
		}
		done <- struct{}{}
	}()
	t.Cleanup(func() { cancel(); <-done; <-done; s.Close() })
	return s
}

// until waits for something that other goroutines bring about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// TestAPlayOpensOneCaseThatProposesTheBlock plays the night against the real store, policy, ingest and feed. What workflows
// do is done by hand: the feed adapter publishes, reads back who has fetched it, and takes it away.
func TestAPlayOpensOneCaseThatProposesTheBlock(t *testing.T) {
	s := serve(t, lab.Pace{Poll: 20 * time.Millisecond, Beat: 10 * time.Millisecond, Leave: 50 * time.Millisecond})
	ctx := t.Context()
	until(t, "the play begins", func() bool { return s.lab.Play(ctx, lab.NightC2) == nil })
	view, err := s.lab.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	proposed := func() []string {
		t.Helper()
		cases, err := s.store.Cases(ctx, threat.CaseQuery{Tenants: []uuid.UUID{view.TenantID}})
		if err != nil {
			t.Fatal(err)
		}
		if len(cases) > 1 {
			t.Fatalf("%d cases", len(cases))
		}
		var out []string
		for _, c := range cases {
			if !c.Simulated {
				t.Error("the case is not marked simulated")
			}
			ds, err := s.store.DetectionsOfCase(ctx, c.ID, 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range ds {
				out = append(out, d.Title)
				for _, p := range d.Proposals {
					out = append(out, p.Verb+" "+p.Target.Value)
				}
			}
			if c.Threat != threat.ThreatActive || c.Severity < threat.SeverityHigh {
				out = nil
			}
		}
		return out
	}
	until(t, "one active case proposes to block the address and the name", func() bool {
		got := proposed()
		return slices.Contains(got, verb.BlockIP+" 203.0.113.66") && slices.Contains(got, verb.BlockDomain+" c2.lab.example") &&
			slices.Contains(got, "LAB SCAN many connections to port 445 (simulated)")
	})
	for _, p := range proposed() {
		if p == verb.BlockIP+" 192.168.77.20" || p == verb.BlockIP+" 192.168.77.10" {
			t.Errorf("it is proposed to %s", p)
		}
	}
	until(t, "noise is suppressed", func() bool {
		quiet, err := s.store.Detections(ctx, view.TenantID, threat.DetectionSuppressed, 10)
		return err == nil && len(quiet) == 1
	})

	connections, err := s.store.Connections(ctx, view.TenantID)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(connections, func(c threat.Connection) bool { return c.Adapter == "feed" })
	lists, err := feedadapter.Open(connections[i], s.store, nil, feedadapter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	effect := threat.DerivedID("effect", "lab")
	o := adapters.Order{EffectID: effect, Generation: 1, TenantID: view.TenantID, Verb: verb.BlockIP,
		Target: threat.Target{Kind: threat.TargetIP, Value: "203.0.113.66"}, Mark: adapters.MarkFor(effect, 1),
		Until: time.Now().Add(time.Hour), DeviceEnds: time.Now().Add(2 * time.Hour)}
	if _, err := lists.Apply(ctx, o); err != nil {
		t.Fatal(err)
	}
	until(t, "the firewall has fetched it", func() bool { r, err := lists.Read(ctx, o); return err == nil && r.InForce })
	network := s.lab.Network(lab.NightC2)
	until(t, "the scan stops", func() bool { x := network.Snapshot(); return !x.Scanning && x.Blocked && !x.C2.Present })
	if _, err := lists.Remove(ctx, o); err != nil {
		t.Fatal(err)
	}
	until(t, "the play ends", func() bool {
		v, err := s.lab.View(ctx)
		return err == nil && !v.Scenarios[0].Running
	})
	if got := network.Firewall.View().Changes["203.0.113.66"]; got != (lab.Change{Appeared: 1, Vanished: 1}) {
		t.Errorf("%+v", got)
	}
	if v := network.Sensor.View(); v.Lost != 0 || len(v.Accepted) != v.Made {
		t.Errorf("%d of %d records were accepted, %d lost", len(v.Accepted), v.Made, v.Lost)
	}
}
