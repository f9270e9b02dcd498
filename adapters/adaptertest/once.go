package adaptertest

import (
	"errors"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// checks gives the tests of a verb: what holds is applied, read and removed; what is done once is done, and read.
func checks(name string) []check {
	if !verb.Once(name) {
		return []check{
			{"validation", (*suite).validation},
			{"dry run changes nothing", (*suite).dryRun},
			{"apply, read, remove, read", (*suite).roundTrip},
			{"the same request again", (*suite).again},
			{"side by side", (*suite).sideBySide},
			{"what stood there is adopted", (*suite).adoption},
			{"removing what is not there", (*suite).removeAbsent},
			{"a later generation", (*suite).generations},
			{"renewal", (*suite).renewal},
			{"the device lets go by itself", (*suite).deviceEnds},
			{"deadline", (*suite).deadline},
			{"redaction", (*suite).redaction},
			{"faults", (*suite).faults},
		}
	}
	return []check{
		{"validation", (*suite).validation},
		{"dry run changes nothing", (*suite).dryRun},
		{"apply, read", (*suite).doOnce},
		{"the same request again", (*suite).onceAgain},
		{"side by side", (*suite).onceSideBySide},
		{"what is so already", (*suite).soAlready},
		{"a later generation", (*suite).onceMore},
		{"no way back", (*suite).noWayBack},
		{"deadline", (*suite).deadline},
		{"redaction", (*suite).redaction},
		{"faults", (*suite).faults},
	}
}

type check struct {
	name string
	run  func(*suite)
}

func (s *suite) once() bool { return verb.Once(s.ability.Verb) }

// wantThere demands that what the order wants is so: for what holds, that it is ours and in force.
func (s *suite) wantThere(o adapters.Order) {
	s.Helper()
	if !s.once() {
		s.wantOurs(o)
		return
	}
	r := s.read(o)
	if r.Presence != adapters.Ours && r.Presence != adapters.Foreign || !r.InForce {
		s.Fatalf("read answered %q, in force %v (%s); want it done", r.Presence, r.InForce, r.Detail)
	}
	if !s.bench.Holds(o) {
		s.Fatal("the adapter reads it as done, and the counterpart does not show it")
	}
}

func (s *suite) doOnce() {
	o := s.open()
	if s.ability.DeviceEnds {
		s.Error("what is done once has no end on the device")
	}
	s.wantAbsent(o)
	r := s.apply(o)
	if r.Adopted {
		s.Error("what we did was called done by somebody else")
	}
	o.Handle = r.Handle
	if s.bench.Finish != nil {
		got, err := s.device.Read(s.ctx(), o)
		if err != nil || got.Presence != adapters.Pending || got.InForce {
			s.Fatalf("while the product's job is under way, read answered %q, in force %v, %v; want pending", got.Presence, got.InForce, err)
		}
	}
	s.wantThere(o)
	if got := s.read(o); got.DeviceEnds != nil {
		s.Error("a reading tells an end of what is done once")
	}
}

func (s *suite) onceAgain() {
	o := s.open()
	o.Handle = s.apply(o).Handle
	switch s.ability.Sending {
	case adapters.Natural, adapters.Keyed:
		s.wantThere(o)
		first := s.bench.State()
		r, err := s.device.Apply(s.ctx(), o)
		if err != nil || r.Outcome != threat.OutcomeSuccess && r.Outcome != threat.OutcomeDoesNotExist {
			s.Fatalf("the same request again answered %+v, %v", r, err)
		}
		if s.bench.Advance != nil && s.bench.State() != first {
			s.Errorf("the same request again changed the counterpart:\n%s\n%s", first, s.bench.State())
		}
	case adapters.Blind:
		return
	}
	s.wantThere(o)
}

func (s *suite) onceSideBySide() {
	one := s.open()
	two := s.order(1, 1)
	s.apply(one)
	s.wantThere(one)
	s.wantAbsent(two)
	s.apply(two)
	s.wantThere(two)
	s.wantThere(one)
}

// soAlready demands that what is so without us is seen, called somebody else's, and left alone.
func (s *suite) soAlready() {
	o := s.open()
	if s.h.NoAdoption != "" {
		s.Logf("not applicable: what is so already: %s", s.h.NoAdoption)
		return
	}
	s.bench.Plant(o)
	if !s.bench.Holds(o) {
		s.Fatal("the harness planted nothing")
	}
	before := s.bench.State()
	if r := s.read(o); r.Presence != adapters.Foreign || !r.InForce {
		s.Fatalf("read answered %q, in force %v; want foreign, in force", r.Presence, r.InForce)
	}
	r, err := s.device.Apply(s.ctx(), o)
	adopted := r.Outcome == threat.OutcomeSuccess && r.Adopted
	if err != nil || r.Outcome != threat.OutcomeDoesNotExist && !adopted {
		s.Fatalf("apply answered %+v, %v; want does_not_exist, or a success that is adopted", r, err)
	}
	if s.bench.Advance != nil && s.bench.State() != before {
		s.Fatalf("apply changed what was so already:\n%s\n%s", before, s.bench.State())
	}
	s.wantThere(o)
}

// onceMore demands that a later order is not called done for what an earlier one did, unless it is so: a process that was
// ended is not there, but a scan of last week tells nothing of today.
func (s *suite) onceMore() {
	o := s.open()
	s.apply(o)
	s.wantThere(o)
	young := s.order(0, 2)
	switch r := s.read(young); {
	case r.InForce && s.bench.Holds(young): // it is so, and nothing is left to do
		return
	case r.InForce:
		s.Fatal("what an earlier order of ours did was taken for what this one does")
	case r.Presence != adapters.Absent:
		s.Fatalf("read answered %q for an order that was not sent", r.Presence)
	}
	s.apply(young)
	s.wantThere(young)
}

func (s *suite) noWayBack() {
	o := s.open()
	o.Handle = s.apply(o).Handle
	s.wantThere(o)
	before, sends := s.bench.State(), s.bench.Sends()
	_, err := s.bench.Actor.Remove(s.ctx(), o)
	s.wantKind(err, threat.Unsupported, "taking back what was done once")
	if _, ok := s.bench.Actor.(adapters.Renewer); ok {
		_, err := s.device.Renew(s.ctx(), o)
		s.wantKind(err, threat.Unsupported, "renewing what was done once")
	}
	if s.bench.State() != before && s.bench.Advance != nil || s.bench.Sends() != sends {
		s.Error("a refused way back changed the counterpart")
	}
	s.wantThere(o)
}

// canonicalTargets checks the harness's targets, and gives them as the program has them.
func canonicalTargets(h Harness, name string) ([2]threat.Target, error) {
	pair := h.Targets[name]
	v, ok := verb.Find(name)
	if !ok {
		return pair, threat.Faultf(threat.Unsupported, "the table has no verb %s", name)
	}
	for i, t := range pair {
		c, err := verb.CanonicalTarget(v, t)
		if err != nil {
			return pair, err
		}
		if c.Value != t.Value {
			return pair, threat.Faultf(threat.Invalid, "the harness's target %s is not in canonical form: %s is", t, c)
		}
		pair[i] = c
	}
	if pair[0] == pair[1] {
		return pair, errors.New("the harness gives one target twice")
	}
	return pair, nil
}
