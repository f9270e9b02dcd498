package store_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/secret"
	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"
)

func (r rig) nudge(o threat.Organisation, kind string, subject uuid.UUID) {
	r.t.Helper()
	require.NoError(r.t, r.s.Nudge(r.ctx, kind, o.ID, subject))
}

func (r rig) leaseNudges(owner string, n, perTenant int) []threat.Nudge {
	r.t.Helper()
	ns, err := r.s.LeaseNudges(r.ctx, owner, n, perTenant, time.Minute)
	require.NoError(r.t, err)
	return ns
}

func (r rig) depth() int {
	r.t.Helper()
	n, _, err := r.s.OutboxDepth(r.ctx)
	require.NoError(r.t, err)
	return n
}

func TestANudgeIsHandedOutUntilItIsDone(t *testing.T) {
	r := newRig(t)
	id, since := uuid.New(), r.clock.Now()
	r.nudge(r.o, "response", id)
	r.clock.Advance(time.Second)
	r.nudge(r.o, "response", id)
	n, oldest, err := r.s.OutboxDepth(r.ctx)
	require.NoError(t, err)
	assert.Equal(t, 1, n, "one row a subject")
	assert.Equal(t, since, oldest)

	out := r.leaseNudges("a", 10, 10)
	require.Len(t, out, 1)
	assert.Equal(t, threat.Nudge{Kind: "response", SubjectID: id, TenantID: r.o.ID, Stamp: out[0].Stamp}, out[0])
	assert.Empty(t, r.leaseNudges("b", 10, 10), "it is out")
	r.clock.Advance(time.Minute)
	again := r.leaseNudges("b", 10, 10)
	assert.Equal(t, out, again, "the lease was over")
	require.NoError(t, r.s.DoneNudges(r.ctx, "a", out))
	assert.Equal(t, 1, r.depth(), "it is b's by now")
	require.NoError(t, r.s.FailNudges(r.ctx, "a", out, 0))
	assert.Empty(t, r.leaseNudges("c", 10, 10), "nor can a give it back")
	require.NoError(t, r.s.DoneNudges(r.ctx, "b", again))
	n, oldest, err = r.s.OutboxDepth(r.ctx)
	require.NoError(t, err)
	assert.Zero(t, n)
	assert.True(t, oldest.IsZero())
	require.NoError(t, r.s.DoneNudges(r.ctx, "b", again), "nothing is done twice")
	err = r.s.Nudge(r.ctx, "tea", r.o.ID, id)
	assert.True(t, threat.Is(err, threat.Internal))
	err = r.s.Nudge(r.ctx, "case", uuid.New(), id)
	assert.True(t, threat.Is(err, threat.NotFound))
}

func TestANudgeDuringALeaseIsNotLost(t *testing.T) {
	r := newRig(t)
	id := uuid.New()
	r.nudge(r.o, "case", id)
	first := r.leaseNudges("a", 1, 1)
	require.Len(t, first, 1)
	r.nudge(r.o, "case", id)
	assert.Empty(t, r.leaseNudges("a", 1, 1), "the lease holds")
	var woken []string
	r.s.OnWake(func(kind string) { woken = append(woken, kind) })
	require.NoError(t, r.s.DoneNudges(r.ctx, "a", first))
	assert.Equal(t, []string{"case"}, woken)
	second := r.leaseNudges("a", 1, 1)
	require.Len(t, second, 1, "free at once")
	assert.Greater(t, second[0].Stamp, first[0].Stamp)
	require.NoError(t, r.s.DoneNudges(r.ctx, "a", first))
	assert.Empty(t, r.leaseNudges("b", 1, 1), "the old stamp frees nothing that was leased anew")
	require.NoError(t, r.s.DoneNudges(r.ctx, "a", second))
	assert.Zero(t, r.depth())
}

func TestAFailedNudgeComesBackLater(t *testing.T) {
	r := newRig(t)
	r.nudge(r.o, "case", uuid.New())
	out := r.leaseNudges("a", 1, 1)
	require.NoError(t, r.s.FailNudges(r.ctx, "a", out, 10*time.Second))
	r.nudge(r.o, "case", out[0].SubjectID)
	r.clock.Advance(10*time.Second - time.Microsecond)
	assert.Empty(t, r.leaseNudges("a", 1, 1))
	r.clock.Advance(time.Microsecond)
	again := r.leaseNudges("a", 1, 1)
	require.Len(t, again, 1)
	assert.Greater(t, again[0].Stamp, out[0].Stamp)
}

func TestNudgesAreFairBetweenTenantsAndTheMostSevereComesFirst(t *testing.T) {
	r := newRig(t)
	small := storetest.Tenant(t, r.s)
	opened := func(o threat.Organisation, s threat.Severity) uuid.UUID {
		return storetest.Case(t, r.s, o, r.clock.Now(), func(d *threat.Detection) { d.Severity = s }).ID
	}
	low, critical, medium := opened(r.o, threat.SeverityLow), opened(r.o, threat.SeverityCritical), opened(r.o, threat.SeverityMedium)
	r.clock.Advance(time.Second)
	late := opened(r.o, threat.SeverityCritical)
	for range 10 {
		opened(r.o, threat.SeverityLow)
	}
	one := opened(small, threat.SeverityInformational)
	subjects := func(ns []threat.Nudge) (big, other []uuid.UUID) {
		for _, n := range ns {
			if n.TenantID == r.o.ID {
				big = append(big, n.SubjectID)
			} else {
				other = append(other, n.SubjectID)
			}
		}
		return big, other
	}
	first := r.leaseNudges("a", 5, 4)
	big, other := subjects(first)
	assert.Equal(t, []uuid.UUID{critical, late, medium, low}, big)
	assert.Equal(t, []uuid.UUID{one}, other)
	assert.Empty(t, r.leaseNudges("a", 5, 4), "four of this tenant are out")
	require.NoError(t, r.s.DoneNudges(r.ctx, "a", first[:2]))
	assert.LessOrEqual(t, len(r.leaseNudges("a", 5, 4)), 2)
	r.clock.Advance(time.Hour)
	assert.Len(t, r.leaseNudges("a", 5, 100), 5)
	assert.Empty(t, r.leaseNudges("a", 0, 4))
	assert.Empty(t, r.leaseNudges("a", 4, 0))
}

