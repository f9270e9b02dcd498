package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const (
	nudgeCase       = "case"
	nudgeResponse   = "response"
	nudgeEscalation = "escalation"
	bareSignal      = "nudge"
)

// bareSubject is what a bare workflow is told.
type bareSubject struct {
	Kind string
	ID   uuid.UUID
}

// bareNext is what a bare step answers.
type bareNext struct{ Again, Task bool }

func (b *bare) register(r worker.Registry) {
	r.RegisterWorkflowWithOptions(bareLoop, workflow.RegisterOptions{Name: "Bare"})
	r.RegisterActivityWithOptions(b.step, activity.RegisterOptions{Name: "bare.step"})
	r.RegisterActivityWithOptions(b.perform, activity.RegisterOptions{Name: "bare.perform"})
}

// bareLoop steps in a local activity, performs in an activity, and waits for a nudge.
func bareLoop(ctx workflow.Context, s bareSubject) error {
	nudges := workflow.GetSignalChannel(ctx, bareSignal)
	local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: 8 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 3}})
	outside := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 30 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 5}})
	for {
		for nudges.ReceiveAsync(nil) {
		}
		var next bareNext
		if err := workflow.ExecuteLocalActivity(local, "bare.step", s).Get(ctx, &next); err != nil {
			return err
		}
		switch {
		case next.Task:
			if err := workflow.ExecuteActivity(outside, "bare.perform", s).Get(ctx, nil); err != nil {
				return err
			}
		case !next.Again:
			nudges.Receive(ctx, nil)
		}
	}
}

// step does what a step of the program costs: its commits, and the nudges that go out with them.
func (b *bare) step(ctx context.Context, s bareSubject) (bareNext, error) {
	c := b.of(s.ID)
	switch s.Kind {
	case nudgeCase:
		return bareNext{}, b.caseStep(ctx, c)
	case nudgeResponse:
		return b.responseStep(ctx, c)
	}
	return b.escalationStep(ctx, c)
}

func (b *bare) caseStep(ctx context.Context, c *bareCase) error {
	b.mu.Lock()
	c.caseSteps++
	n, contained := c.caseSteps, c.acted
	if contained {
		c.acted = false
	}
	b.mu.Unlock()
	switch {
	case n == 1 && c.kind == bareMurmur:
		return b.commits(ctx, 2) // the cursor, and the decision that nobody is told
	case n == 1:
		if err := b.commit(ctx); err != nil { // the proposal
			return err
		}
		b.outbox.nudge(nudgeResponse, c.response)
		if err := b.commits(ctx, 3); err != nil { // the cursor, the decision, the escalation
			return err
		}
		b.outbox.nudge(nudgeEscalation, c.escalation)
		b.outbox.nudge(nudgeCase, c.id)
	case contained:
		if err := b.commit(ctx); err != nil {
			return err
		}
		b.outbox.nudge(nudgeCase, c.id)
	}
	return nil
}

func (b *bare) responseStep(ctx context.Context, c *bareCase) (bareNext, error) {
	b.mu.Lock()
	c.responseSteps++
	n := c.responseSteps
	act := (c.kind == bareAuthorize && n == 2 || c.clicked) && !c.called
	if act {
		c.called = true
	}
	b.mu.Unlock()
	switch {
	case n == 1:
		if err := b.commits(ctx, 2); err != nil { // the decision, and what it makes of the response
			return bareNext{}, err
		}
		if c.kind == bareAsk {
			b.mu.Lock()
			b.asked[c.id] = true
			b.mu.Unlock()
		}
		b.outbox.nudge(nudgeResponse, c.response)
		b.outbox.nudge(nudgeCase, c.id)
		return bareNext{Again: true}, nil
	case act:
		return bareNext{Task: true}, b.commit(ctx) // the claim
	}
	return bareNext{}, nil
}

