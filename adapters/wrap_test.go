package adapters_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

var testInfo = adapters.Info{Name: "test", Title: "Test", Verbs: []adapters.Ability{{Verb: "block_ip", Sending: adapters.Natural}}}

// driver is an Actor made of functions.
type driver struct {
	validate func(adapters.Order) error
	read     func(context.Context) (adapters.Reading, error)
	apply    func(context.Context) (adapters.Receipt, error)
	got      *adapters.Order
}

func (d driver) Validate(o adapters.Order) error {
	if d.validate != nil {
		return d.validate(o)
	}
	return nil
}
func (d driver) Read(ctx context.Context, _ adapters.Order) (adapters.Reading, error) {
	return d.read(ctx)
}
func (d driver) Apply(ctx context.Context, o adapters.Order) (adapters.Receipt, error) {
	if d.got != nil {
		*d.got = o
	}
	return d.apply(ctx)
}
func (d driver) Remove(ctx context.Context, o adapters.Order) (adapters.Receipt, error) {
	return d.Apply(ctx, o)
}

func goodOrder() adapters.Order {
	id := threat.DerivedID("effect", "x")
	return adapters.Order{EffectID: id, Generation: 1, Verb: "block_ip", Target: threat.Target{Kind: threat.TargetIP, Value: "198.51.100.7"},
		Key: "k", Mark: adapters.MarkFor(id, 1), Until: time.Now().Add(time.Hour)}
}

// TestErrorKinds holds what the wrapper makes of each way in which a driver can fail.
func TestErrorKinds(t *testing.T) {
	bare := errors.New("a driver's own words")
	dial := &net.OpError{Op: "dial", Err: errors.New("refused")}
	cut := &net.OpError{Op: "read", Err: errors.New("reset")}
	for _, c := range []struct {
		name         string
		handedOver   bool
		err          error
		panics       any
		change, read threat.FaultKind
	}{
		{name: "a deadline, and nothing said of the sending", err: context.DeadlineExceeded, change: threat.Unknown, read: threat.Unavailable},
		{name: "a deadline after the sending", handedOver: true, err: context.DeadlineExceeded, change: threat.Unknown, read: threat.Unavailable},
		{name: "a cancellation", err: context.Canceled, change: threat.Unknown, read: threat.Unavailable},
		{name: "no connection", err: dial, change: threat.Unavailable, read: threat.Unavailable},
		{name: "a cut after the sending", handedOver: true, err: cut, change: threat.Unknown, read: threat.Unavailable},
		{name: "a cut before the sending", err: cut, change: threat.Unavailable, read: threat.Unavailable},
		{name: "a defect", err: bare, change: threat.Internal, read: threat.Internal},
		{name: "a defect after the sending", handedOver: true, err: bare, change: threat.Unknown, read: threat.Internal},
		{name: "a panic", panics: "oh", change: threat.Internal, read: threat.Internal},
		{name: "a panic after the sending", handedOver: true, panics: bare, change: threat.Unknown, read: threat.Internal},
		{name: "a fault", err: threat.Faultf(threat.Forbidden, "no"), change: threat.Forbidden, read: threat.Forbidden},
		{name: "an unknown fault", err: threat.Faultf(threat.Unknown, "perhaps"), change: threat.Unknown, read: threat.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			fail := func(ctx context.Context) error {
				if c.handedOver {
					adapters.HandedOver(ctx)
				}
				if c.panics != nil {
					panic(c.panics)
				}
				return c.err
			}
			d := adapters.Wrap(driver{
				read:  func(ctx context.Context) (adapters.Reading, error) { return adapters.Reading{}, fail(ctx) },
				apply: func(ctx context.Context) (adapters.Receipt, error) { return adapters.Receipt{}, fail(ctx) },
			}, testInfo, adapters.Options{})
			if _, err := d.Apply(t.Context(), goodOrder()); threat.KindOf(err) != c.change {
				t.Errorf("apply answered %v; want %s", err, c.change)
			}
			if _, err := d.Remove(t.Context(), goodOrder()); threat.KindOf(err) != c.change {
				t.Errorf("remove answered %v; want %s", err, c.change)
			}
			if _, err := d.Read(t.Context(), goodOrder()); threat.KindOf(err) != c.read {
				t.Errorf("read answered %v; want %s", err, c.read)
			}
		})
	}
}

func TestDeadlineHoldsAgainstADeafDriver(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	d := adapters.Wrap(driver{
		read:  func(context.Context) (adapters.Reading, error) { <-stop; return adapters.Reading{}, nil },
		apply: func(context.Context) (adapters.Receipt, error) { <-stop; return adapters.Receipt{}, nil },
	}, testInfo, adapters.Options{Call: 50 * time.Millisecond})
	begun := time.Now()
	_, err := d.Apply(context.Background(), goodOrder()) // no deadline of its own: the option's
	if !threat.Is(err, threat.Unknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("apply answered %v", err)
	}
	if _, err := d.Read(context.Background(), goodOrder()); !threat.Is(err, threat.Unavailable) {
		t.Errorf("read answered %v", err)
	}
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("took %s", took)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	d = adapters.Wrap(driver{apply: func(context.Context) (adapters.Receipt, error) { t.Error("sent"); return adapters.Receipt{}, nil }}, testInfo, adapters.Options{})
	if _, err := d.Apply(over, goodOrder()); !threat.Is(err, threat.Unavailable) {
		t.Errorf("a call without time answered %v", err)
	}
}

