// Package dispatch carries nudges from the store's outbox to Temporal: each one signals the workflow of its subject, and
// starts it where there is none. A sweep looks for open subjects without a live workflow, so that whatever Temporal lost is
// started anew. A nudge says nothing and gives no right; one too many is harmless, and one too few is what this room exists
// to prevent.
package dispatch

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/firebreak/firebreak/activities"
	"github.com/firebreak/firebreak/internal/threat"
)

// Store is what dispatch needs of the store.
type Store interface {
	// LeaseNudges hands out at most n nudges to owner for a time, fair between tenants, at most perTenant of each with
	// those that are out already. What is neither done nor failed when the lease ends is handed out again.
	LeaseNudges(ctx context.Context, owner string, n, perTenant int, lease time.Duration) ([]threat.Nudge, error)
	// DoneNudges takes nudges out. One whose subject was nudged again meanwhile is handed out again at once.
	DoneNudges(ctx context.Context, owner string, ns []threat.Nudge) error
	// FailNudges has nudges handed out again after a time.
	FailNudges(ctx context.Context, owner string, ns []threat.Nudge, after time.Duration) error
	// Nudge puts a nudge into the outbox.
	Nudge(ctx context.Context, kind string, tenant, subject uuid.UUID) error
	// OpenSubjects gives what must have a live workflow, by id from behind after.
	OpenSubjects(ctx context.Context, kind string, after uuid.UUID, limit int) ([]threat.Nudge, error)
	// OutboxDepth tells how many nudges wait, and since when the oldest does; the time is zero when none does.
	OutboxDepth(ctx context.Context) (n int, oldest time.Time, err error)
	// OnWake adds a hook that is called after each commit that left work of a kind. It must not block.
	OnWake(hook func(kind string))
}

// Client is what dispatch needs of Temporal; client.Client is one.
type Client interface {
	SignalWithStartWorkflow(ctx context.Context, workflowID, signalName string, signalArg any,
		options client.StartWorkflowOptions, workflow any, workflowArgs ...any) (client.WorkflowRun, error)
	ListWorkflow(ctx context.Context, request *workflowservice.ListWorkflowExecutionsRequest) (
		*workflowservice.ListWorkflowExecutionsResponse, error)
}

// Metrics counts what passes. Implementations are safe for use by several goroutines.
type Metrics interface {
	// Nudge notes one nudge of a kind that was sent or failed, and how long Temporal took over it.
	Nudge(kind, outcome string, took time.Duration)
	// Outbox tells how many nudges wait, and how long the oldest has waited.
	Outbox(depth int, age time.Duration)
	// Sweep tells how many subjects of a kind are open, and how many of them were nudged for want of a live workflow.
	Sweep(kind string, open, missing int)
}

// The outcomes of a nudge.
const (
	Sent   = "sent"
	Failed = "failed"
)

const (
	callTimeout = 10 * time.Second // of one call to Temporal
	leaseTime   = time.Minute      // six times that: a lease outlives its call and the writing of what came of it
	graceTime   = 3 * time.Second  // for the calls that are under way when the end is asked for
	writeTime   = 5 * time.Second  // for writing what came of them

	pauseFirst = 250 * time.Millisecond // while Temporal is away, between one attempt and the next
	pauseLast  = 10 * time.Second
	poisonLast = time.Minute // for a nudge that Temporal refuses for what it is
)

// Deps are what a Dispatcher works with. Store, Client, TaskQueue and Now are required.
type Deps struct {
	Store     Store
	Client    Client
	TaskQueue string
	Now       func() time.Time
	Log       *slog.Logger // nil drops
	Metrics   Metrics      // nil counts nothing

	Owner     string        // of leases, unlike every other process's; empty takes a random one
	InFlight  int           // calls at once; zero takes 64
	PerTenant int           // calls at once for one tenant; zero takes 4
	Poll      time.Duration // how often to look without being woken; zero takes 1 s
	Sweep     time.Duration // how often to look for subjects without a live workflow; zero takes 30 s
}

// Dispatcher carries nudges to Temporal. Several of them, in several processes, may work on one store.
type Dispatcher struct {
	d    Deps
	wake chan struct{}
}

// New makes a Dispatcher and has the store wake it.
func New(d Deps) *Dispatcher {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Metrics == nil {
		d.Metrics = uncounted{}
	}
	if d.Owner == "" {
		d.Owner = "dispatch-" + uuid.NewString()
	}
	if d.InFlight <= 0 {
		d.InFlight = 64
	}
	if d.PerTenant <= 0 {
		d.PerTenant = 4
	}
	if d.Poll <= 0 {
		d.Poll = time.Second
	}
	if d.Sweep <= 0 {
		d.Sweep = 30 * time.Second
	}
	x := &Dispatcher{d: d, wake: make(chan struct{}, 1)}
	d.Store.OnWake(func(kind string) {
		if slices.Contains(activities.Kinds, kind) {
			x.Wake()
		}
	})
	return x
}

// Wake tells that a nudge may wait. It never blocks.
func (x *Dispatcher) Wake() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// Run carries nudges and sweeps until ctx ends. Then it waits for the calls that are under way, writes what came of them,
// and returns nil. Neither an error of the store nor one of Temporal ends it.
func (x *Dispatcher) Run(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { x.carry(ctx) })
	all.Go(func() { x.sweeps(ctx) })
	all.Go(func() { x.measure(ctx) })
	all.Wait()
	return nil
}

// measure tells how the outbox stands, five polls apart.
func (x *Dispatcher) measure(ctx context.Context) {
	tick := time.NewTicker(5 * x.d.Poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n, oldest, err := x.d.Store.OutboxDepth(ctx)
		if err != nil {
			continue // carrying logs what is wrong with the store
		}
		age := time.Duration(0)
		if n > 0 {
			age = max(0, x.d.Now().Sub(oldest))
		}
		x.d.Metrics.Outbox(n, age)
	}
}

type uncounted struct{}

func (uncounted) Nudge(string, string, time.Duration) {}

func (uncounted) Outbox(int, time.Duration) {}

func (uncounted) Sweep(string, int, int) {}
