package adapters

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// DefaultCall bounds one call when its context has no deadline.
const DefaultCall = 15 * time.Second

// grace is how long a driver may still take after the deadline to come back with its own, better error.
const grace = 250 * time.Millisecond

// Options are what Wrap needs to know beside the adapter.
type Options struct {
	Secrets []string         // values that must never stand in any text
	Call    time.Duration    // of one call whose context has no deadline; zero is DefaultCall
	Now     func() time.Time // zero is time.Now
}

// Device is an Actor with the behaviour that all share. An order is checked before the driver sees it: the verb is one of
// the adapter's (Unsupported), the target is canonical, the mark is ours and the end is told (Invalid) and lies ahead
// (Expired). A call ends at its deadline even if the driver does not. A panic is an Internal fault, or Unknown when the
// request had been handed over. Every error is a *threat.Fault whose kind says whether something may have happened, and
// no text holds a secret or more than MaxDetail runes.
type Device struct {
	actor  Actor
	info   Info
	redact *Redactor
	call   time.Duration
	now    func() time.Time
}

var (
	_ Actor   = (*Device)(nil)
	_ Renewer = (*Device)(nil)
	_ Planner = (*Device)(nil)
	_ Tester  = (*Device)(nil)
)

// Wrap gives an actor the behaviour that all share.
func Wrap(actor Actor, info Info, o Options) *Device {
	d := &Device{actor: actor, info: info, redact: NewRedactor(o.Secrets...), call: o.Call, now: o.Now}
	if d.call <= 0 {
		d.call = DefaultCall
	}
	if d.now == nil {
		d.now = time.Now
	}
	return d
}

// Info describes the adapter.
func (d *Device) Info() Info { return d.info }

// Ability gives what the adapter can do with a verb.
func (d *Device) Ability(verb string) (Ability, bool) { return d.info.Ability(verb) }

// Ability gives what an adapter can do with a verb.
func (i Info) Ability(verb string) (Ability, bool) {
	for _, a := range i.Verbs {
		if a.Verb == verb {
			return a, true
		}
	}
	return Ability{}, false
}

// Validate checks that an order could be applied now, without contacting the device.
func (d *Device) Validate(o Order) error {
	_, err := d.check(o, true)
	return err
}

// Dry says in words what applying an order would do. Nothing is sent.
func (d *Device) Dry(o Order) (string, error) {
	o, err := d.check(o, true)
	if err != nil {
		return "", err
	}
	p, ok := d.actor.(Planner)
	if !ok {
		return d.redact.Text(fmt.Sprintf("%s of %s on %s until %s", o.Verb, o.Target, d.info.Title,
			o.Until.UTC().Format(time.RFC3339))), nil
	}
	var plan string
	if err := d.guard("plan", nil, func() (err error) { plan, err = p.Plan(o); return err }); err != nil {
		return "", err
	}
	return d.redact.Text(plan), nil
}

// Plan is Dry under the name of the Planner interface.
func (d *Device) Plan(o Order) (string, error) { return d.Dry(o) }

// Read tells whether the effect is there. Its faults are never Unknown: a read changes nothing.
func (d *Device) Read(ctx context.Context, o Order) (Reading, error) {
	o, err := d.check(o, false)
	if err != nil {
		return Reading{}, err
	}
	r, err := run(ctx, d, "read", false, func(ctx context.Context) (Reading, error) { return d.actor.Read(ctx, o) })
	if err != nil {
		return Reading{}, err
	}
	r.Detail, r.Handle = d.redact.Text(r.Detail), d.redact.clean(r.Handle)
	if r.Prior != nil && d.redact.Holds(string(r.Prior)) {
		r.Prior = json.RawMessage(d.redact.clean(string(r.Prior)))
	}
	if r.At.IsZero() {
		r.At = d.now().UTC()
	}
	return r, nil
}

// Apply brings the effect about.
func (d *Device) Apply(ctx context.Context, o Order) (Receipt, error) {
	o, err := d.check(o, true)
	if err != nil {
		return Receipt{}, err
	}
	r, err := run(ctx, d, "apply", true, func(ctx context.Context) (Receipt, error) { return d.actor.Apply(ctx, o) })
	return d.receipt(r, err)
}

