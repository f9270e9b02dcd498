package adaptertest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/adapters/adaptertest"
	"github.com/firebreak/firebreak/internal/threat"
)

// product is a made-up firewall with an HTTP API: PUT, GET and DELETE of /blocks/{address}. Each entry carries a note and
// an end. It is what the suite's own tests are run against.
type product struct {
	mu      sync.Mutex
	now     time.Time
	secret  string
	entries map[string]entry
}

type entry struct {
	Note string    `json:"note"`
	Ends time.Time `json:"ends"`
}

func (p *product) clock() time.Time { p.mu.Lock(); defer p.mu.Unlock(); return p.now }

func (p *product) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	address := strings.TrimPrefix(r.URL.Path, "/blocks/")
	e, there := p.entries[address]
	if there && !p.now.Before(e.Ends) {
		delete(p.entries, address)
		there = false
	}
	switch {
	case r.Header.Get("Authorization") != "Bearer "+p.secret:
		w.WriteHeader(401)
	case r.Method == http.MethodPut:
		var in entry
		if json.NewDecoder(r.Body).Decode(&in) != nil {
			w.WriteHeader(400)
			return
		}
		p.entries[address] = in
		_, _ = w.Write([]byte(`{"ok":true}`))
	case !there:
		w.WriteHeader(404)
	case r.Method == http.MethodDelete:
		delete(p.entries, address)
		_, _ = w.Write([]byte(`{"ok":true}`))
	default:
		_ = json.NewEncoder(w).Encode(e)
	}
}

