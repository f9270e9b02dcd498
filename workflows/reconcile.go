package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/firebreak/firebreak/activities"
)

const (
	// StepTimeout bounds one try of a step. It stays below the workflow task's ten seconds, so that a slow step costs no
	// extra events.
	StepTimeout = 8 * time.Second
	// TaskTimeout bounds one try of a task that does not bring its own: the call's 15 s, the product's settle time of 5 s,
	// and the writes around them.
	TaskTimeout = 30 * time.Second

	stepLimit = 500 // steps of one run, before it continues as new
	burst     = 32  // steps without a wait, before the loop slows down

	pauseFirst = time.Second // after the first failure; twice as long after each further one
	pauseLast  = time.Minute
)

// work names the activities of one workflow.
type work struct {
	step    string
	perform string // empty when its steps plan no tasks
}

// reconcile is the loop of every workflow. self is the workflow that continues as new.
//
// It returns only when the step says Done, or the run is cancelled or continued: an error of a step or a task is waited
// out, since the store stands where it stood. A nudge is never lost: those that came are drained before the step that
// reads what they mean, and those that come later keep the run from waiting.
func reconcile(ctx workflow.Context, self any, subject activities.Subject, w work) error {
	behaviour(ctx)
	r := &run{
		nudges: workflow.GetSignalChannel(ctx, activities.SignalNudge),
		log:    workflow.GetLogger(ctx),
		seed:   subject.ID[len(subject.ID)-1],
	}
	var build string // of the program that answered this run's first step
	failures, quick := 0, 0
	for steps := 1; ; steps++ {
		r.drain()
		next, err := step(ctx, w, subject)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil && build == "" {
			build = next.Build
		}
		if err == nil && next.Done {
			if r.drain() == 0 {
				return nil
			}
			continue // somebody wanted something meanwhile
		}
		if err == nil && next.Build != build || steps >= stepLimit || workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			// The new run steps before all else, so nothing that was asked of this one is lost.
			r.drain()
			return workflow.NewContinueAsNewError(ctx, self, subject)
		}
		if err == nil {
			err = perform(ctx, w, next.Tasks)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		switch {
		case err != nil:
			failures++
			quick = 0
			r.log.Warn("a step failed; it is tried again", "kind", w.step, "id", subject.ID.String(), "failures", failures, "error", err)
			err = r.pause(ctx, failures)
		case next.Again || len(next.Tasks) > 0:
			failures = 0
			quick++
			if quick > burst {
				err = r.pause(ctx, quick-burst)
			}
		default:
			failures, quick = 0, 0
			err = r.wait(ctx, next.WakeAt)
		}
		if err != nil {
			return err
		}
	}
}

// run is what one run of the loop holds.
type run struct {
	nudges workflow.ReceiveChannel
	log    interface{ Warn(string, ...any) }
	seed   byte
}

// drain takes the nudges that have come, and says how many.
func (r *run) drain() int {
	n := 0
	for r.nudges.ReceiveAsync(nil) {
		n++
	}
	return n
}

// wait sleeps until a nudge, or until at unless that is zero. The error is that of a cancelled run.
func (r *run) wait(ctx workflow.Context, at time.Time) error {
	s := workflow.NewSelector(ctx)
	s.AddReceive(r.nudges, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil) })
	s.AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) {})
	if at.IsZero() {
		s.Select(ctx)
		return ctx.Err()
	}
	d := at.Sub(workflow.Now(ctx))
	if d < time.Millisecond {
		d = time.Millisecond // its time has come by the step's clock and not yet, or just, by ours
	}
	timer, cancel := workflow.WithCancel(ctx)
	s.AddFuture(workflow.NewTimer(timer, d), func(workflow.Future) {})
	s.Select(ctx)
	cancel()
	return ctx.Err()
}

// pause waits after the n-th failure in a row, a second at first and a minute at last, spread by up to a quarter so that
// what failed together does not come back together. A nudge cuts it short, but not below the first second.
func (r *run) pause(ctx workflow.Context, n int) error {
	if err := workflow.Sleep(ctx, pauseFirst); err != nil {
		return err
	}
	d := pauseFirst
	for ; n > 1 && d < pauseLast; n-- {
		d *= 2
	}
	d = min(d, pauseLast)
	d += d / 4 * time.Duration(r.seed) / 255
	if d -= pauseFirst; d < time.Millisecond {
		return nil
	}
	return r.wait(ctx, workflow.Now(ctx).Add(d))
}

// step asks what is next, in a local activity: a step is quick and touches only what is ours.
func step(ctx workflow.Context, w work, subject activities.Subject) (activities.Next, error) {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: StepTimeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    50 * time.Millisecond,
			BackoffCoefficient: 4,
			MaximumInterval:    time.Second,
			MaximumAttempts:    3,
		},
	})
	var next activities.Next
	err := workflow.ExecuteLocalActivity(ctx, w.step, subject).Get(ctx, &next)
	return next, err
}

// perform runs tasks side by side and waits for all of them. A task that could not be recorded is tried a few times; then
// the error comes back, and the next step looks at the store anew: the task may no longer be wanted.
func perform(ctx workflow.Context, w work, tasks []activities.Task) error {
	if len(tasks) == 0 {
		return nil
	}
	if w.perform == "" {
		return temporal.NewNonRetryableApplicationError("a step planned tasks that nothing here performs", "defect", nil)
	}
	running := make([]workflow.Future, len(tasks))
	for i, t := range tasks {
		timeout := t.Timeout
		if timeout <= 0 {
			timeout = TaskTimeout
		}
		running[i] = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			StartToCloseTimeout: timeout,
			RetryPolicy: &temporal.RetryPolicy{
				InitialInterval:    time.Second,
				BackoffCoefficient: 2,
				MaximumInterval:    30 * time.Second,
				MaximumAttempts:    5,
			},
		}), w.perform, t)
	}
	var failed error
	for _, f := range running {
		if err := f.Get(ctx, nil); err != nil && failed == nil {
			failed = err
		}
	}
	return failed
}