// Remove takes away what is ours. What is done once cannot be taken back, and answers Unsupported.
func (d *Device) Remove(ctx context.Context, o Order) (Receipt, error) {
	o, err := d.check(o, false)
	if err != nil {
		return Receipt{}, err
	}
	if err := lasts(o, "taken back"); err != nil {
		return Receipt{}, err
	}
	r, err := run(ctx, d, "remove", true, func(ctx context.Context) (Receipt, error) { return d.actor.Remove(ctx, o) })
	return d.receipt(r, err)
}

// Renew sets the device's own time-out anew; an adapter that has none of its own for this applies again.
func (d *Device) Renew(ctx context.Context, o Order) (Receipt, error) {
	o, err := d.check(o, true)
	if err != nil {
		return Receipt{}, err
	}
	if err := lasts(o, "renewed"); err != nil {
		return Receipt{}, err
	}
	renew := d.actor.Apply
	if r, ok := d.actor.(Renewer); ok {
		renew = r.Renew
	}
	r, err := run(ctx, d, "renew", true, func(ctx context.Context) (Receipt, error) { return renew(ctx, o) })
	return d.receipt(r, err)
}

// Test tries the connection without changing anything; an adapter without such a try answers Unsupported.
func (d *Device) Test(ctx context.Context) error {
	t, ok := d.actor.(Tester)
	if !ok {
		return &threat.Fault{Kind: threat.Unsupported, What: d.info.Title + " has no way to try a connection"}
	}
	_, err := run(ctx, d, "test", false, func(ctx context.Context) (struct{}, error) { return struct{}{}, t.Test(ctx) })
	return err
}

func (d *Device) receipt(r Receipt, err error) (Receipt, error) {
	if err != nil {
		return Receipt{}, err
	}
	r.Detail, r.Handle = d.redact.Text(r.Detail), d.redact.clean(r.Handle)
	if r.Outcome == threat.OutcomeNone { // an adapter that does not say what came of it has not said success
		return Receipt{}, &threat.Fault{Kind: threat.Unknown, What: d.info.Title + " gave no outcome", Next: "read before repeating"}
	}
	return r, nil
}

// check refuses an order that no device should see. With ends, the order also has to say until when.
func (d *Device) check(o Order, ends bool) (Order, error) {
	a, ok := d.info.Ability(o.Verb)
	if !ok {
		return o, &threat.Fault{Kind: threat.Unsupported, Place: "/verb",
			What: fmt.Sprintf("%s cannot %q", d.info.Title, threat.Inert(o.Verb, 64))}
	}
	if err := canonical(o.Target); err != nil {
		return o, err
	}
	invalid := func(place, what string) (Order, error) {
		return o, &threat.Fault{Kind: threat.Invalid, What: what, Place: place}
	}
	switch {
	case o.EffectID == uuid.Nil || o.Generation < 1:
		return invalid("/effect", "an order without an effect and its generation")
	case o.Mark != MarkFor(o.EffectID, o.Generation):
		return invalid("/mark", "a mark that is not that of the effect and its generation")
	}
	if !a.DeviceEnds {
		o.DeviceEnds = time.Time{}
	}
	if ends {
		now := d.now()
		switch {
		case o.Key == "":
			return invalid("/key", "an order without a key")
		case o.Until.IsZero():
			return invalid("/until", "a containment without an end")
		case !o.Until.After(now):
			return o, &threat.Fault{Kind: threat.Expired, What: "the containment's end is over", Place: "/until"}
		case a.DeviceEnds && o.DeviceEnds.IsZero():
			return invalid("/device_ends", "the device lets go by itself and was not told when")
		case a.DeviceEnds && o.DeviceEnds.Before(o.Until):
			return invalid("/device_ends", "the device would let go before the containment's end")
		}
	}
	if !ends { // settings that were narrowed since bar neither a look nor the way back
		return o, nil
	}
	return o, d.guard("validate", nil, func() error { return d.actor.Validate(o) })
}

// lasts refuses to do to what is done once what only a hold can bear.
func lasts(o Order, what string) error {
	if !verb.Once(o.Verb) {
		return nil
	}
	return &threat.Fault{Kind: threat.Unsupported, What: o.Verb + " is done once: it cannot be " + what, Place: "/verb"}
}

