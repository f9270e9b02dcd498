package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
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

// rig is a store with a clock and one tenant.
type rig struct {
	t     *testing.T
	ctx   context.Context
	clock *storetest.Clock
	s     *store.Store
	o     threat.Organisation
}

func newRig(t *testing.T, opts ...storetest.Option) rig {
	clock := storetest.NewClock()
	s := storetest.Open(t, append([]storetest.Option{storetest.WithClock(clock)}, opts...)...)
	return rig{t: t, ctx: context.Background(), clock: clock, s: s, o: storetest.Tenant(t, s)}
}

func (r rig) detect(fns ...func(*threat.Detection)) threat.Detection {
	r.t.Helper()
	return storetest.Detection(r.t, r.s, r.o, r.clock.Now(), fns...)
}

func (r rig) assign(d threat.Detection, fns ...func(*threat.Triage)) threat.Assignment {
	r.t.Helper()
	return storetest.Assign(r.t, r.s, d, fns...)
}

func (r rig) caseOf(a threat.Assignment) threat.Case {
	r.t.Helper()
	require.True(r.t, a.CaseID.Valid)
	c, err := r.s.Case(r.ctx, a.CaseID.UUID)
	require.NoError(r.t, err)
	return c
}

func (r rig) verified() store.Report {
	r.t.Helper()
	report, err := r.s.Verify(r.ctx, nil)
	require.NoError(r.t, err)
	require.Empty(r.t, report.Problems)
	return report
}

// kinds gives the kinds of the entries of a tenant's journal after a number.
func (r rig) kinds(after int64) (out []threat.EntryKind) {
	r.t.Helper()
	es, err := r.s.Entries(r.ctx, r.o.ID, after, 0)
	require.NoError(r.t, err)
	for _, e := range es {
		out = append(out, e.Kind)
	}
	return out
}

func (r rig) head() int64 {
	r.t.Helper()
	heads, err := r.s.Heads(r.ctx, []uuid.UUID{r.o.ID})
	require.NoError(r.t, err)
	return heads[r.o.ID]
}

func keyed(key string) func(*threat.Detection) {
	return func(d *threat.Detection) { d.DedupKey = key }
}

func TestAcceptedDetectionsAreWholeAndInOrder(t *testing.T) {
	r := newRig(t)
	var woken []string
	r.s.OnWake(func(kind string) { woken = append(woken, kind) })
	ds := make([]threat.Detection, 123)
	for i := range ds {
		ds[i] = storetest.NewDetection(r.s, r.o, r.clock.Now(), func(d *threat.Detection) {
			d.UID = fmt.Sprint(i)
			switch i {
			case 3:
				d.Raw = []byte{0xff, 0xfe, 'x', 0}
			case 4:
				d.Raw, d.OCSF, d.Observables, d.Techniques = []byte(`<b>&`+"\x00\n"), nil, nil, nil
				d.State, d.Reason, d.At = threat.DetectionQuarantined, "no JSON", r.clock.Now()
			case 6:
				d.Raw = []byte(" {\"a\" : \"<b>\\u0041&\u2028\" }\n")
				d.OCSF = d.Raw
			case 7:
				d.Raw = nil
			case 5:
				d.Clock, d.Techniques = threat.ClockAhead, []string{"T1071", "T1046"}
			}
		})
	}
	kept, err := r.s.AcceptDetections(r.ctx, ds)
	require.NoError(t, err)
	require.Len(t, kept, len(ds))
	assert.Equal(t, []string{"received"}, woken)
	for i, k := range kept {
		require.Equal(t, ds[i].UID, k.UID)
		if i > 0 {
			require.Equal(t, kept[i-1].Seq+1, k.Seq)
		}
		got, err := r.s.Detection(r.ctx, k.ID)
		require.NoError(t, err)
		require.Equal(t, string(ds[i].Raw), string(got.Raw))
		require.Equal(t, strings.TrimSpace(string(ds[i].OCSF)), string(got.OCSF))
		want := k
		want.Raw, want.OCSF, got.Raw, got.OCSF = nil, nil, nil, nil
		require.Equal(t, want, got)
	}
	quarantined, err := r.s.Detections(r.ctx, r.o.ID, threat.DetectionQuarantined, 10)
	require.NoError(t, err)
	require.Len(t, quarantined, 1)
	assert.Equal(t, "no JSON", quarantined[0].Reason)
	received, err := r.s.Detections(r.ctx, r.o.ID, threat.DetectionReceived, 2)
	require.NoError(t, err)
	require.Len(t, received, 2)
	assert.Equal(t, kept[122].ID, received[0].ID, "the newest first")
	_, err = r.s.Detections(r.ctx, r.o.ID, "lost", 2)
	assert.True(t, threat.Is(err, threat.Invalid))
	report := r.verified()
	assert.Equal(t, 123, report.Rows["detections"])
}