// TestNoSecretInAnyText has a driver that says its credential in every way, everywhere.
func TestNoSecretInAnyText(t *testing.T) {
	const secret = `p@ss "word"/+1`
	forms := []string{secret, url.QueryEscape(secret), url.PathEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret)),
		base64.RawURLEncoding.EncodeToString([]byte(secret)), `p@ss \"word\"/+1`}
	all := strings.Join(forms, " ; ")
	clean := func(what, s string) {
		t.Helper()
		for _, f := range forms {
			if strings.Contains(s, f) {
				t.Errorf("%s holds %q: %q", what, f, s)
			}
		}
	}
	cause := errors.Join(errors.New("x"), &url.Error{Op: "Get", URL: "https://h/?t=" + url.QueryEscape(secret), Err: context.DeadlineExceeded})
	d := adapters.Wrap(driver{
		read: func(context.Context) (adapters.Reading, error) {
			return adapters.Reading{Presence: adapters.Ours, Detail: all, Handle: secret, Prior: json.RawMessage(`{"k":"` + forms[5] + `"}`)}, nil
		},
		apply: func(context.Context) (adapters.Receipt, error) {
			return adapters.Receipt{}, &threat.Fault{Kind: threat.Unknown, What: all, Place: secret, Next: all, Err: cause}
		},
	}, testInfo, adapters.Options{Secrets: []string{"", secret}})
	_, err := d.Apply(t.Context(), goodOrder())
	var f *threat.Fault
	if !errors.As(err, &f) || f.Kind != threat.Unknown {
		t.Fatal(err)
	}
	clean("the fault", f.What+f.Place+f.Next+f.Error())
	clean("its cause", f.Err.Error())
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error("the cleaned cause is no deadline any more")
	}
	for e := error(f); e != nil; e = errors.Unwrap(e) {
		clean("the chain", e.Error())
	}
	r, err := d.Read(t.Context(), goodOrder())
	if err != nil {
		t.Fatal(err)
	}
	clean("the reading", r.Detail+r.Handle+string(r.Prior))
	if !json.Valid(r.Prior) {
		t.Errorf("the prior state is no JSON any more: %s", r.Prior)
	}
	panicking := adapters.Wrap(driver{apply: func(context.Context) (adapters.Receipt, error) { panic("with " + secret) }}, testInfo, adapters.Options{Secrets: []string{secret}})
	if _, err := panicking.Apply(t.Context(), goodOrder()); err == nil {
		t.Error("a panic was swallowed")
	} else {
		clean("the panic", err.Error())
	}
}

func TestTextsAreInertAndBounded(t *testing.T) {
	d := adapters.Wrap(driver{apply: func(context.Context) (adapters.Receipt, error) {
		return adapters.Receipt{Outcome: threat.OutcomeSuccess, Detail: "a\x1b[31m\u202e" + strings.Repeat("x", 10000)}, nil
	}}, testInfo, adapters.Options{})
	r, err := d.Apply(t.Context(), goodOrder())
	if err != nil {
		t.Fatal(err)
	}
	if n := len([]rune(r.Detail)); n > adapters.MaxDetail+1 || strings.ContainsAny(r.Detail, "\x1b\u202e") {
		t.Errorf("%d runes: %q", n, r.Detail)
	}
}

func TestAnAnswerWithoutAnOutcomeIsNoSuccess(t *testing.T) {
	d := adapters.Wrap(driver{apply: func(context.Context) (adapters.Receipt, error) { return adapters.Receipt{}, nil }}, testInfo, adapters.Options{})
	if r, err := d.Apply(t.Context(), goodOrder()); !threat.Is(err, threat.Unknown) {
		t.Fatalf("answered %+v, %v", r, err)
	}
}

func TestTheWayBackIsNotValidated(t *testing.T) {
	d := adapters.Wrap(driver{
		validate: func(adapters.Order) error { return threat.Faultf(threat.Invalid, "the settings allow this no longer") },
		read:     func(context.Context) (adapters.Reading, error) { return adapters.Reading{Presence: adapters.Ours}, nil },
		apply: func(context.Context) (adapters.Receipt, error) {
			return adapters.Receipt{Outcome: threat.OutcomeSuccess}, nil
		},
	}, testInfo, adapters.Options{})
	o := goodOrder()
	if _, err := d.Apply(t.Context(), o); !threat.Is(err, threat.Invalid) {
		t.Errorf("apply answered %v", err)
	}
	o.Until = time.Now().Add(-time.Hour) // and the end is over, which is when things are removed
	if _, err := d.Remove(t.Context(), o); err != nil {
		t.Errorf("remove answered %v", err)
	}
	if _, err := d.Read(t.Context(), o); err != nil {
		t.Errorf("read answered %v", err)
	}
}

