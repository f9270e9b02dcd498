package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/adapters/feed"
	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"

	feedserver "github.com/firebreak/firebreak/internal/feed"

	"github.com/firebreak/firebreak/internal/store"
)

var (
	_ feed.Publisher   = (*store.Store)(nil)
	_ feedserver.Lists = (*store.Store)(nil)
)

// list gives values, revision and time of the last change of the addresses' list.
func (r rig) list(c threat.Connection) (values []string, revision int64, changed time.Time) {
	r.t.Helper()
	es, revision, changed, err := r.s.FeedEntries(r.ctx, c.ID, threat.FeedIPs, r.clock.Now())
	require.NoError(r.t, err)
	for _, e := range es {
		values = append(values, e.Value+" "+e.Mark)
	}
	return values, revision, changed
}

func (r rig) publish(c threat.Connection, value, mark string, lasts time.Duration) {
	r.t.Helper()
	require.NoError(r.t, r.s.PutFeedEntry(r.ctx, threat.FeedEntry{ConnectionID: c.ID, TenantID: r.o.ID, List: threat.FeedIPs, Value: value,
		Mark: mark, Until: r.clock.Now().Add(lasts)}))
}

func TestAListsRevisionRisesWithEveryChange(t *testing.T) {
	r := newRig(t)
	c := storetest.Connection(t, r.s, r.o, "feed")
	values, revision, changed := r.list(c)
	assert.Empty(t, values)
	assert.Zero(t, revision)
	assert.True(t, changed.IsZero())

	start := r.clock.Now()
	r.publish(c, "203.0.113.2", "b", time.Hour)
	r.clock.Advance(time.Minute)
	r.publish(c, "203.0.113.1", "a", time.Hour)
	values, revision, changed = r.list(c)
	assert.Equal(t, []string{"203.0.113.1 a", "203.0.113.2 b"}, values)
	assert.Equal(t, int64(2), revision)
	assert.Equal(t, r.clock.Now(), changed)

	r.clock.Advance(time.Minute)
	r.publish(c, "203.0.113.2", "b", 2*time.Hour)
	_, revision, changed = r.list(c)
	assert.Equal(t, int64(2), revision, "a renewal")
	assert.Equal(t, start.Add(time.Minute), changed)
	es, _, _, err := r.s.FeedEntries(r.ctx, c.ID, threat.FeedIPs, r.clock.Now())
	require.NoError(t, err)
	assert.Equal(t, threat.FeedEntry{ConnectionID: c.ID, TenantID: r.o.ID, List: threat.FeedIPs, Value: "203.0.113.2", Mark: "b", Revision: 1,
		AddedAt: start, Until: r.clock.Now().Add(2 * time.Hour)}, es[1])

	gone, err := r.s.RemoveFeedEntry(r.ctx, c.ID, threat.FeedIPs, "203.0.113.1", "someone else's")
	require.NoError(t, err)
	assert.False(t, gone)
	_, revision, _ = r.list(c)
	assert.Equal(t, int64(2), revision)
	gone, err = r.s.RemoveFeedEntry(r.ctx, c.ID, threat.FeedIPs, "203.0.113.1", "a")
	require.NoError(t, err)
	assert.True(t, gone)
	values, revision, _ = r.list(c)
	assert.Equal(t, []string{"203.0.113.2 b"}, values)
	assert.Equal(t, int64(3), revision)

	lists, err := r.s.FeedLists(r.ctx, c.ID)
	require.NoError(t, err)
	assert.Equal(t, []threat.FeedList{{ConnectionID: c.ID, List: threat.FeedIPs, Revision: 3, ChangedAt: r.clock.Now(), Entries: 1},
		{ConnectionID: c.ID, List: threat.FeedDomains}}, lists)
}

func TestAnExpiryIsAChange(t *testing.T) {
	r := newRig(t)
	c := storetest.Connection(t, r.s, r.o, "feed")
	start := r.clock.Now()
	r.publish(c, "203.0.113.1", "a", time.Hour)
	r.publish(c, "203.0.113.2", "a", time.Hour)
	r.publish(c, "203.0.113.3", "a", 2*time.Hour)
	r.publish(c, "203.0.113.4", "a", 3*time.Hour)
	r.clock.Advance(time.Hour - time.Microsecond)
	values, revision, _ := r.list(c)
	assert.Len(t, values, 4)
	assert.Equal(t, int64(4), revision)
	r.clock.Advance(time.Microsecond)
	values, revision, changed := r.list(c)
	assert.Len(t, values, 2, "to the second")
	assert.Equal(t, int64(5), revision)
	assert.Equal(t, start.Add(time.Hour), changed)
	r.clock.Advance(time.Hour)
	_, revision, changed = r.list(c)
	assert.Equal(t, int64(6), revision)
	assert.Equal(t, start.Add(2*time.Hour), changed)

	gone, err := r.s.RemoveFeedEntry(r.ctx, c.ID, threat.FeedIPs, "203.0.113.1", "a")
	require.NoError(t, err)
	assert.False(t, gone, "it is over")
	_, revision, changed = r.list(c)
	assert.Equal(t, int64(6), revision, "counted once, also when it is swept away")
	assert.Equal(t, start.Add(2*time.Hour), changed)
	r.publish(c, "203.0.113.1", "a", time.Hour)
	es, revision, _, err := r.s.FeedEntries(r.ctx, c.ID, threat.FeedIPs, r.clock.Now())
	require.NoError(t, err)
	require.Len(t, es, 2)
	assert.Equal(t, int64(7), revision)
	assert.Equal(t, int64(7), es[0].Revision, "new, not renewed")
}

