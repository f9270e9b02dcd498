package adaptertest

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

// Harness is what an adapter hands in.
type Harness struct {
	// Info is the adapter's own.
	Info adapters.Info
	// Open gives a fresh, empty counterpart with the bare adapter before it. It is called for each test.
	Open func(t *testing.T) *Bench
	// Targets gives two different targets for each verb, in canonical form. Those on assets need no AssetID: it is in the
	// value.
	Targets map[string][2]threat.Target
	// Params gives the parameters of each verb where it has any.
	Params map[string]map[string]string
	// Invalid are orders' parts that Validate must refuse, by name.
	Invalid map[string]func(o *adapters.Order)
	// Secret is the credential that Open gives the adapter, empty for one that has none. It must never show.
	Secret string
	// Excuse lists faults of the matrix that cannot befall this adapter, each with its reason.
	Excuse map[Fault]string
	// Kinds overrides the kind that a fault must answer, where the adapter knows more than the default expects.
	Kinds map[Fault]threat.FaultKind
	// CallTime is the deadline of a call that is meant to run into it; zero is 300 ms. A slow counterpart needs longer.
	CallTime time.Duration
	// NoAdoption says why nothing can stand on the device before us; empty for adapters that adopt.
	NoAdoption string
}

// Bench is one counterpart and the adapter before it.
type Bench struct {
	// Actor is the bare adapter; the suite wraps it as the program does.
	Actor adapters.Actor
	// Secret is what this counterpart's credential is; empty takes the harness's.
	Secret string
	// Now is the counterpart's clock. Nil is the wall's.
	Now func() time.Time
	// Advance moves the counterpart's clock. Nil waits instead.
	Advance func(d time.Duration)
	// State is all that the counterpart holds, as it shows it itself: two equal strings mean that nothing changed.
	State func() string
	// Holds reports whether the counterpart enforces, or for a polled list publishes, the order's effect now. It must
	// not ask the adapter.
	Holds func(o adapters.Order) bool
	// Plant puts what somebody else set there before us: the effect of the order, without our mark. For what is done once
	// it makes it so: the process has ended, the file is not there.
	Plant func(o adapters.Order)
	// Stage prepares the counterpart for an order, before each test and for both targets: the process runs, the account is
	// there. Nil where an order needs nothing.
	Stage func(o adapters.Order)
	// Finish brings every job that is under way there to its end; it is called before a reading has to show an effect. Nil
	// for a counterpart without jobs.
	Finish func()
	// Asset gives the tenant's asset that a target is, or is on. Nil takes one with a made-up name and no address.
	Asset func(t threat.Target) threat.Asset
	// Arm makes the next request that op sends meet a fault.
	Arm func(f Fault, op Op)
	// Sends counts the changing requests that reached the counterpart.
	Sends func() int
	// Fetched, for polled lists, makes every subscriber fetch what is published now. Nil for the rest.
	Fetched func()
}

// Op is what an adapter does.
type Op string

const (
	OpRead   Op = "read"
	OpApply  Op = "apply"
	OpRemove Op = "remove"
)

// order makes an order of a target of the verb. The counterpart's clock says when it ends.
func (s *suite) order(target int, generation int64) adapters.Order {
	b, t := s.bench, s.targets[target]
	effect := threat.EffectKey{TenantID: testTenant, ConnectionID: testConnection, Verb: s.ability.Verb, Target: t}.ID()
	o := adapters.Order{EffectID: effect, Generation: generation, TenantID: testTenant, Verb: s.ability.Verb, Target: t,
		Params: map[string]string{}, Until: b.now().Add(time.Minute).UTC().Truncate(time.Microsecond),
		Key: effect.String() + ":" + strconv.FormatInt(generation, 10), Mark: adapters.MarkFor(effect, generation)}
	for name, value := range s.h.Params[s.ability.Verb] {
		o.Params[name] = value
	}
	if t.AssetID.Valid {
		o.Asset = threat.Asset{ID: t.AssetID.UUID, TenantID: testTenant, Kind: "host", Name: "host-" + strconv.Itoa(target+1)}
		if b.Asset != nil {
			o.Asset = b.Asset(t)
		}
	}
	if s.ability.DeviceEnds {
		o.DeviceEnds = o.Until.Add(30 * time.Second)
	}
	return o
}

// The suite's tenant and connection; a harness whose adapter needs to know them takes them from here.
var (
	testTenant     = uuid.MustParse("0192f0c1-0000-7000-8000-000000000001")
	testConnection = uuid.MustParse("0192f0c1-0000-7000-8000-000000000002")
)

// Connection is the connection that the suite's orders belong to.
func Connection(adapter string, settings map[string]string) threat.Connection {
	return threat.Connection{ID: testConnection, TenantID: testTenant, Adapter: adapter, Name: "under test", Settings: settings,
		ReachedFrom: threat.ReachedFromServer, Enabled: true}
}

func (b *Bench) now() time.Time {
	if b.Now != nil {
		return b.Now()
	}
	return time.Now()
}

func (b *Bench) pass(d time.Duration) {
	if b.Advance != nil {
		b.Advance(d)
		return
	}
	time.Sleep(d)
}
