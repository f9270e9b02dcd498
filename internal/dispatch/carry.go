package dispatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/firebreak/firebreak/activities"
	"github.com/firebreak/firebreak/internal/threat"
)

// result is what came of one call.
type result struct {
	nudge threat.Nudge
	err   error
}

// carrier is the state of the loop that leases, calls and writes down. Only its own goroutine touches it.
type carrier struct {
	*Dispatcher
	results   chan result
	inFlight  int
	unwritten []result          // what came of calls and is not in the store yet
	poison    map[uuid.UUID]int // how often in a row Temporal refused a subject's nudge for what it is
	away      int               // failures in a row that say that Temporal is away
	notBefore time.Time         // while it is away, no call is made before this
	blind     bool              // the store does not answer; logged already
}

// carry runs until ctx ends and what was under way is written down.
func (x *Dispatcher) carry(ctx context.Context) {
	c := &carrier{Dispatcher: x, results: make(chan result, x.d.InFlight), poison: map[uuid.UUID]int{}}
	calls, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	tick := time.NewTicker(x.d.Poll)
	defer tick.Stop()
	for ctx.Err() == nil {
		c.write(ctx)
		c.lease(ctx, calls)
		var again <-chan time.Time
		if c.away > 0 && c.inFlight == 0 {
			again = time.After(max(time.Millisecond, time.Until(c.notBefore)))
		}
		select {
		case <-ctx.Done():
		case <-x.wake:
		case <-tick.C:
		case <-again:
		case r := <-c.results:
			c.take(r)
		}
	}
	late := time.AfterFunc(graceTime, hangUp)
	defer late.Stop()
	for c.inFlight > 0 {
		r := <-c.results
		c.inFlight--
		c.unwritten = append(c.unwritten, r)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
	defer cancel()
	c.leave(last)
}

// take keeps a result, and those that came with it, and draws from each whether Temporal is there.
func (c *carrier) take(r result) {
	for {
		c.inFlight--
		c.unwritten = append(c.unwritten, r)
		switch {
		case r.err == nil:
			if c.away > 0 {
				c.d.Log.Info("Temporal answers again")
			}
			c.away = 0
			delete(c.poison, r.nudge.SubjectID)
		case poisonous(r.err):
			c.poison[r.nudge.SubjectID]++
			c.d.Log.Error("Temporal refuses a nudge; it is tried again", "kind", r.nudge.Kind, "id", r.nudge.SubjectID.String(),
				"error", r.err)
		default:
			if c.away == 0 {
				c.d.Log.Warn("Temporal is away; nudges wait in the store", "error", r.err)
			}
			c.away++
			c.notBefore = time.Now().Add(backoff(c.away, pauseFirst, pauseLast))
		}
		select {
		case r = <-c.results:
		default:
			return
		}
	}
}

// write tells the store what came of calls. What cannot be told now is told later; until then its lease keeps it ours.
func (c *carrier) write(ctx context.Context) {
	var done []threat.Nudge
	failed := map[time.Duration][]threat.Nudge{}
	for _, r := range c.unwritten {
		switch {
		case r.err == nil:
			done = append(done, r.nudge)
		case poisonous(r.err):
			after := backoff(c.poison[r.nudge.SubjectID], time.Second, poisonLast)
			failed[after] = append(failed[after], r.nudge)
		default:
			after := max(0, time.Until(c.notBefore))
			failed[after] = append(failed[after], r.nudge)
		}
	}
	var left []result
	keep := func(ns []threat.Nudge, as error) {
		for _, n := range ns {
			left = append(left, result{n, as})
		}
	}
	if len(done) > 0 && !c.seen(c.d.Store.DoneNudges(ctx, c.d.Owner, done)) {
		keep(done, nil)
	}
	for after, ns := range failed {
		if !c.seen(c.d.Store.FailNudges(ctx, c.d.Owner, ns, after)) {
			keep(ns, errUntold)
		}
	}
	c.unwritten = left
}

// leave writes at the end: whatever was not done is free at once for whoever goes on.
func (c *carrier) leave(ctx context.Context) {
	var done, free []threat.Nudge
	for _, r := range c.unwritten {
		if r.err == nil {
			done = append(done, r.nudge)
		} else {
			free = append(free, r.nudge)
		}
	}
	if len(done) > 0 {
		c.seen(c.d.Store.DoneNudges(ctx, c.d.Owner, done))
	}
	if len(free) > 0 {
		c.seen(c.d.Store.FailNudges(ctx, c.d.Owner, free, 0))
	}
}

// seen reports whether the store took a word, and logs the first that it did not.
func (c *carrier) seen(err error) bool {
	switch {
	case err == nil:
		c.blind = false
		return true
	case !c.blind && !errors.Is(err, context.Canceled):
		c.blind = true
		c.d.Log.Warn("the store does not answer dispatch; it is asked again", "error", err)
	}
	return false
}

// lease takes as many nudges as there is room for and makes a call for each. While Temporal is away one at a time is the
// probe.
func (c *carrier) lease(ctx, calls context.Context) {
	n := c.d.InFlight - c.inFlight - len(c.unwritten)
	if c.away > 0 {
		if c.inFlight > 0 || time.Now().Before(c.notBefore) {
			return
		}
		n = min(n, 1)
	}
	if n <= 0 || ctx.Err() != nil {
		return
	}
	ns, err := c.d.Store.LeaseNudges(ctx, c.d.Owner, n, c.d.PerTenant, leaseTime)
	if !c.seen(err) {
		return
	}
	for _, nudge := range ns {
		c.inFlight++
		go func() { c.results <- result{nudge, c.send(calls, nudge)} }()
	}
}

// send signals the workflow of a subject, and starts it where there is none.
func (x *Dispatcher) send(ctx context.Context, n threat.Nudge) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	began := time.Now()
	kind := activities.WorkflowType(n.Kind)
	if kind == "" {
		return serviceerror.NewInvalidArgument("a nudge of a kind that has no workflow")
	}
	id := activities.WorkflowID(n.Kind, n.SubjectID)
	_, err := x.d.Client.SignalWithStartWorkflow(ctx, id, activities.SignalNudge, nil, client.StartWorkflowOptions{
		ID:                    id,
		TaskQueue:             x.d.TaskQueue,
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE, // a later nudge starts an ended one anew
	}, kind, activities.Subject{ID: n.SubjectID, TenantID: n.TenantID})
	outcome := Sent
	if err != nil {
		outcome = Failed
	}
	x.d.Metrics.Nudge(n.Kind, outcome, time.Since(began))
	return err
}

// errUntold stands for a failure that the store could not be told of yet.
var errUntold = errors.New("the store was not told of a failed nudge yet")

// poisonous reports whether Temporal refused one nudge for what it is, and would take others.
func poisonous(err error) bool {
	var invalid *serviceerror.InvalidArgument
	return errors.As(err, &invalid)
}

// backoff gives the wait after the n-th failure in a row, from first doubling to last, spread by a quarter.
func backoff(n int, first, last time.Duration) time.Duration {
	d := first
	for ; n > 1 && d < last; n-- {
		d *= 2
	}
	d = min(d, last)
	return d - time.Duration(rand.Int64N(int64(d)/4+1))
}
