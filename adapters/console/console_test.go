package console_test

import (
	"context"
	"sync"
	"testing"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/adapters/adaptertest"
	"github.com/firebreak/firebreak/adapters/console"
	"github.com/firebreak/firebreak/internal/threat"
)

// page stands for the person's page: it shows each attempt once.
type page struct {
	console.Console
	mu    sync.Mutex
	shown []adaptertest.Received
}

func (p *page) Notify(ctx context.Context, m adapters.Message) (adapters.Delivery, error) {
	d, err := p.Console.Notify(ctx, m)
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.shown {
		if p.shown[i].Key == d.ProviderID {
			p.shown[i].Resolved = m.Resolve
			return d, err
		}
	}
	if err == nil {
		p.shown = append(p.shown, adaptertest.Received{Key: d.ProviderID, Subject: threat.Inert(m.Subject, 200), Text: m.Text, Resolved: m.Resolve})
	}
	return d, err
}

func TestConformance(t *testing.T) {
	why := "nothing is sent anywhere"
	adaptertest.RunChannel(t, adaptertest.ChannelHarness{Info: console.Info, To: "ada",
		Open: func(*testing.T) *adaptertest.ChannelBench {
			p := &page{}
			return &adaptertest.ChannelBench{Notifier: p, Received: func() []adaptertest.Received { p.mu.Lock(); defer p.mu.Unlock(); return p.shown }}
		},
		Excuse: map[adaptertest.ChannelFault]string{adaptertest.MessageRefused: why, adaptertest.MessageLimited: why, adaptertest.MessageHangs: why,
			adaptertest.MessageLost: why, adaptertest.MessageDown: why, adaptertest.MessageDenied: why}})
}

func TestProduct(t *testing.T) {
	r, err := adapters.NewRegistry(console.Product())
	if err != nil {
		t.Fatal(err)
	}
	o, err := r.Open(threat.Connection{Adapter: "console"}, "", adapters.Options{})
	if err != nil || o.Notifier == nil || o.Device != nil {
		t.Fatalf("%+v %v", o, err)
	}
	if c := o.Notifier.Channel(); c.Interruptive || !c.TwoWay || !c.Keyed || c.Name != "console" {
		t.Errorf("%+v", c)
	}
	if err := o.Notifier.Test(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := o.Notifier.Notify(t.Context(), adapters.Message{To: "ada"}); !threat.Is(err, threat.Invalid) {
		t.Error(err)
	}
}