func TestWhatAListDoesNotTake(t *testing.T) {
	r := newRig(t)
	c := storetest.Connection(t, r.s, r.o, "feed")
	e := threat.FeedEntry{ConnectionID: c.ID, TenantID: r.o.ID, List: threat.FeedIPs, Value: "203.0.113.1", Mark: "m",
		Until: r.clock.Now().Add(time.Hour)}
	for name, tt := range map[string]struct {
		change func(*threat.FeedEntry)
		kind   threat.FaultKind
	}{
		"list":       {func(e *threat.FeedEntry) { e.List = "urls" }, threat.Invalid},
		"value":      {func(e *threat.FeedEntry) { e.Value = "" }, threat.Invalid},
		"mark":       {func(e *threat.FeedEntry) { e.Mark = "" }, threat.Invalid},
		"over":       {func(e *threat.FeedEntry) { e.Until = r.clock.Now() }, threat.Invalid},
		"connection": {func(e *threat.FeedEntry) { e.ConnectionID = uuid.New() }, threat.NotFound},
		"tenant":     {func(e *threat.FeedEntry) { e.TenantID = storetest.Tenant(t, r.s).ID }, threat.NotFound},
	} {
		bad := e
		tt.change(&bad)
		err := r.s.PutFeedEntry(r.ctx, bad)
		assert.True(t, threat.Is(err, tt.kind), "%s: %v", name, err)
	}
	values, revision, _ := r.list(c)
	assert.Empty(t, values)
	assert.Zero(t, revision)
	_, err := r.s.RemoveFeedEntry(r.ctx, uuid.New(), threat.FeedIPs, "x", "y")
	assert.True(t, threat.Is(err, threat.NotFound))
	assert.True(t, threat.Is(r.s.RecordFetch(r.ctx, uuid.New(), threat.FeedIPs, "fw", 1, r.clock.Now()), threat.NotFound))
	assert.True(t, threat.Is(r.s.RecordFetch(r.ctx, c.ID, "urls", "fw", 1, r.clock.Now()), threat.Invalid))
}

func TestFetchesTellTheirInterval(t *testing.T) {
	r := newRig(t)
	c := storetest.Connection(t, r.s, r.o, "feed")
	fetch := func(firewall string, revision int64) {
		require.NoError(t, r.s.RecordFetch(r.ctx, c.ID, threat.FeedIPs, firewall, revision, r.clock.Now()))
	}
	fetches := func() []threat.FeedFetch {
		fs, err := r.s.Fetches(r.ctx, c.ID, threat.FeedIPs)
		require.NoError(t, err)
		return fs
	}
	fetch("b", 1)
	fetch("a", 1)
	assert.Equal(t, []threat.FeedFetch{{ConnectionID: c.ID, List: threat.FeedIPs, Firewall: "a", Revision: 1, At: r.clock.Now()},
		{ConnectionID: c.ID, List: threat.FeedIPs, Firewall: "b", Revision: 1, At: r.clock.Now()}}, fetches())
	r.clock.Advance(30 * time.Second)
	fetch("a", 4)
	fetch("a", 4)
	r.clock.Advance(45 * time.Second)
	fetch("b", 5)
	fs := fetches()
	assert.Equal(t, 150*time.Second, fs[0].Interval, "the first gap is held against the five minutes that are expected")
	assert.Equal(t, int64(4), fs[0].Revision)
	assert.Equal(t, 150*time.Second, fs[1].Interval)
	require.NoError(t, r.s.RecordFetch(r.ctx, c.ID, threat.FeedIPs, "b", 2, r.clock.Now().Add(-time.Hour)))
	assert.Equal(t, fs, fetches(), "told late")
	other, err := r.s.Fetches(r.ctx, c.ID, threat.FeedDomains)
	require.NoError(t, err)
	assert.Empty(t, other)

	for range 3 {
		r.clock.Advance(30 * time.Second)
		fetch("b", 5)
	}
	assert.Equal(t, 30*time.Second, fetches()[1].Interval, "what it does is soon known")
	r.clock.Advance(time.Second) // by hand, out of turn
	fetch("b", 5)
	assert.Equal(t, 15*time.Second, fetches()[1].Interval, "one fetch out of turn halves it at most")
	r.clock.Advance(24 * time.Hour)
	fetch("b", 5)
	assert.Equal(t, 30*time.Second, fetches()[1].Interval, "an outage doubles it at most")
}
