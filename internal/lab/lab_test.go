package lab

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

// setup gives sites that all speak to one Firebreak.
type setup struct {
	mu    sync.Mutex
	modes map[uuid.UUID]threat.Mode
	plans []TenantPlan
}

func (s *setup) EnsureTenant(_ context.Context, p TenantPlan) (Site, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plans = append(s.plans, p)
	site := Site{Tenant: threat.Organisation{ID: uuid.New(), Slug: p.Slug, Simulated: true}, SensorToken: sensorToken, FirewallToken: feedToken}
	for _, x := range p.People {
		x.ID = uuid.New()
		site.People = append(site.People, x)
	}
	return site, nil
}

func (s *setup) SetMode(_ context.Context, tenant uuid.UUID, m threat.Mode, by uuid.UUID, words string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if by == uuid.Nil || !strings.Contains(words, "simulated") {
		return threat.Faultf(threat.Invalid, "nobody's consent")
	}
	s.modes[tenant] = m
	return nil
}

func running(t *testing.T, f *firebreak, pace Pace) (*Lab, *setup) {
	t.Helper()
	s := &setup{modes: map[uuid.UUID]threat.Mode{}}
	l, err := New(Options{BaseURL: f.URL, Setup: s, Pace: pace})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Play(t.Context(), NightC2); !threat.Is(err, threat.Unavailable) {
		t.Fatalf("a play before the start answered %v", err)
	}
	if _, err := l.View(t.Context()); !threat.Is(err, threat.Unavailable) {
		t.Fatalf("a view before the start answered %v", err)
	}
	if err := l.Run(t.Context()); !threat.Is(err, threat.Internal) {
		t.Fatalf("a run before the start answered %v", err)
	}
	if err := l.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the lab runs", func() bool { return len(l.Network(NightC2).Firewall.View().Fetches) > 0 })
	return l, s
}

func quick() Pace {
	return Pace{Poll: 2 * time.Millisecond, Beat: time.Millisecond, Repeat: 50 * time.Millisecond, Leave: 10 * time.Millisecond}
}

// TestAScenarioIsPlayedToItsEnd has a Firebreak that blocks what it is told of, and lets go when the controller is gone.
func TestAScenarioIsPlayedToItsEnd(t *testing.T) {
	for _, scenario := range []string{NightC2, Authorize, Unreachable} {
		t.Run(scenario, func(t *testing.T) {
			f := newFirebreak(t)
			var once sync.Once
			var c2 string
			f.onFound = func(x adapters.Finding) {
				for _, o := range x.Observables {
					if o.Kind == threat.ObservableIP && o.Bearing == threat.BearingAdversary {
						once.Do(func() { c2 = o.Value; f.block(threat.FeedIPs, c2) })
					}
				}
			}
			l, s := running(t, f, quick())
			if err := l.Play(t.Context(), scenario); err != nil {
				t.Fatal(err)
			}
			state := func() ScenarioView {
				v, err := l.View(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, x := range v.Scenarios {
					if x.ID == scenario {
						return x
					}
				}
				t.Fatal("the scenario is not shown")
				return ScenarioView{}
			}
			said := func(words string) bool {
				return slices.ContainsFunc(state().Steps, func(x Step) bool { return strings.Contains(x.Text, words) })
			}
			eventually(t, "the controller leaves", func() bool { return said("goes off the net") })
			if err := l.Play(t.Context(), scenario); !threat.Is(err, threat.Conflict) {
				t.Errorf("a second play at once answered %v", err)
			}
			f.release(threat.FeedIPs, c2)
			eventually(t, "the play ends", func() bool { return !state().Running })
			told := &story{}
			for _, x := range state().Steps {
				told.tell(x.Text)
			}
			if !told.has("simulated", "gets them: scan", "scans 4 neighbours", "drops nas-cam-01", "for want of orders", "off the net", "flows again",
				"released") {
				t.Errorf("the story: %q", told.lines)
			}
			v, err := l.View(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if v.Snapshot.Firewall.Changes[c2] != (Change{1, 1}) || v.Snapshot.Scanning || len(v.Snapshot.Firewall.Enforced) != 0 {
				t.Errorf("%+v", v.Snapshot)
			}
			if !strings.HasPrefix(v.FeedURL, "curl http://") || len(v.People) == 0 || s.modes[v.TenantID] == "" || v.Slug == "" {
				t.Errorf("%+v", v)
			}
			for _, h := range v.Snapshot.Hosts {
				if h.State != resting {
					t.Errorf("%+v after the end", h)
				}
			}
		})
	}
}

func TestAPlayThatNobodyAnswersEnds(t *testing.T) {
	f := newFirebreak(t)
	pace := quick()
	pace.Most = 50 * time.Millisecond
	l, _ := running(t, f, pace)
	if err := l.Play(t.Context(), "no such"); !threat.Is(err, threat.NotFound) {
		t.Fatal(err)
	}
	if err := l.Play(t.Context(), NightC2); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the play ends", func() bool {
		v, err := l.View(t.Context())
		return err == nil && !v.Scenarios[0].Running && strings.Contains(v.Scenarios[0].Steps[len(v.Scenarios[0].Steps)-1].Text, "unplugged")
	})
	if x := l.Network(NightC2).Snapshot(); x.Scanning {
		t.Errorf("%+v", x)
	}
}

