// Package lab is a small simulated customer network, and is called so everywhere it shows: hosts, a firewall that polls the
// real feed over HTTP and enforces what it fetched and nothing else, a controller that an unmanaged device takes orders
// from, and a sensor that posts real detections over HTTP. It reaches Firebreak as the outside does, by its addresses and
// tokens, and sends no packet anywhere else: traffic between its hosts is a function call.
package lab

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// Options are what a Lab is made of. BaseURL and Setup are required.
type Options struct {
	BaseURL string // where the API and the feed are, without a final slash: "http://127.0.0.1:7300"
	Setup   Setup
	Client  *http.Client // nil takes one with a time-out
	Log     *slog.Logger // nil drops
	Now     func() time.Time
	Pace    Pace
	// C2 chooses the controller of a play. Nil takes one that was not used lately, so that plays do not mix.
	C2 func(scenario string, at time.Time) (address, domain string)
}

// Pace is how fast the network lives. Zero fields take the pace of people: a scenario of about a minute.
type Pace struct {
	Poll   time.Duration // between the firewall's fetches; 2 s
	Beat   time.Duration // between the device's calls for orders; 1 s
	Repeat time.Duration // before the sensor tells of the same thing again; 20 s
	Leave  time.Duration // from the block until the controller is gone; 20 s. Below zero it stays
	Most   time.Duration // before a play that nobody ended ends by itself; 15 min
}

func (p Pace) filled() Pace {
	for _, f := range []struct {
		d    *time.Duration
		take time.Duration
	}{{&p.Poll, 2 * time.Second}, {&p.Beat, time.Second}, {&p.Repeat, 20 * time.Second}, {&p.Leave, 20 * time.Second},
		{&p.Most, 15 * time.Minute}} {
		if *f.d == 0 {
			*f.d = f.take
		}
	}
	return p
}

// Lab holds a network for each scenario. It is safe for concurrent use.
type Lab struct {
	o      Options
	mu     sync.Mutex
	stages map[string]*stage // by scenario
	latest string            // the scenario whose network is shown
	ctx    context.Context   // of Run; nil before it
	plays  sync.WaitGroup
}

// stage is one scenario with its network, once it was prepared.
type stage struct {
	scenario Scenario
	site     Site
	net      *Network
	running  bool
	steps    []Step
}

// Step is one thing that happened in a play.
type Step struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// New makes a Lab. Nothing is written and nothing runs before Prepare and Run.
func New(o Options) (*Lab, error) {
	if o.BaseURL == "" || o.Setup == nil {
		return nil, threat.Faultf(threat.Invalid, "the lab needs Firebreak's address and a way to set itself up")
	}
	if o.Client == nil {
		o.Client = &http.Client{Timeout: 10 * time.Second}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Pace = o.Pace.filled()
	if o.C2 == nil {
		o.C2 = fresh
	}
	l := &Lab{o: o, stages: map[string]*stage{}}
	for _, s := range scenarios {
		l.stages[s.ID] = &stage{scenario: s}
	}
	l.latest = scenarios[0].ID
	return l, nil
}

// Prepare makes what the scenarios need in the store, where it is missing: once after each start, before Run. Tokens of an
// earlier start are revoked. Faults are those of Setup.
func (l *Lab) Prepare(ctx context.Context) error {
	for _, s := range scenarios {
		site, err := l.o.Setup.EnsureTenant(ctx, s.plan(l.o.Pace))
		if err != nil {
			return err
		}
		if err := l.o.Setup.SetMode(ctx, site.Tenant.ID, s.Mode, site.People[0].ID, s.Consent); err != nil {
			return err
		}
		net, err := NewNetwork(NetworkOptions{
			SensorURL: l.o.BaseURL + "/v1/tenants/" + site.Tenant.Slug + "/sensors/suricata", SensorToken: site.SensorToken,
			Feed:   []string{l.o.BaseURL + "/feeds/" + site.FirewallToken},
			Client: l.o.Client, Now: l.o.Now, Pace: l.o.Pace, Log: l.o.Log.With("lab", s.ID),
		})
		if err != nil {
			return err
		}
		l.mu.Lock()
		l.stages[s.ID].site, l.stages[s.ID].net = site, net
		l.mu.Unlock()
	}
	return nil
}

// Run keeps the networks alive until ctx ends, and returns nil then. Firewalls poll all the time, so that Firebreak knows
// its subscribers; devices rest until a scenario is played.
func (l *Lab) Run(ctx context.Context) error {
	l.mu.Lock()
	var nets []*Network
	for _, s := range l.stages {
		if s.net == nil {
			l.mu.Unlock()
			return threat.Faultf(threat.Internal, "the lab runs before it was prepared")
		}
		nets = append(nets, s.net)
	}
	l.ctx = ctx
	l.mu.Unlock()
	var wg sync.WaitGroup
	for _, n := range nets {
		wg.Add(1)
		go func() { defer wg.Done(); n.Run(ctx) }()
	}
	wg.Wait()
	l.plays.Wait()
	return nil
}

// Scenarios gives what can be played, in the order in which it is shown.
func (l *Lab) Scenarios() []Scenario { return append([]Scenario(nil), scenarios...) }

// Network gives the network of a scenario, for tests and torture; nil before Prepare and for an unknown one.
func (l *Lab) Network(scenario string) *Network {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.stages[scenario]; s != nil {
		return s.net
	}
	return nil
}

// Person gives a simulated person of the lab. NotFound for anybody else: the console signs nobody else in without a link.
func (l *Lab) Person(id uuid.UUID) (threat.Person, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.stages {
		for _, p := range s.site.People {
			if p.ID == id && p.Simulated {
				return p, nil
			}
		}
	}
	return threat.Person{}, threat.Faultf(threat.NotFound, "the lab has no such person")
}