func TestEveryTenantHasItsTurn(t *testing.T) {
	r := newRig(t)
	tenants := []threat.Organisation{r.o}
	for range 5 {
		tenants = append(tenants, storetest.Tenant(t, r.s))
	}
	for _, o := range tenants {
		for range 3 {
			r.nudge(o, "response", uuid.New())
		}
	}
	seen := map[uuid.UUID]int{}
	for range 9 {
		ns := r.leaseNudges("a", 2, 10)
		require.Len(t, ns, 2)
		for _, n := range ns {
			seen[n.TenantID]++
		}
		least, most := 3, 0
		for _, o := range tenants {
			least, most = min(least, seen[o.ID]), max(most, seen[o.ID])
		}
		require.LessOrEqual(t, most-least, 1)
	}
}

// TestNudgesAreHandedOutOnce has several owners, over two stores where the database can be shared, lease, nudge and finish at
// once: what is out is out once, and every nudge is followed by a hand-out.
func TestNudgesAreHandedOutOnce(t *testing.T) {
	address, keys := storetest.URL(t), secret.Ephemeral()
	s := storetest.Open(t, storetest.WithURL(address), storetest.WithKeys(keys))
	stores := []*store.Store{s}
	if address[:6] != "sqlite" {
		stores = append(stores, storetest.Open(t, storetest.WithURL(address), storetest.WithKeys(keys)))
	}
	r := rig{t: t, ctx: t.Context(), s: s, o: storetest.Tenant(t, s)}
	var subjects []uuid.UUID
	for range 30 {
		subjects = append(subjects, uuid.New())
		r.nudge(r.o, "case", subjects[len(subjects)-1])
	}
	var mu sync.Mutex
	out, handed := map[uuid.UUID]string{}, map[uuid.UUID]int64{}
	var wg sync.WaitGroup
	for i, owner := range []string{"a", "b", "c", "d"} {
		wg.Add(1)
		go func() {
			defer wg.Done()
			s := stores[i%len(stores)]
			for round := range 15 {
				ns, err := s.LeaseNudges(r.ctx, owner, 5, 100, time.Hour)
				if !assert.NoError(t, err) {
					return
				}
				mu.Lock()
				for _, n := range ns {
					assert.Empty(t, out[n.SubjectID], "handed out twice")
					out[n.SubjectID] = owner
					handed[n.SubjectID] = n.Stamp
				}
				mu.Unlock()
				assert.NoError(t, s.Nudge(r.ctx, "case", r.o.ID, subjects[(7*i+round)%len(subjects)]))
				mu.Lock()
				for _, n := range ns {
					delete(out, n.SubjectID)
				}
				mu.Unlock()
				assert.NoError(t, s.DoneNudges(r.ctx, owner, ns))
			}
		}()
	}
	wg.Wait()
	for {
		ns := r.leaseNudges("z", 100, 100)
		if len(ns) == 0 {
			break
		}
		require.NoError(t, s.DoneNudges(r.ctx, "z", ns))
	}
	assert.Zero(t, r.depth(), "all were free in the end")
	assert.Len(t, handed, len(subjects))
}

func TestOpenSubjectsForTheSweep(t *testing.T) {
	r := newRig(t)
	var want []uuid.UUID
	for range 5 {
		want = append(want, storetest.Case(t, r.s, r.o, r.clock.Now()).ID)
	}
	slices.SortFunc(want, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	_, err := r.s.CloseCase(r.ctx, want[2], "done", "system")
	require.NoError(t, err)
	want = slices.Delete(want, 2, 3)
	var got []uuid.UUID
	after := uuid.Nil
	for {
		page, err := r.s.OpenSubjects(r.ctx, "case", after, 3)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		for _, n := range page {
			assert.Equal(t, threat.Nudge{Kind: "case", SubjectID: n.SubjectID, TenantID: r.o.ID}, n)
			got, after = append(got, n.SubjectID), n.SubjectID
		}
	}
	assert.Equal(t, want, got)
	e := r.escalate(want[0])
	running, err := r.s.OpenSubjects(r.ctx, "escalation", uuid.Nil, 10)
	require.NoError(t, err)
	require.Len(t, running, 1)
	assert.Equal(t, e.ID, running[0].SubjectID)
	none, err := r.s.OpenSubjects(r.ctx, "response", uuid.Nil, 10)
	require.NoError(t, err)
	assert.Empty(t, none)
	_, err = r.s.OpenSubjects(r.ctx, "tea", uuid.Nil, 10)
	assert.True(t, threat.Is(err, threat.Invalid))
}