func (b *bare) escalationStep(ctx context.Context, c *bareCase) (bareNext, error) {
	b.mu.Lock()
	c.escalationSteps++
	n := c.escalationSteps
	send := n == 2 || n == 4 && c.clicked // a message, and taking it back
	b.mu.Unlock()
	if n == 1 {
		return bareNext{Again: true}, b.commit(ctx) // the attempt
	}
	return bareNext{Task: send}, nil
}

// perform does what a task of the program costs.
func (b *bare) perform(ctx context.Context, s bareSubject) error {
	c := b.of(s.ID)
	if s.Kind == nudgeEscalation {
		b.mu.Lock()
		first := !c.sent
		c.sent = true
		b.mu.Unlock()
		if !first {
			return nil
		}
		if err := b.commits(ctx, 3); err != nil { // the link, the right to send, what came of it
			return err
		}
		b.outbox.nudge(nudgeEscalation, c.escalation)
		return nil
	}
	if err := b.commit(ctx); err != nil { // the right to send
		return err
	}
	b.call(c.response)
	if err := b.commits(ctx, 2); err != nil { // the result, and what was seen
		return err
	}
	b.mu.Lock()
	c.acted = true
	b.mu.Unlock()
	b.outbox.nudge(nudgeResponse, c.response)
	b.outbox.nudge(nudgeCase, c.id)
	return nil
}

// bareOutbox carries nudges as dispatch does: one lease for all that wait, a call each, and one commit for what came back.
// A subject that is nudged again during its call is called again.
type bareOutbox struct {
	b       *bare
	mu      sync.Mutex
	waiting []bareSubject
	flying  map[bareSubject]bool
	again   map[bareSubject]bool
	wake    chan struct{}
}

const bareInFlight = 64

func newBareOutbox(b *bare) *bareOutbox {
	return &bareOutbox{b: b, flying: map[bareSubject]bool{}, again: map[bareSubject]bool{}, wake: make(chan struct{}, 1)}
}

func (o *bareOutbox) nudge(kind string, id uuid.UUID) {
	s := bareSubject{kind, id}
	o.mu.Lock()
	switch {
	case o.flying[s]:
		o.again[s] = true
	case !o.again[s]:
		o.again[s] = true // it waits
		o.waiting = append(o.waiting, s)
	}
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *bareOutbox) empty() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.waiting) == 0 && len(o.flying) == 0
}

// take leases what waits and there is room for.
func (o *bareOutbox) take() []bareSubject {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(len(o.waiting), bareInFlight-len(o.flying))
	out := append([]bareSubject(nil), o.waiting[:n]...)
	o.waiting = o.waiting[n:]
	for _, s := range out {
		o.flying[s] = true
		delete(o.again, s)
	}
	return out
}

func (o *bareOutbox) landed(list []bareSubject) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range list {
		delete(o.flying, s)
		if o.again[s] {
			o.waiting = append(o.waiting, s)
		}
	}
}

func (o *bareOutbox) run(ctx context.Context) {
	back := make(chan bareSubject, bareInFlight)
	var calls sync.WaitGroup
	defer calls.Wait()
	for {
		list := o.take()
		if len(list) > 0 && o.b.commit(ctx) != nil {
			return // it ends
		}
		for _, s := range list {
			calls.Go(func() {
				if err := o.call(ctx, s); err != nil && ctx.Err() == nil {
					panic(err) // a floor with a hole is none
				}
				back <- s
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		case s := <-back:
			done := []bareSubject{s}
			for more := true; more; {
				select {
				case s := <-back:
					done = append(done, s)
				default:
					more = false
				}
			}
			if o.b.commit(ctx) != nil {
				return
			}
			o.landed(done)
		}
	}
}

func (o *bareOutbox) call(ctx context.Context, s bareSubject) error {
	id := s.Kind + "-" + s.ID.String()
	_, err := o.b.engine.Client().SignalWithStartWorkflow(ctx, id, bareSignal, nil, client.StartWorkflowOptions{ID: id,
		TaskQueue: o.b.engine.TaskQueue()}, "Bare", s)
	if err != nil {
		return fmt.Errorf("the floor's nudge: %w", err)
	}
	return nil
}