func TestEverythingIsCalledSimulated(t *testing.T) {
	f := newFirebreak(t)
	l, s := running(t, f, quick())
	if len(l.Scenarios()) != 3 || len(s.plans) != 3 {
		t.Fatalf("%d scenarios", len(s.plans))
	}
	modes := map[threat.Mode]bool{}
	for _, sc := range l.Scenarios() {
		modes[sc.Mode] = true
	}
	if len(modes) != 3 {
		t.Errorf("%v", modes)
	}
	for _, p := range s.plans {
		if !strings.Contains(p.Name, "(simulated)") {
			t.Errorf("%q", p.Name)
		}
		for _, x := range p.People {
			if !x.Simulated || !strings.Contains(x.Name, "(simulated)") {
				t.Errorf("%+v", x)
			}
		}
		for _, a := range p.Assets {
			if !slices.Contains(a.Tags, "simulated") {
				t.Errorf("%+v", a)
			}
		}
	}
	if _, err := l.Person(uuid.New()); !threat.Is(err, threat.NotFound) {
		t.Errorf("somebody else is a person of the lab: %v", err)
	}
	v, err := l.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p, err := l.Person(v.People[0].ID); err != nil || p.Name != v.People[0].Name {
		t.Errorf("%+v %v", p, err)
	}
}

func TestThePagerAcceptsOrRefuses(t *testing.T) {
	p := NewPager(nil)
	registry, err := adapters.NewRegistry(p.Product())
	if err != nil {
		t.Fatal(err)
	}
	opened, err := registry.Open(threat.Connection{Adapter: PagerName}, "", adapters.Options{})
	if err != nil || opened.Notifier == nil {
		t.Fatal(err)
	}
	c := opened.Notifier.Channel()
	if !c.Interruptive || !c.TwoWay || !strings.Contains(opened.Info.Title, "Simulated") {
		t.Errorf("%+v", c)
	}
	m := adapters.Message{AttemptID: uuid.New(), CaseID: uuid.New(), To: "pager-of-nina", Subject: "FB-1"}
	for range 2 {
		d, err := opened.Notifier.Notify(t.Context(), m)
		if err != nil || !d.Accepted || d.ProviderID != "labpager-"+m.AttemptID.String() {
			t.Fatalf("%+v %v", d, err)
		}
	}
	if got := p.Pages(); len(got) != 1 || got[0].To != m.To {
		t.Errorf("%+v", got)
	}
	p.SetRefuse(true)
	m.AttemptID = uuid.New()
	if _, err := opened.Notifier.Notify(t.Context(), m); !threat.Is(err, threat.Unavailable) {
		t.Errorf("%v", err)
	}
	if err := opened.Notifier.Test(t.Context()); err != nil {
		t.Error(err)
	}
}
