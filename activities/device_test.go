package activities_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/adapters/feed"
	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// infos are the simulated products: a wall that shows at once what it does, and one that takes its time.
var infos = map[string]adapters.Info{
	"wall": {Name: "wall", Title: "Wall", Verbs: []adapters.Ability{{Verb: verb.BlockIP, Sending: adapters.Natural, Settle: time.Second, DeviceEnds: true}}},
	"slow": {Name: "slow", Title: "Slow wall", Verbs: []adapters.Ability{{Verb: verb.BlockIP, Sending: adapters.Natural, Settle: 8 * time.Second}}},
	"feed": feed.Info, "agents": agentInfo,
}

// wall is a simulated device: what it holds by target, and the faults that it plays.
type wall struct {
	h  *house
	id uuid.UUID

	mu      sync.Mutex
	entries map[string]entry
	applied map[string]int // by mark: how often it went from absent to present
	wrong   []string       // what must never be seen

	before, after error                // of the next Apply: without and with its effect
	apply         func() error         // instead of before, while it is set
	remove        func() error         // before Remove
	read          func() error         // before Read
	lies          bool                 // Apply says success and does nothing
	calls         map[string]int       // by method
	hook          func(adapters.Order) // while Apply runs
}

type entry struct {
	mark string
	ends time.Time // zero: never
}

// wall adds a device of a simulated product.
func (h *house) wall(adapter string) *wall {
	h.Helper()
	c := storetest.Connection(h, h.s, h.tenant, adapter)
	w := &wall{h: h, id: c.ID, entries: map[string]entry{}, applied: map[string]int{}, calls: map[string]int{}}
	h.walls[c.ID] = w
	return w
}

// feed adds a list that firewalls poll, kept by the store.
func (h *house) feed() threat.Connection {
	h.Helper()
	c := storetest.Connection(h, h.s, h.tenant, "feed")
	f, err := feed.Open(c, h.s, func(context.Context, uuid.UUID) ([]string, error) { return nil, nil }, feed.Options{Now: h.clock.Now})
	require.NoError(h, err)
	h.feeds[c.ID] = f
	return c
}

// Device opens a simulated device.
func (h *house) Device(ctx context.Context, id uuid.UUID) (*adapters.Device, error) {
	c, err := h.s.Connection(ctx, id)
	if err != nil {
		return nil, err
	}
	if !c.Enabled {
		return nil, threat.Faultf(threat.Unsupported, "the connection is disabled")
	}
	o := adapters.Options{Now: h.clock.Now}
	if f := h.feeds[id]; f != nil {
		return adapters.Wrap(f, feed.Info, o), nil
	}
	if a := h.agents[id]; a != nil {
		return adapters.Wrap(a, agentInfo, o), nil
	}
	return adapters.Wrap(h.walls[id], infos[c.Adapter], o), nil
}

// Able tells what a simulated product can do.
func (h *house) Able(adapter, v string) (adapters.Ability, bool) { return infos[adapter].Ability(v) }

func (w *wall) call(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[what]++
}

func (w *wall) seen(what string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[what]
}

// holds gives the mark that stands for a target.
func (w *wall) holds(value string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expire()
	return w.entries[value].mark
}

// lose takes an entry away, as an administrator of the device would.
func (w *wall) lose(value string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.entries, value)
}

func (w *wall) put(value, mark string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.entries[value] = entry{mark: mark}
}

func (w *wall) expire() {
	for k, e := range w.entries {
		if !e.ends.IsZero() && !e.ends.After(w.h.clock.Now()) {
			delete(w.entries, k)
		}
	}
}

func (w *wall) Validate(adapters.Order) error { return nil }