// canonical refuses a target that is not written as the rest of the house writes it: an effect's identity hangs on it.
func canonical(t threat.Target) error {
	c, err := t.Canonical()
	_, on := c.Asset()
	switch {
	case err != nil:
	case c.Value != t.Value:
		err = threat.Faultf(threat.Invalid, "%q is not in canonical form", threat.Inert(t.Value, 64))
	case on && !t.AssetID.Valid:
		err = threat.Faultf(threat.Invalid, "a target that names no asset")
	}
	if err == nil {
		return nil
	}
	var f *threat.Fault
	errors.As(err, &f)
	place := f.Place
	if place == "" {
		place = "/target/value"
	}
	return &threat.Fault{Kind: threat.Invalid, What: f.What, Place: place}
}

// sent is where a call keeps whether its request went out.
type sent struct{ over atomic.Bool }

type sentKey struct{}

// HandedOver notes that the request of this call is leaving now, and may take effect from here on. The shared HTTP client
// and runners call it; a driver with a transport of its own calls it just before it writes.
func HandedOver(ctx context.Context) {
	if s, ok := ctx.Value(sentKey{}).(*sent); ok {
		s.over.Store(true)
	}
}

// run makes one call: with a deadline, beside the driver's own honesty about it.
func run[T any](ctx context.Context, d *Device, what string, changes bool, fn func(context.Context) (T, error)) (T, error) {
	var zero T
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.call)
		defer cancel()
	}
	if err := ctx.Err(); err != nil { // nothing has been handed over yet
		return zero, d.redact.Fault(&threat.Fault{Kind: threat.Unavailable,
			What: "no time was left to " + what + " on " + d.info.Title, Err: err})
	}
	s := &sent{}
	type answer struct {
		v   T
		err error
	}
	done := make(chan answer, 1) // a driver that ignores its deadline finds room here and goes
	go func() {
		var a answer
		a.err = d.guard(what, &call{changes: changes, sent: s}, func() (err error) {
			a.v, err = fn(context.WithValue(ctx, sentKey{}, s))
			return err
		})
		done <- a
	}()
	select {
	case a := <-done:
		return a.v, a.err
	case <-ctx.Done():
	}
	wait := time.NewTimer(grace)
	defer wait.Stop()
	select {
	case a := <-done:
		return a.v, a.err
	case <-wait.C:
	}
	kind := threat.Unavailable
	if changes {
		kind = threat.Unknown // the driver still runs; what it does, it does
	}
	return zero, &threat.Fault{Kind: kind, What: d.info.Title + " did not " + what + " in time", Next: next(kind), Err: ctx.Err()}
}

// call is what the classing of an error needs to know of the call that it came from; nil where nothing is sent.
type call struct {
	changes bool
	sent    *sent
}

// guard runs a piece of a driver, and gives its panics and errors the shape of a fault.
func (d *Device) guard(what string, c *call, fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			kind := threat.Internal
			if c != nil && c.changes && c.sent.over.Load() {
				kind = threat.Unknown
			}
			err = d.redact.Fault(&threat.Fault{Kind: kind, What: fmt.Sprintf("the adapter of %s panicked in %s: %v", d.info.Title, what, p),
				Next: next(kind)})
		}
	}()
	return d.class(what, c, fn())
}

// class gives a driver's error the kind that says what its reader can do.
func (d *Device) class(what string, c *call, err error) error {
	if err == nil {
		return nil
	}
	changes := c != nil && c.changes
	var f *threat.Fault
	if errors.As(err, &f) {
		out := d.redact.Fault(f)
		if out.Kind == threat.Unknown && !changes { // a read or a check has changed nothing
			out.Kind = threat.Unavailable
		}
		return out
	}
	kind := threat.Internal
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		// A driver that was entered and does not say how far it got may have sent.
		kind = threat.Unavailable
		if changes {
			kind = threat.Unknown
		}
	case errors.As(err, &op) && op.Op == "dial":
		kind = threat.Unavailable
	case changes && c.sent.over.Load():
		kind = threat.Unknown
	case errors.As(err, &op):
		kind = threat.Unavailable
	}
	return d.redact.Fault(&threat.Fault{Kind: kind, What: d.info.Title + " could not " + what + ": " + err.Error(), Next: next(kind), Err: err})
}

func next(kind threat.FaultKind) string {
	if kind == threat.Unknown {
		return "read before repeating"
	}
	return ""
}