func (p *product) state() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var lines []string
	for a, e := range p.entries {
		if p.now.Before(e.Ends) {
			lines = append(lines, fmt.Sprint(a, " ", e.Note, " ", e.Ends))
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// flaw is a way in which an adapter can be wrong; the suite has to notice each.
type flaw string

const (
	none          flaw = ""
	leaks         flaw = "leaks"           // quotes its credential
	steals        flaw = "steals"          // takes what stood there for its own
	trusts        flaw = "trusts"          // reads what it wrote, not what is there
	forgets       flaw = "forgets"         // calls a failed read an absence
	deaf          flaw = "deaf"            // ignores its deadline for good
	dryWrites     flaw = "dry writes"      // changes something in a dry run
	rounds        flaw = "rounds"          // sends no end to the device
	boasts        flaw = "boasts"          // removes nothing and says so
	repeats       flaw = "repeats"         // answers an error where the effect is absent already
	certain       flaw = "certain"         // calls a call without an answer unavailable
	resurrects    flaw = "resurrects"      // renews what is gone
	unfenced      flaw = "unfenced"        // lets an old order change a later generation
	accepts       flaw = "accepts"         // validates anything
	deafToRetries flaw = "deaf to retries" // drops Retry-After
)

var flaws = []flaw{leaks, steals, trusts, forgets, deaf, dryWrites, rounds, boasts, repeats, certain, resurrects, unfenced, accepts, deafToRetries}

// adapter is an HTTP adapter as they are written, with a flaw at will.
type adapter struct {
	client *adapters.Client
	secret string
	now    func() time.Time
	flaw   flaw
	wrote  map[string]entry
}

var info = adapters.Info{Name: "blocklist", Title: "Blocklist", Secret: "an API token",
	Verbs: []adapters.Ability{{Verb: "block_ip", Sending: adapters.Natural, DeviceEnds: true}}}

func (a *adapter) Validate(o adapters.Order) error {
	if o.Target.Kind != threat.TargetIP && a.flaw != accepts {
		return threat.Faultf(threat.Invalid, "not an address")
	}
	return nil
}

func (a *adapter) Plan(o adapters.Order) (string, error) {
	if a.flaw == dryWrites {
		_, err := a.Apply(context.Background(), o)
		return "block " + o.Target.Value, err
	}
	return "block " + o.Target.Value, nil
}

func (a *adapter) get(ctx context.Context, o adapters.Order) (e entry, there bool, err error) {
	if a.flaw == trusts {
		e, there = a.wrote[o.Target.Value]
		return e, there, nil
	}
	_, err = a.client.Do(ctx, adapters.Call{Method: http.MethodGet, Path: "blocks/" + url.PathEscape(o.Target.Value), Into: &e})
	if threat.Is(err, threat.NotFound) || err != nil && a.flaw == forgets {
		return e, false, nil
	}
	return e, err == nil, a.spoil(err)
}

func (a *adapter) spoil(err error) error {
	if err == nil {
		return nil
	}
	var f *threat.Fault
	if x, ok := err.(*threat.Fault); ok {
		c := *x
		f = &c
	} else {
		return err
	}
	switch a.flaw {
	case certain:
		f.Kind = threat.Unavailable
	case deafToRetries:
		f.RetryAfter = 0
	case leaks: // in pieces that no list of secrets knows
		f.What += " with " + strings.ToUpper(a.secret)
	}
	return f
}

func (a *adapter) Read(ctx context.Context, o adapters.Order) (adapters.Reading, error) {
	e, there, err := a.get(ctx, o)
	if err != nil || !there {
		return adapters.Reading{Presence: adapters.Absent}, err
	}
	r := adapters.Reading{Presence: adapters.Foreign, InForce: true, DeviceEnds: &e.Ends}
	if o.Owns(e.Note) {
		r.Presence = adapters.Ours
	}
	return r, nil
}

func (a *adapter) Apply(ctx context.Context, o adapters.Order) (adapters.Receipt, error) {
	if a.flaw == deaf {
		time.Sleep(5 * time.Second)
	}
	e, there, err := a.get(ctx, o)
	switch {
	case err != nil:
		return adapters.Receipt{}, err
	case there && o.Overtaken(e.Note) && a.flaw != unfenced:
		return adapters.Receipt{}, threat.Faultf(threat.Conflict, "overtaken")
	case there && !o.Owns(e.Note) && a.flaw != steals && a.flaw != unfenced:
		return adapters.Receipt{Outcome: threat.OutcomeSuccess, Adopted: true}, nil
	}
	return a.put(ctx, o)
}

func (a *adapter) put(ctx context.Context, o adapters.Order) (adapters.Receipt, error) {
	e := entry{Note: o.Mark, Ends: o.DeviceEnds}
	if a.flaw == rounds {
		e.Ends = o.DeviceEnds.Add(1000 * time.Hour)
	}
	_, err := a.client.Do(ctx, adapters.Call{Method: http.MethodPut, Path: "blocks/" + url.PathEscape(o.Target.Value), Body: e, Changes: true})
	if err != nil {
		return adapters.Receipt{}, a.spoil(err)
	}
	a.wrote[o.Target.Value] = e
	return adapters.Receipt{Outcome: threat.OutcomeSuccess}, nil
}

func (a *adapter) Renew(ctx context.Context, o adapters.Order) (adapters.Receipt, error) {
	e, there, err := a.get(ctx, o)
	switch {
	case err != nil:
		return adapters.Receipt{}, err
	case !there && a.flaw != resurrects:
		return adapters.Receipt{}, threat.Faultf(threat.NotFound, "gone")
	case there && !o.Owns(e.Note):
		return adapters.Receipt{Outcome: threat.OutcomeSuccess, Adopted: true}, nil
	}
	return a.put(ctx, o)
}

func (a *adapter) Remove(ctx context.Context, o adapters.Order) (adapters.Receipt, error) {
	e, there, err := a.get(ctx, o)
	switch {
	case err != nil:
		return adapters.Receipt{}, err
	case !there && a.flaw == repeats:
		return adapters.Receipt{}, threat.Faultf(threat.NotFound, "nothing there")
	case !there || !o.Owns(e.Note):
		return adapters.Receipt{Outcome: threat.OutcomeDoesNotExist}, nil
	case a.flaw == boasts:
		return adapters.Receipt{Outcome: threat.OutcomeSuccess}, nil
	}
	_, err = a.client.Do(ctx, adapters.Call{Method: http.MethodDelete, Path: "blocks/" + url.PathEscape(o.Target.Value), Changes: true})
	if err != nil {
		return adapters.Receipt{}, a.spoil(err)
	}
	delete(a.wrote, o.Target.Value)
	return adapters.Receipt{Outcome: threat.OutcomeSuccess}, nil
}

// conform runs the suite over the made-up product's adapter.
func conform(t *testing.T, f flaw) {
	const secret = "s3cr3t/Token+of=the-API"
	adaptertest.Run(t, adaptertest.Harness{
		Info:    info,
		Secret:  secret,
		Targets: map[string][2]threat.Target{"block_ip": {{Kind: threat.TargetIP, Value: "198.51.100.7"}, {Kind: threat.TargetIP, Value: "2001:db8::7"}}},
		Invalid: map[string]func(o *adapters.Order){
			"a domain": func(o *adapters.Order) { o.Target = threat.Target{Kind: threat.TargetDomain, Value: "example.com"} }},
		Open: func(t *testing.T) *adaptertest.Bench {
			p := &product{now: time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC), secret: secret, entries: map[string]entry{}}
			proxy := adaptertest.NewProxy(t, p)
			proxy.Secret = secret
			client, err := adapters.NewClient(adapters.ClientOptions{Base: proxy.URL, Transport: proxy.Transport(http.DefaultTransport), Secrets: []string{secret},
				Sign: func(r *http.Request) error { r.Header.Set("Authorization", "Bearer "+secret); return nil }})
			if err != nil {
				t.Fatal(err)
			}
			return &adaptertest.Bench{
				Actor: &adapter{client: client, secret: secret, now: p.clock, flaw: f, wrote: map[string]entry{}},
				Now:   p.clock, Advance: func(d time.Duration) { p.mu.Lock(); p.now = p.now.Add(d); p.mu.Unlock() },
				State: p.state, Sends: proxy.Changes, Arm: proxy.Arm,
				Holds: func(o adapters.Order) bool { return strings.Contains("\n"+p.state(), "\n"+o.Target.Value+" ") },
				Plant: func(o adapters.Order) {
					p.mu.Lock()
					defer p.mu.Unlock()
					p.entries[o.Target.Value] = entry{Note: "by hand", Ends: p.now.Add(time.Hour)}
				},
			}
		},
	})
}
