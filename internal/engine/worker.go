package engine

import (
	"time"

	"go.temporal.io/sdk/worker"

	"github.com/firebreak/firebreak/internal/threat"
)

const (
	stickyCache = 500              // workflows that a process keeps in memory between their tasks
	pollers     = 4                // of each kind; one alone panics in the SDK
	atOnce      = 64               // activities, and as many local ones
	drainTime   = 20 * time.Second // for running activities when the worker stops: longer than a call's 15 s
)

// StartWorker runs what register registers on our task queue, until Close. It gives Conflict after Close, and Unavailable
// when Temporal cannot be reached. A worker that ends for good, as when the namespace is gone, makes Healthy say so.
func (e *Engine) StartWorker(register func(worker.Registry)) error {
	w := worker.New(e.client, TaskQueue, worker.Options{
		MaxConcurrentWorkflowTaskPollers:        pollers,
		MaxConcurrentActivityTaskPollers:        pollers,
		MaxConcurrentActivityExecutionSize:      atOnce,
		MaxConcurrentLocalActivityExecutionSize: atOnce,
		MaxConcurrentWorkflowTaskExecutionSize:  atOnce,
		WorkerStopTimeout:                       drainTime,
		DeadlockDetectionTimeout:                5 * time.Second, // a busy machine is no deadlock
		DisableRegistrationAliasing:             true,
		OnFatalError: func(err error) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.failed = err
		},
	})
	register(w)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return threat.Faultf(threat.Conflict, "Temporal is closed")
	}
	if err := w.Start(); err != nil {
		return threat.Faultf(threat.Unavailable, "the worker of Temporal cannot start: %w", err)
	}
	e.workers = append(e.workers, w)
	return nil
}