func (w *wall) Read(_ context.Context, o adapters.Order) (adapters.Reading, error) {
	w.call("read")
	if w.read != nil {
		if err := w.read(); err != nil {
			return adapters.Reading{}, err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expire()
	e, there := w.entries[o.Target.Value]
	r := adapters.Reading{Presence: adapters.Absent, At: w.h.clock.Now(), Detail: "not there"}
	if !there {
		return r, nil
	}
	r.Presence, r.InForce, r.Detail = adapters.Foreign, true, "there"
	if o.Owns(e.mark) {
		r.Presence = adapters.Ours
	}
	if !e.ends.IsZero() {
		ends := e.ends
		r.DeviceEnds = &ends
	}
	return r, nil
}

func (w *wall) Apply(_ context.Context, o adapters.Order) (adapters.Receipt, error) {
	w.call("apply")
	w.h.mu.Lock()
	hook := w.hook
	w.h.mu.Unlock()
	if hook != nil {
		hook(o)
	}
	if w.apply != nil {
		if err := w.apply(); err != nil {
			return adapters.Receipt{}, err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expire()
	if err := w.before; err != nil {
		w.before = nil
		return adapters.Receipt{}, err
	}
	receipt := adapters.Receipt{Outcome: threat.OutcomeSuccess, Handle: "entry " + o.Target.Value}
	if w.lies {
		return receipt, nil
	}
	e, there := w.entries[o.Target.Value]
	switch {
	case there && !o.Owns(e.mark):
		receipt.Adopted = true
		return receipt, nil
	case there && e.mark == o.Mark:
		w.wrong = append(w.wrong, "sent again: "+o.Mark)
	}
	if w.applied[o.Mark]++; w.applied[o.Mark] > 1 {
		w.wrong = append(w.wrong, fmt.Sprintf("%s came %d times", o.Mark, w.applied[o.Mark]))
	}
	w.entries[o.Target.Value] = entry{mark: o.Mark, ends: o.DeviceEnds}
	if err := w.after; err != nil {
		w.after = nil
		return adapters.Receipt{}, err
	}
	return receipt, nil
}

func (w *wall) Renew(_ context.Context, o adapters.Order) (adapters.Receipt, error) {
	w.call("renew")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expire()
	e, there := w.entries[o.Target.Value]
	if !there || !o.Owns(e.mark) {
		return adapters.Receipt{}, threat.Faultf(threat.NotFound, "it is not there any more")
	}
	w.entries[o.Target.Value] = entry{mark: o.Mark, ends: o.DeviceEnds}
	return adapters.Receipt{Outcome: threat.OutcomeSuccess}, nil
}

func (w *wall) Remove(_ context.Context, o adapters.Order) (adapters.Receipt, error) {
	w.call("remove")
	if w.remove != nil {
		if err := w.remove(); err != nil {
			return adapters.Receipt{}, err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	e, there := w.entries[o.Target.Value]
	if !there || !o.Owns(e.mark) {
		return adapters.Receipt{Outcome: threat.OutcomeDoesNotExist}, nil
	}
	delete(w.entries, o.Target.Value)
	return adapters.Receipt{Outcome: threat.OutcomeSuccess}, nil
}

// phone is a simulated channel to people.
type phone struct {
	h       *house
	id      uuid.UUID
	channel adapters.Channel
	delay   time.Duration // of the method, after its step begins
	notify  func(adapters.Message) error
	sent    []adapters.Message
	at      []time.Time
}

// phone adds a channel to people. Rings: it is interruptive, two-way and keyed, as a pager; else it is mail.
func (h *house) phone(name string, rings bool) *phone {
	h.Helper()
	c := storetest.Connection(h, h.s, h.tenant, name)
	p := &phone{h: h, id: c.ID, channel: adapters.Channel{Name: name, Interruptive: rings, TwoWay: rings, Keyed: rings}}
	h.phones[c.ID] = p
	return p
}

// Speaker opens a simulated channel.
func (h *house) Speaker(_ context.Context, id uuid.UUID) (*adapters.Speaker, error) {
	p := h.phones[id]
	if p == nil {
		return nil, threat.Faultf(threat.NotFound, "no such channel")
	}
	return adapters.WrapNotifier(p, adapters.Info{Name: p.channel.Name, Title: p.channel.Name}, adapters.Options{Now: h.clock.Now}), nil
}

func (p *phone) Channel() adapters.Channel { return p.channel }

func (p *phone) Notify(_ context.Context, m adapters.Message) (adapters.Delivery, error) {
	if p.notify != nil {
		if err := p.notify(m); err != nil {
			return adapters.Delivery{}, err
		}
	}
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	p.sent, p.at = append(p.sent, m), append(p.at, p.h.clock.Now())
	return adapters.Delivery{Accepted: true, ProviderID: "p-" + m.AttemptID.String()[:8]}, nil
}

// rung counts the messages to somebody that were not withdrawals.
func (p *phone) rung(to string) int {
	n := 0
	for _, m := range p.sent {
		if !m.Resolve && (to == "" || m.To == to) {
			n++
		}
	}
	return n
}

// resolved counts withdrawals.
func (p *phone) resolved() int { return len(p.sent) - p.rung("") }
