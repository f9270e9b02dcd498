package lab

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// Play starts a scenario, which then runs by itself for about a minute after the block, and returns. NotFound for one that
// there is not, Conflict while it runs, Unavailable before Run.
func (l *Lab) Play(_ context.Context, scenario string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stages[scenario]
	switch {
	case s == nil:
		return threat.Faultf(threat.NotFound, "the lab has no scenario %q", threat.Inert(scenario, 64))
	case l.ctx == nil || l.ctx.Err() != nil:
		return threat.Faultf(threat.Unavailable, "the lab does not run")
	case s.running:
		return threat.Faultf(threat.Conflict, "the scenario %q runs already", scenario)
	}
	s.running, s.steps, l.latest = true, nil, scenario
	l.plays.Add(1)
	go func() {
		defer l.plays.Done()
		l.play(l.ctx, s)
		l.mu.Lock()
		defer l.mu.Unlock()
		s.running = false
	}()
	return nil
}

// step notes what happened. It is called by a network under its lock, and asks it nothing.
func (l *Lab) step(s *stage, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.steps = append(s.steps, Step{l.o.Now().UTC(), text})
	l.o.Log.Info("lab: "+text, "scenario", s.scenario.ID, "simulated", true)
}

// play is one run: orders until the block, the block until the release, and then nobody at the other end.
func (l *Lab) play(ctx context.Context, s *stage) {
	address, domain := l.o.C2(s.scenario.ID, l.o.Now())
	begun := l.o.Now()
	over := func() bool { return l.o.Now().Sub(begun) >= l.o.Pace.Most }
	s.net.Sensor.forget()
	s.net.Sensor.Noise()
	l.step(s, fmt.Sprintf("Night at %s. All that follows is simulated: no packet leaves this program but to Firebreak.", s.scenario.customer))
	s.net.Infect(address, domain, func(text string) { l.step(s, text) })
	defer s.net.Heal()
	if !l.until(ctx, func() bool { return s.net.Snapshot().Scans > 0 || over() }) {
		return
	}
	l.step(s, s.scenario.hint)
	if !l.until(ctx, func() bool { return s.net.Snapshot().Refused > 0 || over() }) {
		return
	}
	if s.net.Snapshot().Refused == 0 {
		l.step(s, "Nobody blocked anything. The recorder is unplugged, and the scenario ends.")
		return
	}
	blocked := l.o.Now()
	if l.o.Pace.Leave > 0 {
		if !l.until(ctx, func() bool { return l.o.Now().Sub(blocked) >= l.o.Pace.Leave || !s.net.Snapshot().Blocked }) {
			return
		}
		s.net.LeaveC2()
		l.step(s, fmt.Sprintf("The controller at %s gives up and goes off the net.", address))
	}
	if !l.until(ctx, func() bool { return !s.net.Snapshot().Blocked || over() }) {
		return
	}
	if s.net.Snapshot().Blocked {
		l.step(s, "The block still stands. The recorder is unplugged, and the scenario ends.")
		return
	}
	l.step(s, "The containment was released, and the attack is over. Look at the case's timeline.")
}

// until looks at every beat whether something has come true. It gives false when the lab ends before.
func (l *Lab) until(ctx context.Context, ok func() bool) bool {
	tick := time.NewTicker(l.o.Pace.Beat)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return ctx.Err() == nil
}

// fresh takes an address of documentation (RFC 5737, TEST-NET-3) by the clock, so that two plays within minutes have two
// controllers and thus two cases.
func fresh(_ string, at time.Time) (address, domain string) {
	n := at.Unix() % 240
	return fmt.Sprintf("203.0.113.%d", 10+n), fmt.Sprintf("c2-%d.lab.example", n)
}

// View is what the lab shows of itself: the network of the scenario that was played last, and every scenario.
type View struct {
	TenantID  uuid.UUID
	Slug      string
	Snapshot  Snapshot
	Scenarios []ScenarioView
	People    []threat.Person // all are simulated
	FeedURL   string          // a curl line that fetches the list as the firewall does; it holds the simulated firewall's token
}

// ScenarioView is a scenario and its last play.
type ScenarioView struct {
	ID, Title, Text string
	Running         bool
	Steps           []Step
}

// View gives the lab as it is now. Unavailable before Prepare.
func (l *Lab) View(context.Context) (View, error) {
	l.mu.Lock()
	shown := l.stages[l.latest]
	if shown.net == nil {
		l.mu.Unlock()
		return View{}, threat.Faultf(threat.Unavailable, "the lab is not prepared yet")
	}
	v := View{TenantID: shown.site.Tenant.ID, Slug: shown.site.Tenant.Slug, People: append([]threat.Person(nil), shown.site.People...),
		FeedURL: "curl " + l.o.BaseURL + "/feeds/" + shown.site.FirewallToken + "/" + threat.FeedIPs + ".txt"}
	for _, s := range scenarios {
		st := l.stages[s.ID]
		v.Scenarios = append(v.Scenarios, ScenarioView{s.ID, s.Title, s.Text, st.running, append([]Step(nil), st.steps...)})
	}
	net := shown.net
	l.mu.Unlock()
	v.Snapshot = net.Snapshot()
	return v, nil
}
