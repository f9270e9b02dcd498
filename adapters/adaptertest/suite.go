package adaptertest

import (
	"context"
	"errors"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// patience is how much longer than its deadline a call may take.
const patience = 3 * time.Second

// Run puts an adapter through the whole suite.
func Run(t *testing.T, h Harness) {
	t.Helper()
	if h.CallTime <= 0 {
		h.CallTime = 300 * time.Millisecond
	}
	if len(h.Info.Verbs) == 0 {
		t.Fatal("an adapter without verbs has nothing to conform to")
	}
	for _, a := range h.Info.Verbs {
		pair, err := canonicalTargets(h, a.Verb)
		if err != nil {
			t.Fatalf("the harness gives no two targets for %s: %v", a.Verb, err)
		}
		for _, c := range checks(a.Verb) {
			t.Run(a.Verb+"/"+c.name, func(t *testing.T) { c.run(&suite{T: t, h: h, ability: a, targets: pair}) })
		}
	}
}

// suite is one test of one verb.
type suite struct {
	*testing.T
	h       Harness
	ability adapters.Ability
	targets [2]threat.Target
	bench   *Bench
	device  *adapters.Device
}

// open gives the test a fresh counterpart.
func (s *suite) open() adapters.Order {
	s.Helper()
	s.bench = s.h.Open(s.T)
	if s.bench.Secret == "" {
		s.bench.Secret = s.h.Secret
	}
	s.device = adapters.Wrap(s.bench.Actor, s.h.Info, adapters.Options{Secrets: []string{s.bench.Secret}, Now: s.bench.now,
		Call: 5 * time.Second})
	if s.bench.Stage != nil {
		for i := range s.targets {
			s.bench.Stage(s.order(i, 1))
		}
	}
	return s.order(0, 1)
}

func (s *suite) ctx() context.Context { return s.T.Context() }

// apply demands a success.
func (s *suite) apply(o adapters.Order) adapters.Receipt {
	s.Helper()
	r, err := s.device.Apply(s.ctx(), o)
	if err != nil || r.Outcome != threat.OutcomeSuccess {
		s.Fatalf("apply answered %+v, %v; want success", r, err)
	}
	return r
}

// read demands an answer, and that a polled list's subscribers had their chance.
func (s *suite) read(o adapters.Order) adapters.Reading {
	s.Helper()
	if s.bench.Fetched != nil {
		s.bench.Fetched()
	}
	if s.bench.Finish != nil {
		s.bench.Finish()
	}
	r, err := s.device.Read(s.ctx(), o)
	if err != nil {
		s.Fatalf("read: %v", err)
	}
	if r.At.IsZero() {
		s.Error("a reading without its time")
	}
	return r
}

// wantOurs demands that the effect is there, ours, and in force on the counterpart.
func (s *suite) wantOurs(o adapters.Order) adapters.Reading {
	s.Helper()
	r := s.read(o)
	if r.Presence != adapters.Ours || !r.InForce {
		s.Fatalf("read answered %q, in force %v (%s); want ours, in force", r.Presence, r.InForce, r.Detail)
	}
	if !s.bench.Holds(o) {
		s.Fatal("the adapter reads the effect, and the counterpart does not hold it")
	}
	return r
}

// wantAbsent demands that the effect is not there, on the counterpart either.
func (s *suite) wantAbsent(o adapters.Order) {
	s.Helper()
	r := s.read(o)
	if r.Presence != adapters.Absent || r.InForce {
		s.Fatalf("read answered %q, in force %v (%s); want absent", r.Presence, r.InForce, r.Detail)
	}
	if s.bench.Holds(o) {
		s.Fatal("the adapter reads nothing, and the counterpart holds the effect")
	}
}

func (s *suite) wantKind(err error, kind threat.FaultKind, what string) {
	s.Helper()
	if got := threat.KindOf(err); got != kind {
		s.Fatalf("%s answered %q (%v); want %q", what, got, err, kind)
	}
	var f *threat.Fault
	if err != nil && !errors.As(err, &f) {
		s.Fatalf("%s answered %T; want a *threat.Fault", what, err)
	}
	s.clean(err)
}

func (s *suite) validation() {
	good := s.open()
	if err := s.device.Validate(good); err != nil {
		s.Fatalf("a good order was refused: %v", err)
	}
	before := s.bench.State()
	cases := map[string]struct {
		kind threat.FaultKind
		edit func(o *adapters.Order)
	}{
		"a verb of another adapter":  {threat.Unsupported, func(o *adapters.Order) { o.Verb = "no_such_verb" }},
		"no verb":                    {threat.Unsupported, func(o *adapters.Order) { o.Verb = "" }},
		"a target kind that is none": {threat.Invalid, func(o *adapters.Order) { o.Target.Kind = "planet" }},
		"no target":                  {threat.Invalid, func(o *adapters.Order) { o.Target.Value = "" }},
		"a target with a blank":      {threat.Invalid, func(o *adapters.Order) { o.Target.Value = " " + o.Target.Value }},
		"a target with a line more":  {threat.Invalid, func(o *adapters.Order) { o.Target.Value += "\n198.51.100.9" }},
		"no end":                     {threat.Invalid, func(o *adapters.Order) { o.Until = time.Time{} }},
		"an end that is over":        {threat.Expired, func(o *adapters.Order) { o.Until = s.bench.now().Add(-time.Second) }},
		"no key":                     {threat.Invalid, func(o *adapters.Order) { o.Key = "" }},
		"no mark":                    {threat.Invalid, func(o *adapters.Order) { o.Mark = "" }},
		"another effect's mark":      {threat.Invalid, func(o *adapters.Order) { o.Mark = adapters.MarkFor(uuid.Max, o.Generation) }},
		"no generation":              {threat.Invalid, func(o *adapters.Order) { o.Generation = 0 }},
	}
	if s.ability.DeviceEnds {
		cases["no end for the device"] = struct {
			kind threat.FaultKind
			edit func(o *adapters.Order)
		}{threat.Invalid, func(o *adapters.Order) { o.DeviceEnds = time.Time{} }}
		cases["a device that ends too early"] = struct {
			kind threat.FaultKind
			edit func(o *adapters.Order)
		}{threat.Invalid, func(o *adapters.Order) { o.DeviceEnds = o.Until.Add(-time.Second) }}
	}
	for name, edit := range s.h.Invalid {
		cases[name] = struct {
			kind threat.FaultKind
			edit func(o *adapters.Order)
		}{"", edit}
	}
	for _, name := range sorted(cases) {
		c := cases[name]
		o := s.order(0, 1)
		c.edit(&o)
		err := s.device.Validate(o)
		if err == nil {
			s.Errorf("%s: accepted", name)
			continue
		}
		if c.kind != "" && threat.KindOf(err) != c.kind {
			s.Errorf("%s: %v; want %s", name, err, c.kind)
		}
		if _, err := s.device.Apply(s.ctx(), o); err == nil {
			s.Errorf("%s: validate refuses it, and apply does it", name)
		}
	}
	if s.bench.State() != before {
		s.Error("a refused order changed the counterpart")
	}
	if s.bench.Sends() != 0 {
		s.Errorf("%d requests went out for refused orders", s.bench.Sends())
	}
}

func (s *suite) dryRun() {
	o := s.open()
	before := s.bench.State()
	plan, err := s.device.Dry(o)
	if err != nil {
		s.Fatal(err)
	}
	if !strings.Contains(plan, o.Target.Value) && (o.Asset.Name == "" || !strings.Contains(plan, o.Asset.Name)) {
		s.Errorf("the plan %q does not name the target", plan)
	}
	s.cleanText(plan)
	if s.bench.State() != before || s.bench.Sends() != 0 {
		s.Error("a dry run changed the counterpart")
	}
	s.wantAbsent(o)
	if s.bench.Sends() != 0 {
		s.Error("a read sent a change")
	}
}

func (s *suite) roundTrip() {
	o := s.open()
	s.wantAbsent(o)
	before := s.bench.State()
	r := s.apply(o)
	if r.Adopted {
		s.Error("what we brought about was called adopted")
	}
	got := s.wantOurs(o)
	if s.ability.DeviceEnds {
		s.wantEnds(got, o.DeviceEnds)
	} else if got.DeviceEnds != nil {
		s.Error("a reading tells a device's end that its ability does not declare")
	}
	o.Handle = r.Handle
	gone, err := s.device.Remove(s.ctx(), o)
	if err != nil || gone.Outcome != threat.OutcomeSuccess {
		s.Fatalf("remove answered %+v, %v", gone, err)
	}
	s.wantAbsent(o)
	v, _ := verb.Find(o.Verb)
	if v.Undo != verb.UndoRemove && s.bench.Advance != nil && s.bench.State() != before {
		s.Errorf("what was before was not put back:\n%s\n%s", before, s.bench.State())
	}
}

// wantEnds allows the device to round to whole seconds, upwards more than downwards.
func (s *suite) wantEnds(r adapters.Reading, want time.Time) {
	s.Helper()
	if r.DeviceEnds == nil {
		s.Fatal("a reading without the device's own end")
	}
	if d := r.DeviceEnds.Sub(want); d < -2*time.Second || d > 2*time.Second {
		s.Errorf("the device ends %s from the time it was told", d)
	}
}

func (s *suite) again() {
	o := s.open()
	switch s.ability.Sending {
	case adapters.Natural, adapters.Keyed:
		s.apply(o)
		first := s.bench.State()
		if r := s.apply(o); r.Adopted {
			s.Error("our own effect was adopted on the second sending")
		}
		if s.bench.Advance != nil && s.bench.State() != first { // a wall clock's remainder moves by itself
			s.Errorf("the same request again changed the counterpart:\n%s\n%s", first, s.bench.State())
		}
	case adapters.Findable:
		s.apply(o)
		s.wantOurs(o) // what a second sending would double is found before it
	case adapters.Blind:
		s.apply(o)
		return
	}
	s.wantOurs(o)
	if r, err := s.device.Remove(s.ctx(), o); err != nil || r.Outcome != threat.OutcomeSuccess {
		s.Fatalf("one removal after two sendings answered %+v, %v", r, err)
	}
	s.wantAbsent(o)
}

func (s *suite) sideBySide() {
	one := s.open()
	two := s.order(1, 1)
	s.apply(one)
	s.wantAbsent(two)
	s.apply(two)
	s.wantOurs(one)
	if _, err := s.device.Remove(s.ctx(), one); err != nil {
		s.Fatal(err)
	}
	s.wantAbsent(one)
	s.wantOurs(two)
}

func (s *suite) adoption() {
	o := s.open()
	if s.h.NoAdoption != "" {
		s.Logf("not applicable: adoption: %s", s.h.NoAdoption)
		return
	}
	s.bench.Plant(o)
	if !s.bench.Holds(o) {
		s.Fatal("the harness planted nothing")
	}
	before := s.bench.State()
	unchanged := func(what string) {
		s.Helper()
		if s.bench.Advance != nil && s.bench.State() != before {
			s.Fatalf("%s changed what stood there before us:\n%s\n%s", what, before, s.bench.State())
		}
		if !s.bench.Holds(o) {
			s.Fatalf("%s took away what stood there before us", what)
		}
	}
	if r := s.read(o); r.Presence != adapters.Foreign {
		s.Fatalf("read answered %q; want foreign", r.Presence)
	}
	r, err := s.device.Apply(s.ctx(), o)
	if err != nil || !r.Adopted || r.Outcome != threat.OutcomeSuccess {
		s.Fatalf("apply answered %+v, %v; want adopted", r, err)
	}
	unchanged("apply")
	if _, ok := s.bench.Actor.(adapters.Renewer); ok {
		r, err := s.device.Renew(s.ctx(), o)
		if err != nil || !r.Adopted {
			s.Fatalf("renew answered %+v, %v; want adopted", r, err)
		}
		unchanged("renew")
	}
	gone, err := s.device.Remove(s.ctx(), o)
	if err != nil || gone.Outcome != threat.OutcomeDoesNotExist {
		s.Fatalf("remove of an adopted effect answered %+v, %v; want does_not_exist: nothing there is ours", gone, err)
	}
	unchanged("remove")
	if r := s.read(o); r.Presence != adapters.Foreign {
		s.Fatalf("after remove, read answered %q; want foreign", r.Presence)
	}
}

func (s *suite) removeAbsent() {
	o := s.open()
	for range 2 {
		r, err := s.device.Remove(s.ctx(), o)
		if err != nil || r.Outcome != threat.OutcomeDoesNotExist {
			s.Fatalf("remove answered %+v, %v; want does_not_exist", r, err)
		}
	}
	s.wantAbsent(o)
}

// generations proves the fence: an old order that was held up neither changes nor removes what came after it, and a new
// one takes over what a lost release left.
func (s *suite) generations() {
	if s.h.NoAdoption != "" {
		s.Logf("not applicable: generations: %s", s.h.NoAdoption)
		return
	}
	old := s.open()
	s.apply(old)
	young := s.order(0, 2)
	if r := s.apply(young); r.Adopted {
		s.Error("what an earlier generation of ours left was adopted, and would never be undone")
	}
	s.wantOurs(young)
	before := s.bench.State()
	if r, err := s.device.Remove(s.ctx(), old); err != nil || r.Outcome != threat.OutcomeDoesNotExist {
		s.Fatalf("an old removal answered %+v, %v; want does_not_exist", r, err)
	}
	if r, err := s.device.Apply(s.ctx(), old); err == nil {
		s.Fatalf("an old order answered %+v; want a conflict", r)
	} else if !threat.Is(err, threat.Conflict) {
		s.Fatalf("an old order answered %v; want a conflict", err)
	}
	if s.bench.Advance != nil && s.bench.State() != before {
		s.Errorf("an old order changed what came after it:\n%s\n%s", before, s.bench.State())
	}
	s.wantOurs(young)
	if r, err := s.device.Remove(s.ctx(), young); err != nil || r.Outcome != threat.OutcomeSuccess {
		s.Fatalf("remove answered %+v, %v", r, err)
	}
	s.wantAbsent(young)
}

func (s *suite) renewal() {
	o := s.open()
	if _, ok := s.bench.Actor.(adapters.Renewer); !ok {
		if s.ability.DeviceEnds {
			s.Fatal("the device lets go by itself, and the adapter cannot set its end anew")
		}
		s.Log("not applicable: renewal: the device has no time-out of its own")
		return
	}
	if _, err := s.device.Renew(s.ctx(), o); !threat.Is(err, threat.NotFound) {
		s.Fatalf("renewing what is not there answered %v; want not_found", err)
	}
	s.wantAbsent(o)
	s.apply(o)
	o.Until = o.Until.Add(time.Hour)
	o.DeviceEnds = o.DeviceEnds.Add(time.Hour)
	r, err := s.device.Renew(s.ctx(), o)
	if err != nil || r.Outcome != threat.OutcomeSuccess || r.Adopted {
		s.Fatalf("renew answered %+v, %v", r, err)
	}
	s.wantEnds(s.wantOurs(o), o.DeviceEnds)
	o.Until = o.Until.Add(-time.Hour) // and earlier again: a hold that a person cut short
	o.DeviceEnds = o.DeviceEnds.Add(-time.Hour)
	if _, err := s.device.Renew(s.ctx(), o); err != nil {
		s.Fatal(err)
	}
	s.wantEnds(s.wantOurs(o), o.DeviceEnds)
}

func (s *suite) deviceEnds() {
	o := s.open()
	if !s.ability.DeviceEnds {
		s.Log("not applicable: device expiry: the device has no time-out of its own")
		return
	}
	o.Until, o.DeviceEnds = s.bench.now().Add(time.Second), s.bench.now().Add(2*time.Second)
	s.apply(o)
	s.wantOurs(o)
	s.bench.pass(4 * time.Second)
	s.wantAbsent(o)
	if r, err := s.device.Remove(s.ctx(), o); err != nil || r.Outcome != threat.OutcomeDoesNotExist {
		s.Fatalf("remove after the device let go answered %+v, %v; want does_not_exist", r, err)
	}
}

func (s *suite) deadline() {
	o := s.open()
	over, cancel := context.WithDeadline(s.ctx(), time.Now().Add(-time.Second))
	defer cancel()
	_, err := s.device.Apply(over, o)
	s.wantKind(err, threat.Unavailable, "apply under a deadline that is over")
	if s.bench.Sends() != 0 {
		s.Fatal("a request went out after its deadline")
	}
	s.wantAbsent(o)
	if why, ok := s.h.Excuse[TimeoutBefore]; ok {
		s.Logf("not applicable: a call that hangs: %s", why)
		return
	}
	for _, op := range []Op{OpApply, OpRead} {
		s.bench.Arm(TimeoutBefore, op)
		begun := time.Now()
		ctx, cancel := context.WithTimeout(s.ctx(), s.h.CallTime)
		if op == OpApply { // bare: the wrapper would come back for it, and leave it running
			_, err = s.bench.Actor.Apply(ctx, o)
		} else {
			_, err = s.bench.Actor.Read(ctx, o)
		}
		cancel()
		if err == nil {
			s.Fatalf("%s answered without an answer", op)
		}
		if took := time.Since(begun); took > s.h.CallTime+patience {
			s.Fatalf("%s took %s under a deadline of %s", op, took, s.h.CallTime)
		}
	}
}

func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
