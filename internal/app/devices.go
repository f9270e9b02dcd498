package app

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/adapters/console"
	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/threat"
)

// devices opens the adapters of connections, and keeps each open for as long as its connection and its credential stay
// what they were.
type devices struct {
	store    *store.Store
	registry *adapters.Registry
	now      func() time.Time

	mu   sync.Mutex
	open map[uuid.UUID]opened
}

type opened struct {
	under   string // the connection and the credential that it was opened with
	product adapters.Opened
}

func newDevices(s *store.Store, r *adapters.Registry, now func() time.Time) *devices {
	return &devices{store: s, registry: r, now: now, open: map[uuid.UUID]opened{}}
}

// Open gives the adapter of a connection; the zero id is the console, which needs none. NotFound when it is not there,
// Unsupported when it is disabled or reached from a relay, else what the registry and the store answer.
func (d *devices) Open(ctx context.Context, connection uuid.UUID) (adapters.Opened, error) {
	if connection == uuid.Nil {
		return d.registry.Open(threat.Connection{Adapter: console.Info.Name, Name: console.Info.Title, Enabled: true,
			ReachedFrom: threat.ReachedFromServer}, "", adapters.Options{Now: d.now})
	}
	c, err := d.store.Connection(ctx, connection)
	if err != nil {
		return adapters.Opened{}, err
	}
	switch {
	case !c.Enabled:
		return adapters.Opened{}, &threat.Fault{Kind: threat.Unsupported, What: "the connection " + threat.Inert(c.Name, 64) + " is disabled",
			Next: "enable it with `firebreak connection enable`"}
	case c.ReachedFrom != threat.ReachedFromServer:
		return adapters.Opened{}, &threat.Fault{Kind: threat.Unsupported,
			What: "the connection " + threat.Inert(c.Name, 64) + " is reached from " + threat.Inert(c.ReachedFrom, 64) + ", not from this server"}
	}
	var secret []byte
	if c.SecretRef != "" {
		if secret, err = d.store.Secret(ctx, c.TenantID, c.SecretRef); err != nil {
			return adapters.Opened{}, err
		}
	}
	set, err := d.store.EffectiveSettings(ctx, c.TenantID)
	if err != nil {
		return adapters.Opened{}, err
	}
	shape, err := json.Marshal(struct {
		C    threat.Connection
		Call float64
	}{c, float64(*set.Call)})
	if err != nil {
		return adapters.Opened{}, err
	}
	under := string(shape) + "\x00" + string(secret)
	d.mu.Lock()
	defer d.mu.Unlock()
	if have, ok := d.open[connection]; ok && have.under == under {
		return have.product, nil
	}
	p, err := d.registry.Open(c, string(secret), adapters.Options{Call: set.Call.Duration(), Now: d.now})
	if err != nil {
		return adapters.Opened{}, err
	}
	if len(d.open) >= maxOpen {
		clear(d.open)
	}
	d.open[connection] = opened{under: under, product: p}
	return p, nil
}

// maxOpen bounds how many adapters are kept open; past it they are opened anew, which costs no connection.
const maxOpen = 5000

// Device gives a connection's actor; Unsupported when its product cannot act.
func (d *devices) Device(ctx context.Context, connection uuid.UUID) (*adapters.Device, error) {
	p, err := d.Open(ctx, connection)
	if err != nil {
		return nil, err
	}
	if p.Device == nil {
		return nil, threat.Faultf(threat.Unsupported, "%s takes no actions", p.Info.Title)
	}
	return p.Device, nil
}

// Speaker gives a connection's channel to people; Unsupported when its product is none.
func (d *devices) Speaker(ctx context.Context, connection uuid.UUID) (*adapters.Speaker, error) {
	p, err := d.Open(ctx, connection)
	if err != nil {
		return nil, err
	}
	if p.Notifier == nil {
		return nil, threat.Faultf(threat.Unsupported, "%s brings no messages to people", p.Info.Title)
	}
	return p.Notifier, nil
}

// Able gives what a product can do with a verb.
func (d *devices) Able(adapter, verb string) (adapters.Ability, bool) {
	return d.registry.Ability(adapter, verb)
}
