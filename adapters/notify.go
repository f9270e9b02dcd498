package adapters

import (
	"context"

	"github.com/firebreak/firebreak/internal/threat"
)

// Speaker is a Notifier with the behaviour that all share: a deadline, kinds of errors, no secret in any text. A message
// without an attempt or an address is Invalid.
type Speaker struct {
	notifier Notifier
	device   *Device
}

var _ Notifier = (*Speaker)(nil)

// WrapNotifier gives a channel to people the behaviour that all share.
func WrapNotifier(n Notifier, info Info, o Options) *Speaker {
	return &Speaker{notifier: n, device: Wrap(nil, info, o)}
}

// Channel tells what kind of channel it is.
func (s *Speaker) Channel() Channel { return s.notifier.Channel() }

// Notify hands a message to the provider.
func (s *Speaker) Notify(ctx context.Context, m Message) (Delivery, error) {
	if m.To == "" {
		return Delivery{}, &threat.Fault{Kind: threat.Invalid, What: "a message to nobody", Place: "/to"}
	}
	d, err := run(ctx, s.device, "notify", true, func(ctx context.Context) (Delivery, error) { return s.notifier.Notify(ctx, m) })
	if err != nil {
		return Delivery{}, err
	}
	d.Detail, d.ProviderID = s.device.redact.Text(d.Detail), s.device.redact.clean(d.ProviderID)
	return d, nil
}

// Test tries the channel without sending; one without such a try answers Unsupported.
func (s *Speaker) Test(ctx context.Context) error {
	t, ok := s.notifier.(Tester)
	if !ok {
		return &threat.Fault{Kind: threat.Unsupported, What: s.device.info.Title + " has no way to try a connection"}
	}
	_, err := run(ctx, s.device, "test", false, func(ctx context.Context) (struct{}, error) { return struct{}{}, t.Test(ctx) })
	return err
}