func TestDeviceEndsOnlyWhereDeclared(t *testing.T) {
	var got adapters.Order
	d := adapters.Wrap(driver{got: &got, apply: func(context.Context) (adapters.Receipt, error) {
		return adapters.Receipt{Outcome: threat.OutcomeSuccess}, nil
	}}, testInfo, adapters.Options{})
	o := goodOrder()
	o.DeviceEnds = o.Until.Add(time.Hour)
	if _, err := d.Apply(t.Context(), o); err != nil || !got.DeviceEnds.IsZero() {
		t.Errorf("a device without a time-out was given one: %s, %v", got.DeviceEnds, err)
	}
}

func TestMarks(t *testing.T) {
	o := goodOrder()
	o.Generation, o.Mark = 3, adapters.MarkFor(o.EffectID, 3)
	other := threat.DerivedID("effect", "y")
	for mark, want := range map[string][2]bool{
		o.Mark:                             {true, false},
		adapters.MarkFor(o.EffectID, 2):    {true, false},
		adapters.MarkFor(o.EffectID, 4):    {false, true},
		adapters.MarkFor(other, 3):         {false, false},
		"":                                 {false, false},
		"by hand":                          {false, false},
		o.Mark + " ":                       {false, false},
		strings.ToUpper(o.Mark):            {false, false},
		"firebreak:" + o.EffectID.String(): {false, false},
		"firebreak:" + o.EffectID.String() + ":+3": {false, false},
		"firebreak:" + o.EffectID.String() + ":03": {false, false},
	} {
		if o.Owns(mark) != want[0] || o.Overtaken(mark) != want[1] {
			t.Errorf("%q: owns %v, overtaken %v; want %v", mark, o.Owns(mark), o.Overtaken(mark), want)
		}
	}
	if (adapters.Order{}).Owns("") {
		t.Error("an order without a mark owns what has none")
	}
}

func TestRegistry(t *testing.T) {
	open := func(c threat.Connection, _ string) (any, error) {
		return driver{apply: func(context.Context) (adapters.Receipt, error) { return adapters.Receipt{}, errors.New("said s3cret") }}, nil
	}
	one := adapters.Product{Info: adapters.Info{Name: "one", Title: "One", Verbs: testInfo.Verbs,
		Settings: []adapters.Setting{{Name: "url", Required: true}, {Name: "extra"}}}, Open: open}
	for name, p := range map[string]adapters.Product{
		"no name":   {Info: adapters.Info{Title: "x"}, Open: open},
		"no title":  {Info: adapters.Info{Name: "xx"}, Open: open},
		"no opener": {Info: adapters.Info{Name: "xx", Title: "x"}},
		"twice":     one,
		"a verb that does not say how it is sent": {Info: adapters.Info{Name: "xx", Title: "x", Verbs: []adapters.Ability{{Verb: "v"}}}, Open: open},
	} {
		if _, err := adapters.NewRegistry(one, p); !threat.Is(err, threat.Internal) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r, err := adapters.NewRegistry(one)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.With("block_ip")) != 1 || len(r.With("other")) != 0 || len(r.Verbs("one")) != 1 || len(r.Verbs("two")) != 0 || r.Names()[0] != "one" {
		t.Error("the registry does not find what it holds")
	}
	for _, c := range []struct {
		c    threat.Connection
		kind threat.FaultKind
	}{
		{threat.Connection{Adapter: "two"}, threat.NotFound},
		{threat.Connection{Adapter: "one"}, threat.Invalid},
		{threat.Connection{Adapter: "one", Settings: map[string]string{"url": "u", "ulr": "u"}}, threat.Invalid},
	} {
		if _, err := r.Open(c.c, "", adapters.Options{}); !threat.Is(err, c.kind) {
			t.Errorf("%+v: %v; want %s", c.c, err, c.kind)
		}
	}
	got, err := r.Open(threat.Connection{Adapter: "one", Settings: map[string]string{"url": "u"}}, "s3cret", adapters.Options{})
	if err != nil || got.Device == nil || got.Detector != nil || got.Notifier != nil {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := got.Device.Apply(t.Context(), goodOrder()); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("the connection's secret is not kept: %v", err)
	}
}

// speaker is a Notifier of a test's.
type speaker func(context.Context) (adapters.Delivery, error)

func (s speaker) Channel() adapters.Channel { return adapters.Channel{Name: "test"} }
func (s speaker) Notify(ctx context.Context, _ adapters.Message) (adapters.Delivery, error) {
	return s(ctx)
}

func TestNotifiersAreWrapped(t *testing.T) {
	n := adapters.WrapNotifier(speaker(func(ctx context.Context) (adapters.Delivery, error) {
		<-ctx.Done()
		return adapters.Delivery{}, ctx.Err()
	}), testInfo, adapters.Options{Call: 20 * time.Millisecond})
	if _, err := n.Notify(t.Context(), adapters.Message{To: "a@example.com"}); !threat.Is(err, threat.Unknown) {
		t.Errorf("a message that may have gone out answered %v", err)
	}
	if _, err := n.Notify(t.Context(), adapters.Message{}); !threat.Is(err, threat.Invalid) {
		t.Errorf("a message to nobody answered %v", err)
	}
}
