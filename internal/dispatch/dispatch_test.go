package dispatch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"github.com/firebreak/firebreak/activities"
	"github.com/firebreak/firebreak/internal/threat"
)

var (
	tenantA = uuid.MustParse("01890000-0000-7000-8000-0000000000aa")
	tenantB = uuid.MustParse("01890000-0000-7000-8000-0000000000bb")
)

// counts keeps what was measured.
type counts struct {
	mu     sync.Mutex
	nudges map[string]int
	depth  int
	age    time.Duration
	swept  map[string][2]int
}

func (c *counts) Nudge(kind, outcome string, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nudges[kind+" "+outcome]++
}

func (c *counts) Outbox(depth int, age time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.depth, c.age = depth, age
}

func (c *counts) Sweep(kind string, open, missing int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.swept[kind] = [2]int{open, missing}
}

func (c *counts) sent() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.nudges)
}

func (c *counts) waiting() (int, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.depth, c.age
}

func (c *counts) sweep(kind string) [2]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.swept[kind]
}

// running starts a dispatcher in a bubble of virtual time, and gives what ends it and waits for that.
func running(t *testing.T, o *outbox, f *temporal, change func(*Deps)) (*counts, func()) {
	t.Helper()
	c := &counts{nudges: map[string]int{}, swept: map[string][2]int{}}
	d := Deps{Store: o, Client: f, TaskQueue: "queue", Now: time.Now, Metrics: c}
	if change != nil {
		change(&d)
	}
	x := New(d)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- x.Run(ctx) }()
	return c, func() {
		stop()
		require.NoError(t, <-ended)
	}
}

// after lets virtual time pass.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestANudgeSignalsTheWorkflowOfItsSubject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, f := newOutbox(), newTemporal()
		c, stop := running(t, o, f, nil)
		defer stop()
		synctest.Wait()
		id := uuid.New()
		require.NoError(t, o.Nudge(t.Context(), activities.KindResponse, tenantA, id))
		synctest.Wait() // woken: no time passes
		calls := f.seen()
		require.Len(t, calls, 1)
		require.Equal(t, "response-"+id.String(), calls[0].id)
		require.Equal(t, calls[0].id, calls[0].options.ID)
		require.Equal(t, activities.SignalNudge, calls[0].signal)
		require.Nil(t, calls[0].arg, "a nudge says nothing")
		require.Equal(t, "Response", calls[0].workflow)
		require.Equal(t, "queue", calls[0].options.TaskQueue)
		require.Equal(t, []any{activities.Subject{ID: id, TenantID: tenantA}}, calls[0].args)
		require.Zero(t, o.waiting())
		require.Equal(t, map[string]int{"response sent": 1}, c.sent())
	})
}

func TestWithoutAWakeAPollFindsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, f := newOutbox(), newTemporal()
		_, stop := running(t, o, f, nil)
		defer stop()
		synctest.Wait()
		o.hooks = nil // another process wrote it
		require.NoError(t, o.Nudge(t.Context(), activities.KindCase, tenantA, uuid.New()))
		synctest.Wait()
		require.Empty(t, f.seen())
		after(time.Second)
		require.Len(t, f.seen(), 1)
	})
}

func TestAtRestItOnlyPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, f := newOutbox(), newTemporal()
		_, stop := running(t, o, f, nil)
		defer stop()
		after(100 * time.Second)
		require.InDelta(t, 100, o.polls(), 3)
		for range 1000 {
			for _, h := range o.hooks {
				h("received") // not ours
			}
		}
		synctest.Wait()
		require.InDelta(t, 100, o.polls(), 3)
	})
}

func TestNudgedAgainDuringItsCallIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, f := newOutbox(), newTemporal()
		id := uuid.New()
		let := make(chan struct{})
		f.meet(func(context.Context, string) error { <-let; return nil })
		_, stop := running(t, o, f, nil)
		defer stop()
		require.NoError(t, o.Nudge(t.Context(), activities.KindCase, tenantA, id))
		synctest.Wait()
		require.NoError(t, o.Nudge(t.Context(), activities.KindCase, tenantA, id))
		synctest.Wait()
		require.Len(t, f.seen(), 1, "not twice at once")
		close(let)
		synctest.Wait()
		require.Len(t, f.seen(), 2)
		require.Zero(t, o.waiting())
	})
}

func TestBoundedInAllAndForATenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, f := newOutbox(), newTemporal()
		for range 500 { // one tenant's flood
			require.NoError(t, o.Nudge(t.Context(), activities.KindCase, tenantA, uuid.New()))
		}
		for i := range 100 { // and many tenants with a little each
			require.NoError(t, o.Nudge(t.Context(), activities.KindCase, uuid.UUID{byte(i + 1)}, uuid.New()))
		}
		require.NoError(t, o.Nudge(t.Context(), activities.KindCase, tenantB, uuid.New()))
		f.meet(func(context.Context, string) error { time.Sleep(10 * time.Millisecond); return nil })
		c, stop := running(t, o, f, nil)
		defer stop()
		after(25 * time.Millisecond)
		_, one := f.atOnce(tenantB)
		require.Equal(t, 1, one, "the flood holds nobody else up")
		after(5 * time.Second)
		require.Zero(t, o.waiting())
		require.Len(t, f.seen(), 601)
		all, one := f.atOnce(tenantA)
		require.Equal(t, 64, all)
		require.Equal(t, 4, one)
		require.Equal(t, map[string]int{"case sent": 601}, c.sent())
	})
}

func TestWhileTemporalIsAwayNudgesWaitAndNothingSpins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, f := newOutbox(), newTemporal()
		for i := range 300 {
			require.NoError(t, o.Nudge(t.Context(), activities.KindResponse, uuid.UUID{byte(i)}, uuid.New()))
		}
		f.meet(func(context.Context, string) error { return serviceerror.NewUnavailable("connection refused") })
		c, stop := running(t, o, f, nil)
		defer stop()
		after(10 * time.Minute)
		require.Equal(t, 300, o.waiting())
		n := len(f.seen())
		require.Less(t, n, 64+100, "64 at first, then a probe each ten seconds")
		require.Greater(t, n, 64+50)
		depth, age := c.waiting()
		require.Equal(t, 300, depth)
		require.InDelta(t, 600, age.Seconds(), 10)
		f.meet(nil)
		after(15 * time.Second)
		require.Zero(t, o.waiting())
		require.Len(t, f.seen(), n+300)
	})
}

func TestACallThatHangsIsGivenUpAndRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, f := newOutbox(), newTemporal()
		f.meet(func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() })
		require.NoError(t, o.Nudge(t.Context(), activities.KindCase, tenantA, uuid.New()))
		_, stop := running(t, o, f, nil)
		defer stop()
		after(callTimeout + time.Millisecond)
		require.Len(t, f.seen(), 1)
		f.meet(nil)
		after(time.Second)
		require.Len(t, f.seen(), 2)
		require.Zero(t, o.waiting())
	})
}

func TestANudgeThatIsRefusedForWhatItIsHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, f := newOutbox(), newTemporal()
		bad := uuid.New()
		f.meet(func(_ context.Context, id string) error {
			if id == "case-"+bad.String() {
				return serviceerror.NewInvalidArgument("no")
			}
			return nil
		})
		require.NoError(t, o.Nudge(t.Context(), activities.KindCase, tenantA, bad))
		require.NoError(t, o.Nudge(t.Context(), "hunt", tenantA, uuid.New())) // what a newer version wrote
		_, stop := running(t, o, f, nil)
		defer stop()
		for range 100 {
			require.NoError(t, o.Nudge(t.Context(), activities.KindCase, tenantA, uuid.New()))
			after(time.Millisecond)
		}
		require.Equal(t, 2, o.waiting())
		after(10 * time.Minute)
		require.Equal(t, 2, o.waiting(), "never lost")
		require.Less(t, len(f.seen()), 100+25)
	})
}

func TestWhatTheStoreCouldNotBeToldIsToldLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, f := newOutbox(), newTemporal()
		f.meet(func(context.Context, string) error { o.set(true); return nil })
		_, stop := running(t, o, f, nil)
		defer stop()
		require.NoError(t, o.Nudge(t.Context(), activities.KindCase, tenantA, uuid.New()))
		after(20 * time.Second)
		require.Equal(t, 1, o.waiting())
		o.set(false)
		after(time.Second)
		require.Zero(t, o.waiting())
		require.Len(t, f.seen(), 1)
	})
}

func TestTwoProcessesDoNotSendTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, f := newOutbox(), newTemporal()
		f.meet(func(context.Context, string) error { time.Sleep(5 * time.Millisecond); return nil })
		for i := range 200 {
			require.NoError(t, o.Nudge(t.Context(), activities.KindCase, uuid.UUID{byte(i)}, uuid.New()))
		}
		_, stop1 := running(t, o, f, nil)
		defer stop1()
		_, stop2 := running(t, o, f, nil)
		defer stop2()
		after(10 * time.Second)
		require.Zero(t, o.waiting())
		require.Len(t, f.seen(), 200)
	})
}

func TestTheEndWaitsForCallsAndFreesWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, f := newOutbox(), newTemporal()
		hangs := uuid.New()
		f.meet(func(ctx context.Context, id string) error {
			if id == "case-"+hangs.String() {
				<-ctx.Done()
				return ctx.Err()
			}
			time.Sleep(time.Second)
			return nil
		})
		require.NoError(t, o.Nudge(t.Context(), activities.KindCase, tenantA, hangs))
		require.NoError(t, o.Nudge(t.Context(), activities.KindCase, tenantA, uuid.New()))
		_, stop := running(t, o, f, nil)
		synctest.Wait()
		began := time.Now()
		stop()
		require.Equal(t, graceTime, time.Since(began))
		require.Equal(t, 1, o.waiting(), "the other was sent")
		require.Zero(t, o.leased(), "the next process need not wait for a lease")
		// The next one sends it.
		f.meet(nil)
		_, stop = running(t, o, f, nil)
		defer stop()
		synctest.Wait()
		require.Zero(t, o.waiting())
	})
}

func TestTheFirstSweepStartsWhatWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, f := newOutbox(), newTemporal()
		var lost int
		for _, kind := range activities.Kinds {
			for i := range subjectPage + 100 { // more than a page
				n := threat.Nudge{Kind: kind, TenantID: uuid.UUID{1, byte(i)}, SubjectID: uuid.New()}
				o.opens(n)
				if i%2 == 0 {
					f.live = append(f.live, activities.WorkflowID(kind, n.SubjectID))
				} else {
					lost++
				}
			}
		}
		f.live = append(f.live, "somebody-else's", "case-"+uuid.NewString()) // nothing is done about these
		c, stop := running(t, o, f, nil)
		defer stop()
		after(time.Second)
		require.Len(t, f.seen(), lost)
		require.Equal(t, [2]int{600, 300}, c.sweep(activities.KindResponse))
	})
}

func TestLaterASubjectMustBeMissingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, f := newOutbox(), newTemporal()
		_, stop := running(t, o, f, nil)
		defer stop()
		after(time.Second)
		n := threat.Nudge{Kind: activities.KindCase, TenantID: tenantA, SubjectID: uuid.New()}
		o.opens(n) // its own nudge was sent, and what Temporal lists lags behind
		after(30 * time.Second)
		require.Empty(t, f.seen())
		after(30 * time.Second)
		require.Len(t, f.seen(), 1)
		f.mu.Lock()
		f.live = []string{activities.WorkflowID(n.Kind, n.SubjectID)}
		f.mu.Unlock()
		after(10 * time.Minute)
		require.Len(t, f.seen(), 1)
	})
}

func TestTheFirstSweepIsTriedUntilItSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, f := newOutbox(), newTemporal()
		n := threat.Nudge{Kind: activities.KindEscalation, TenantID: tenantA, SubjectID: uuid.New()}
		o.opens(n)
		fails := 3
		f.list = func() error {
			if fails--; fails >= 0 {
				return errors.New("not yet")
			}
			return nil
		}
		_, stop := running(t, o, f, nil)
		defer stop()
		after(10 * time.Second) // 1 + 2 + 4, less the spread
		require.Len(t, f.seen(), 1)
	})
}

func TestBackoffGrowsAndIsBounded(t *testing.T) {
	last := time.Duration(0)
	for n := 1; n < 10; n++ {
		d := backoff(n, pauseFirst, pauseLast)
		require.LessOrEqual(t, d, pauseLast, fmt.Sprint(n))
		require.Greater(t, d*2, last)
		last = d
	}
}
