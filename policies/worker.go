package policies

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/firebreak/firebreak/internal/threat"
)

// outcome is what OPA gave.
type outcome struct {
	rs  rego.ResultSet
	err error
}

// job is one evaluation.
type job struct {
	query  rego.PreparedEvalQuery
	input  ast.Value
	cancel topdown.Cancel
	out    chan outcome // holds one
}

// worker is a goroutine that evaluates. Each job has a goroutine beside its caller's, so that a built-in function that does
// not look at the cancellation cannot hold the caller; and workers are kept, because OPA's evaluator is deep, and a fresh
// goroutine would spend most of its time growing its stack.
type worker struct{ jobs chan job } // holds one

// idleWorkers is how many workers wait for work at most; more are made when they are needed, and end afterwards.
func idleWorkers() int { return 2 * runtime.GOMAXPROCS(0) }

func (e *Engine) newWorker() *worker {
	w := &worker{jobs: make(chan job, 1)}
	go w.run(e.idle, e.closed)
	return w
}

// ballast keeps a worker's stack from being halved at every garbage collection: a stack is shrunk when less than a quarter
// of it is in use. With this much in use, one of 512 KiB stays, which is deeper than rules go.
type ballast [128 << 10]byte

func (w *worker) run(idle chan *worker, closed chan struct{}) {
	var b ballast
	hold(&b)
	for {
		select {
		case j := <-w.jobs:
			o := j.eval()
			select {
			case idle <- w: // before the answer, so that the caller's next question finds it
				j.out <- o
			default:
				j.out <- o
				return
			}
		case <-closed:
			return
		}
	}
}

//go:noinline
func hold(b *ballast) { b[0] = 1 }

func (j job) eval() (o outcome) {
	defer func() {
		if r := recover(); r != nil {
			o = outcome{err: fmt.Errorf("the evaluator failed: %v", r)}
		}
	}()
	o.rs, o.err = j.query.Eval(context.Background(), rego.EvalParsedInput(j.input), rego.EvalExternalCancel(j.cancel),
		rego.EvalMetrics(metrics.NoOp()))
	return o
}

// ask evaluates one question within its time.
func (e *Engine) ask(ctx context.Context, b *bundle, q threat.Question, input ast.Value, a *Answer) {
	pq, ok := b.queries[q]
	if !ok {
		a.Fault = FaultUndefined + ": no such question"
		return
	}
	if e.stuck.Load() >= maxStuck {
		a.Fault = FaultBusy
		return
	}
	j := job{query: pq, input: input, cancel: topdown.NewCancel(), out: make(chan outcome, 1)}
	var w *worker
	select {
	case w = <-e.idle:
	default:
		w = e.newWorker()
	}
	limit := time.NewTimer(e.opts.Timeout)
	defer limit.Stop()
	w.jobs <- j // the last thing before waiting, so that the worker goes on where we stop
	select {
	case r := <-j.out:
		finish(q, r, a)
		return
	case <-limit.C:
	case <-ctx.Done():
	}
	j.cancel.Cancel()
	a.Fault = FaultTimeout
	last := time.NewTimer(grace)
	defer last.Stop()
	select {
	case <-j.out:
	case <-last.C:
		e.stuck.Add(1)
		go func() {
			<-j.out
			e.stuck.Add(-1)
		}()
	}
}