func TestABatchIsAllOrNothing(t *testing.T) {
	r := newRig(t)
	before := r.head()
	good := storetest.NewDetection(r.s, r.o, r.clock.Now())
	bad := storetest.NewDetection(r.s, r.o, r.clock.Now(), func(d *threat.Detection) { d.OCSF = json.RawMessage("{") })
	_, err := r.s.AcceptDetections(r.ctx, []threat.Detection{good, bad})
	require.True(t, threat.Is(err, threat.Invalid), "%v", err)
	other := storetest.Tenant(t, r.s)
	_, err = r.s.AcceptDetections(r.ctx, []threat.Detection{good, storetest.NewDetection(r.s, other, r.clock.Now())})
	require.True(t, threat.Is(err, threat.Invalid), "%v", err)
	_, err = r.s.AcceptDetections(r.ctx, []threat.Detection{storetest.NewDetection(r.s, threat.Organisation{ID: uuid.New()}, r.clock.Now())})
	require.True(t, threat.Is(err, threat.NotFound), "%v", err)
	_, err = r.s.AcceptDetections(r.ctx, []threat.Detection{storetest.NewDetection(r.s, r.o, r.clock.Now(),
		func(d *threat.Detection) { d.State = threat.DetectionAssigned })})
	require.True(t, threat.Is(err, threat.Invalid), "%v", err)
	assert.Equal(t, before, r.head())
	got, err := r.s.LeaseReceived(r.ctx, "me", 10, time.Minute)
	require.NoError(t, err)
	assert.Empty(t, got)
	none, err := r.s.AcceptDetections(r.ctx, nil)
	require.NoError(t, err)
	assert.Empty(t, none)
}

func TestAcceptedDetectionsSurviveTheProcess(t *testing.T) {
	address, keys := storetest.URL(t), secret.Ephemeral()
	s, err := store.Open(context.Background(), store.Options{URL: address, Keys: keys})
	require.NoError(t, err)
	o := storetest.Tenant(t, s)
	d := storetest.Detection(t, s, o, time.Now())
	require.NoError(t, s.Close())
	again := storetest.Open(t, storetest.WithURL(address), storetest.WithKeys(keys))
	got, err := again.LeaseReceived(context.Background(), "me", 10, time.Minute)
	require.NoError(t, err)
	require.Len(t, got, 1)
	assert.Equal(t, d.ID, got[0].ID)
	assert.Equal(t, d.Observables, got[0].Observables)
}

func TestLeasesAreFairAndComeBack(t *testing.T) {
	r := newRig(t)
	small := storetest.Tenant(t, r.s)
	var flood, few []uuid.UUID
	for range 20 {
		flood = append(flood, r.detect().ID)
	}
	for range 2 {
		few = append(few, storetest.Detection(t, r.s, small, r.clock.Now()).ID)
	}
	ids := func(ds []threat.Detection) (out []uuid.UUID) {
		for _, d := range ds {
			out = append(out, d.ID)
		}
		return out
	}
	lease := func(owner string, n int) []uuid.UUID {
		ds, err := r.s.LeaseReceived(r.ctx, owner, n, time.Minute)
		require.NoError(t, err)
		return ids(ds)
	}
	assert.ElementsMatch(t, append(append([]uuid.UUID{}, flood[:4]...), few...), lease("a", 6), "in turn, the oldest first")
	assert.Equal(t, flood[4:6], lease("b", 2), "what is out is not handed out twice")
	r.clock.Advance(time.Minute - time.Microsecond)
	assert.Equal(t, flood[6:8], lease("b", 2))
	r.clock.Advance(time.Microsecond)
	assert.ElementsMatch(t, append(append(append([]uuid.UUID{}, flood[:6]...), few...), flood[8:]...), lease("c", 20), "two leases are over")
	r.clock.Advance(time.Hour)
	d, err := r.s.Detection(r.ctx, flood[0])
	require.NoError(t, err)
	r.assign(d)
	assert.NotContains(t, lease("d", 100), flood[0], "assigned")
	none, err := r.s.LeaseReceived(r.ctx, "d", 0, time.Minute)
	require.NoError(t, err)
	assert.Empty(t, none)
}

func TestTenantsTakeTurnsBetweenLeases(t *testing.T) {
	r := newRig(t)
	tenants := []threat.Organisation{r.o, storetest.Tenant(t, r.s), storetest.Tenant(t, r.s), storetest.Tenant(t, r.s)}
	for _, o := range tenants {
		for range 4 {
			storetest.Detection(t, r.s, o, r.clock.Now())
		}
	}
	seen := map[uuid.UUID]int{}
	for i := 1; i <= 16; i++ {
		ds, err := r.s.LeaseReceived(r.ctx, "me", 1, time.Hour)
		require.NoError(t, err)
		require.Len(t, ds, 1)
		seen[ds[0].TenantID]++
		if i%4 == 0 {
			for _, o := range tenants {
				require.Equal(t, i/4, seen[o.ID])
			}
		}
	}
}
