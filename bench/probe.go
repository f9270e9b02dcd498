package main

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// probe is a device in this process that only notes when it was told to act.
type probe struct {
	mu       sync.Mutex
	waits    map[string]chan time.Time // by the target's value
	standing map[uuid.UUID]bool
}

const probeName = "probe"

func newProbe() *probe {
	return &probe{waits: map[string]chan time.Time{}, standing: map[uuid.UUID]bool{}}
}

// expect gives what tells when the probe is told to act on a target.
func (p *probe) expect(value string) <-chan time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := make(chan time.Time, 1)
	p.waits[value] = c
	return c
}

// Product is the registry's row.
func (p *probe) Product() adapters.Product {
	return adapters.Product{Info: adapters.Info{Name: probeName, Title: "Probe", Local: true,
		Verbs: []adapters.Ability{{Verb: verb.BlockIP, Sending: adapters.Natural, Settle: time.Millisecond}}},
		Open: func(threat.Connection, string) (any, error) { return p, nil }}
}

// Validate allows everything.
func (p *probe) Validate(adapters.Order) error { return nil }

// Apply notes the time, before all else.
func (p *probe) Apply(_ context.Context, o adapters.Order) (adapters.Receipt, error) {
	at := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.waits[o.Target.Value]; ok {
		c <- at
		delete(p.waits, o.Target.Value)
	}
	p.standing[o.EffectID] = true
	return adapters.Receipt{Outcome: threat.OutcomeSuccess}, nil
}

// Read shows what stands.
func (p *probe) Read(_ context.Context, o adapters.Order) (adapters.Reading, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.standing[o.EffectID] {
		return adapters.Reading{Presence: adapters.Absent, At: time.Now()}, nil
	}
	return adapters.Reading{Presence: adapters.Ours, InForce: true, At: time.Now()}, nil
}

// Remove takes away what stands.
func (p *probe) Remove(_ context.Context, o adapters.Order) (adapters.Receipt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.standing[o.EffectID] {
		return adapters.Receipt{Outcome: threat.OutcomeDoesNotExist}, nil
	}
	delete(p.standing, o.EffectID)
	return adapters.Receipt{Outcome: threat.OutcomeSuccess}, nil
}
