// Package ingest brings detections in. A body becomes durable records in one transaction before its sender gets an
// answer; afterwards a worker asks policy about each and hands the answer to the store, which assigns it to a case or
// records why not. It knows no product and no database: both come in through small interfaces.
package ingest

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/ocsf"
	"github.com/firebreak/firebreak/internal/threat"
)

// Limits of what is taken in.
const (
	MaxBody        = ocsf.MaxBody       // bytes of a body
	MaxBatch       = ocsf.MaxItems      // findings of a body
	ClockAhead     = 5 * time.Minute    // a later event time is kept and marked
	ClockBehind    = 7 * 24 * time.Hour // an earlier one too
	ProductOCSF    = "ocsf"             // the product of findings that were sent as OCSF
	maxUID         = 256                // runes of a product's own id that are kept; the raw finding has all
	maxReason      = 500                // runes of a reason
	maxDropReasons = 10                 // reasons of dropped observables that are kept; all are counted
)

// Store is what ingest needs of the store.
type Store interface {
	// AcceptDetections keeps all of ds or none, in the order given, and returns them with their ids. Unavailable means
	// that nothing was kept.
	AcceptDetections(ctx context.Context, ds []threat.Detection) ([]threat.Detection, error)
	// LeaseReceived hands out detections that wait for triage, oldest first and fair between tenants. What is not
	// assigned when the lease ends is handed out again.
	LeaseReceived(ctx context.Context, owner string, n int, lease time.Duration) ([]threat.Detection, error)
	// Assign applies a triage answer. Repeated, it gives the first assignment.
	Assign(ctx context.Context, t threat.Triage) (threat.Assignment, error)
}

// Decider asks policy about a detection. Its answer is already the safe one when policy failed: an error means that there
// is no answer at all, and the detection waits.
type Decider interface {
	Triage(ctx context.Context, d threat.Detection) (threat.Triage, error)
}

// Metrics counts what passes. Implementations are safe for use by several goroutines.
type Metrics interface {
	// Detections counts n findings of a product; outcome is received, quarantined, skipped, or refused (a body, n = 1).
	Detections(product, outcome string, n int)
	// Triage notes what became of one detection (assigned, duplicate, suppressed, failed) and how long that took.
	Triage(outcome string, took time.Duration)
}

// Source is one product that detections can come from.
type Source struct {
	Title    string // the product's name
	Detector adapters.Detector
}

// Sources opens products and gives those that are Detectors by name. A product that is none, that cannot be opened without a
// connection, or that comes twice is an Internal fault: the list is written by us.
func Sources(products ...adapters.Product) (map[string]Source, error) {
	out := map[string]Source{}
	for _, p := range products {
		opened, err := p.Open(threat.Connection{Adapter: p.Info.Name}, "")
		if err != nil {
			return nil, threat.Faultf(threat.Internal, "the sensor %s cannot be opened: %w", p.Info.Name, err)
		}
		d, ok := opened.(adapters.Detector)
		if !ok {
			return nil, threat.Faultf(threat.Internal, "%s reads no detections", p.Info.Name)
		}
		if _, twice := out[p.Info.Name]; twice {
			return nil, threat.Faultf(threat.Internal, "the sensor %s is listed twice", p.Info.Name)
		}
		out[p.Info.Name] = Source{Title: p.Info.Title, Detector: d}
	}
	return out, nil
}

// Deps are what a Service works with. Store, Decide and Now are required.
type Deps struct {
	Store     Store
	Decide    Decider
	Detectors map[string]Source // by product; see Sources
	Now       func() time.Time
	Log       *slog.Logger                           // nil drops
	Page      func(ctx context.Context, what string) // tells the provider's people; nil only logs
	Metrics   Metrics                                // nil counts nothing
	// Networks gives a tenant's own networks beside the private ones, as addresses and prefixes. Nil, or an error, leaves
	// the sensors' word as it is: the guards know the tenant's networks in any case.
	Networks func(ctx context.Context, tenant uuid.UUID) ([]string, error)

	Owner   string        // of leases; empty takes a random one
	Workers int           // detections in triage at once; zero takes 4
	Lease   time.Duration // how long a detection is ours for triage; zero takes 60 s
	Poll    time.Duration // how often to look without being woken; zero takes 1 s
	Retry   time.Duration // before the second try, four times as long before each further one; zero takes 250 ms
}

// Service takes detections in and has them triaged.
type Service struct {
	d     Deps
	wake  chan struct{}
	fails failures
}

// New makes a Service.
func New(d Deps) *Service {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Metrics == nil {
		d.Metrics = uncounted{}
	}
	if d.Page == nil {
		d.Page = func(context.Context, string) {}
	}
	if d.Owner == "" {
		d.Owner = "ingest-" + uuid.NewString()
	}
	if d.Workers <= 0 {
		d.Workers = 4
	}
	if d.Lease <= 0 {
		d.Lease = time.Minute
	}
	if d.Poll <= 0 {
		d.Poll = time.Second
	}
	if d.Retry <= 0 {
		d.Retry = 250 * time.Millisecond
	}
	return &Service{d: d, wake: make(chan struct{}, 1), fails: failures{count: map[uuid.UUID]int{}}}
}

// Wake tells the worker that something may wait. It never blocks.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

type uncounted struct{}

func (uncounted) Detections(string, string, int) {}

func (uncounted) Triage(string, time.Duration) {}
