package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/threat"
)

// run starts the worker and gives a function that ends it and waits.
func (r *rig) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-ended:
				assert.ErrorIs(t, err, context.Canceled)
			case <-time.After(10 * time.Second):
				t.Error("the worker does not end")
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func (r *rig) accept(t *testing.T, n int) {
	t.Helper()
	var words []string
	for i := range n {
		words = append(words, fmt.Sprintf(`"203.0.%d.%d"`, i/250, i%250))
	}
	_, err := r.AcceptProduct(t.Context(), tenant, "s", "toy", []byte("["+strings.Join(words, ",")+"]"))
	require.NoError(t, err)
}

func eventually(t *testing.T, what func() bool, why string) {
	t.Helper()
	require.Eventually(t, what, 10*time.Second, time.Millisecond, why)
}

func TestRunAssignsEach(t *testing.T) {
	var most, now atomic.Int32
	r := newRig(t, func(d *Deps) {
		d.Workers = 3
		d.Decide = decider(func(ctx context.Context, x threat.Detection) (threat.Triage, error) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer now.Add(-1)
			time.Sleep(time.Millisecond)
			return fine(ctx, x)
		})
	})
	r.accept(t, 100)
	r.run(t)
	r.accept(t, 100)
	eventually(t, func() bool { return r.store.done() == 200 }, "every detection is assigned")
	assert.LessOrEqual(t, most.Load(), int32(3), "no more at once than workers")
	eventually(t, func() bool { return r.metrics.get("triage assigned") == 200 }, "and counted")
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	assert.Equal(t, 200, r.store.assigns, "once")
	assert.Empty(t, r.pages.all())
}

func TestAcceptWakes(t *testing.T) {
	r := newRig(t, func(d *Deps) { d.Poll = time.Hour })
	r.run(t)
	eventually(t, func() bool { r.store.mu.Lock(); defer r.store.mu.Unlock(); return r.store.leases > 0 }, "it looks at the start")
	r.accept(t, 1)
	eventually(t, func() bool { return r.store.done() == 1 }, "without waiting for the tick")
}

func TestQuarantinedAreNotTriaged(t *testing.T) {
	var asked atomic.Int32
	r := newRig(t, func(d *Deps) {
		d.Decide = decider(func(ctx context.Context, x threat.Detection) (threat.Triage, error) {
			asked.Add(1)
			return fine(ctx, x)
		})
	})
	_, err := r.AcceptProduct(t.Context(), tenant, "s", "toy", []byte(`["bad","203.0.113.1"]`))
	require.NoError(t, err)
	stop := r.run(t)
	eventually(t, func() bool { return r.store.done() == 1 }, "the good one")
	stop()
	assert.Equal(t, int32(1), asked.Load())
}

func TestPassingFailuresAreRetried(t *testing.T) {
	var n atomic.Int32
	r := newRig(t, nil)
	r.store.fail = func(what string, _ uuid.UUID) error {
		if what == "assign" && n.Add(1) < tries {
			return threat.Faultf(threat.Unavailable, "busy")
		}
		return nil
	}
	r.accept(t, 1)
	r.run(t)
	eventually(t, func() bool { return r.store.done() == 1 }, "under the same lease")
	assert.Equal(t, int32(tries), n.Load())
	assert.Empty(t, r.pages.all())
}

func TestAFailingDetectionIsKeptAndPaged(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	var asked atomic.Int32
	r := newRig(t, func(d *Deps) {
		d.Decide = decider(func(ctx context.Context, x threat.Detection) (threat.Triage, error) {
			if x.Seq == 1 && broken.Load() {
				asked.Add(1)
				return threat.Triage{}, threat.Faultf(threat.NotFound, "no such tenant")
			}
			return fine(ctx, x)
		})
	})
	r.accept(t, 3)
	r.run(t)
	eventually(t, func() bool { return r.store.done() == 2 && len(r.pages.all()) == 1 }, "the others pass, and people are told")
	assert.Contains(t, r.pages.all()[0], r.store.all[0].ID.String())
	assert.Equal(t, int32(1), asked.Load(), "what will not go better is not repeated at once")
	for i := range 3 {
		r.clock.Move(2 * time.Minute)
		want := int32(i + 2)
		eventually(t, func() bool { return asked.Load() == want }, "the next lease tries again")
	}
	assert.Len(t, r.pages.all(), 1, "people are not told at each lease")
	eventually(t, func() bool { return r.metrics.get("triage failed") == 4 }, "every failure counts")
	broken.Store(false)
	r.clock.Move(2 * time.Minute)
	eventually(t, func() bool { return r.store.done() == 3 }, "it was never given up")
}

func TestAStoreThatIsDownIsPagedOnce(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	var failed atomic.Int32
	r := newRig(t, func(d *Deps) { d.Poll = time.Millisecond })
	r.store.fail = func(what string, _ uuid.UUID) error {
		if what == "lease" && down.Load() {
			failed.Add(1)
			return threat.Faultf(threat.Unavailable, "gone")
		}
		return nil
	}
	r.accept(t, 1)
	r.run(t)
	eventually(t, func() bool { return failed.Load() > leaseFails+3 }, "it keeps looking")
	assert.Len(t, r.pages.all(), 1)
	down.Store(false)
	eventually(t, func() bool { return r.store.done() == 1 }, "and goes on by itself")
}

func TestStopLetsWorkEnd(t *testing.T) {
	entered, let := make(chan struct{}), make(chan struct{})
	r := newRig(t, func(d *Deps) {
		d.Workers = 1
		d.Decide = decider(func(ctx context.Context, x threat.Detection) (threat.Triage, error) {
			if x.Seq == 1 {
				close(entered)
				<-let
				if ctx.Err() != nil {
					return threat.Triage{}, ctx.Err()
				}
			}
			return fine(ctx, x)
		})
	})
	r.accept(t, 5)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	<-entered
	cancel()
	close(let)
	assert.True(t, errors.Is(<-ended, context.Canceled))
	assert.Equal(t, 1, r.store.done(), "what was under way is finished; the rest waits for the next lease")
	assert.Empty(t, r.pages.all())
}

func TestASlowDetectionIsNotTriagedTwiceHere(t *testing.T) {
	var at atomic.Int32
	let := make(chan struct{})
	r := newRig(t, func(d *Deps) {
		d.Decide = decider(func(ctx context.Context, x threat.Detection) (threat.Triage, error) {
			at.Add(1)
			<-let
			return fine(ctx, x)
		})
	})
	r.accept(t, 1)
	r.run(t)
	eventually(t, func() bool { return at.Load() == 1 }, "it begins")
	r.clock.Move(time.Hour) // the lease is over, and the store hands it out again
	eventually(t, func() bool {
		r.store.mu.Lock()
		defer r.store.mu.Unlock()
		return r.store.leased[r.store.all[0].ID].After(start.Add(time.Hour))
	}, "leased again")
	close(let)
	eventually(t, func() bool { return r.store.done() == 1 }, "it ends")
	assert.Equal(t, int32(1), at.Load())
}
