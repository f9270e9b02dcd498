package store_test

import (
	"errors"
	"fmt"
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

func TestADetectionOpensACase(t *testing.T) {
	r := newRig(t)
	var woken []string
	d := r.detect()
	before := r.head()
	r.s.OnWake(func(kind string) { woken = append(woken, kind) })
	answer := storetest.Triage(d)
	answer.Title = "Traffic to a controller"
	answer.Proposals = []threat.Proposal{{Step: "block-adversary-address", Verb: "block_ip", Required: true,
		Target: threat.Target{Kind: threat.TargetIP, Value: "203.0.113.66"}}}
	a, err := r.s.Assign(r.ctx, answer)
	require.NoError(t, err)
	assert.Equal(t, threat.DetectionAssigned, a.State)
	assert.True(t, a.Opened)
	assert.Equal(t, []string{"case"}, woken)
	assert.Equal(t, []threat.EntryKind{threat.EntryCaseOpened, threat.EntryDetectionAssigned}, r.kinds(before))
	now := r.clock.Now()
	c := r.caseOf(a)
	assert.Equal(t, threat.Case{ID: a.CaseID.UUID, TenantID: r.o.ID, Number: 1, Title: "Traffic to a controller",
		Severity: threat.SeverityHigh, Threat: threat.ThreatActive, ThreatVersion: 1, ContactVersion: 1, LastDetection: 1,
		LastAdversaryAt: &now, OpenedAt: now, UpdatedAt: now}, c)
	byNumber, err := r.s.CaseByNumber(r.ctx, 1)
	require.NoError(t, err)
	assert.Equal(t, c, byNumber)
	of, err := r.s.DetectionsOfCase(r.ctx, c.ID, 0, 10)
	require.NoError(t, err)
	require.Len(t, of, 1)
	assert.Equal(t, int64(1), of[0].Seq)
	assert.Equal(t, answer.Proposals, of[0].Proposals)
	assert.Equal(t, threat.ThreatActive, of[0].Threat)
	assert.Equal(t, answer.DecisionID, of[0].DecisionID.UUID)
	assert.Equal(t, d.Observables, of[0].Observables)

	r.clock.Advance(time.Minute)
	answer.Suppress, answer.Title = true, "Something else"
	again, err := r.s.Assign(r.ctx, answer)
	require.NoError(t, err)
	assert.Equal(t, a, again, "repeated")
	assert.Equal(t, c, r.caseOf(again))
	_, err = r.s.Assign(r.ctx, threat.Triage{DetectionID: uuid.New()})
	assert.True(t, threat.Is(err, threat.NotFound))
	q := r.detect(func(d *threat.Detection) { d.State = threat.DetectionQuarantined })
	_, err = r.s.Assign(r.ctx, threat.Triage{DetectionID: q.ID})
	assert.True(t, threat.Is(err, threat.Conflict))
	r.verified()
}

func TestSuppressionIsRecorded(t *testing.T) {
	r := newRig(t)
	quiet := func(a *threat.Triage) {
		a.Suppress, a.Reason, a.Threat, a.Severity = true, "a planned test", threat.ThreatSuspected, threat.SeverityLow
	}
	d := r.detect(keyed("k"))
	before := r.head()
	a := r.assign(d, quiet)
	assert.Equal(t, threat.Assignment{State: threat.DetectionSuppressed}, a)
	assert.Equal(t, []threat.EntryKind{threat.EntryDetectionSuppressed}, r.kinds(before))
	listed, err := r.s.Detections(r.ctx, r.o.ID, threat.DetectionSuppressed, 10)
	require.NoError(t, err)
	require.Len(t, listed, 1)
	assert.Equal(t, "a planned test", listed[0].Reason)

	twice := r.detect(keyed("k"))
	a = r.assign(twice, func(a *threat.Triage) { a.Threat = threat.ThreatSuspected })
	assert.Equal(t, threat.DetectionSuppressed, a.State, "repeats a suppressed one")
	assert.Equal(t, d.ID, a.Of.UUID)
	active := r.detect(keyed("k"))
	a = r.assign(active)
	assert.Equal(t, threat.DetectionAssigned, a.State, "says more than the suppressed one: nobody hides behind it")
	assert.True(t, a.Opened)
	n, _, err := r.s.OutboxDepth(r.ctx)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	r.verified()
}

func TestRepetitionsWithinTheWindow(t *testing.T) {
	r := newRig(t)
	first := r.detect(keyed("k"))
	a := r.assign(first)
	c := r.caseOf(a)
	_, err := r.s.Acknowledge(r.ctx, threat.Acknowledgement{CaseID: c.ID, PersonID: storetest.Contact(t, r.s, r.o).ID, Via: "console"})
	require.NoError(t, err)
	r.clock.Advance(time.Hour)
	second := r.assign(r.detect(keyed("k"), storetest.Observing()))
	assert.Equal(t, threat.Assignment{State: threat.DetectionDuplicate, CaseID: a.CaseID,
		Of: uuid.NullUUID{UUID: first.ID, Valid: true}}, second)
	c = r.caseOf(second)
	assert.Equal(t, int64(2), c.LastDetection)
	assert.Equal(t, threat.ContactAcknowledged, c.Contact, "a repetition is nothing new")
	of, err := r.s.DetectionsOfCase(r.ctx, c.ID, 1, 10)
	require.NoError(t, err)
	require.Len(t, of, 1)
	assert.Equal(t, int64(2), of[0].Seq)

	worse := r.assign(r.detect(keyed("k"), storetest.Observing(), func(d *threat.Detection) { d.Severity = threat.SeverityCritical }))
	assert.Equal(t, threat.DetectionAssigned, worse.State, "more severe than the first")
	assert.Equal(t, c.ID, worse.CaseID.UUID)
	assert.Equal(t, threat.SeverityCritical, r.caseOf(worse).Severity)

	r.clock.Advance(time.Hour + time.Microsecond)
	late := r.assign(r.detect(keyed("k"), storetest.Observing()))
	assert.Equal(t, threat.DetectionAssigned, late.State)
	assert.True(t, late.Opened, "past the window")

	_, err = r.s.CloseCase(r.ctx, late.CaseID.UUID, "done", "system")
	require.NoError(t, err)
	after := r.assign(r.detect(keyed("k"), storetest.Observing()))
	assert.True(t, after.Opened, "its case is closed: a finding of its own")
	assert.NotEqual(t, late.CaseID, after.CaseID)
	other := storetest.Tenant(t, r.s)
	elsewhere := r.assign(storetest.Detection(t, r.s, other, r.clock.Now(), keyed("k")))
	assert.True(t, elsewhere.Opened, "another tenant's")
	r.verified()
}

func TestCorrelation(t *testing.T) {
	r := newRig(t)
	rated := func(s threat.Severity) func(*threat.Triage) { return func(a *threat.Triage) { a.Severity = s } }
	medium := r.assign(r.detect(storetest.Observing("198.51.100.1")), rated(threat.SeverityMedium))
	high1 := r.assign(r.detect(storetest.Observing("198.51.100.2")), rated(threat.SeverityHigh))
	high2 := r.assign(r.detect(storetest.Observing("198.51.100.3")), rated(threat.SeverityHigh))
	closed := r.assign(r.detect(storetest.Observing("198.51.100.4")), rated(threat.SeverityFatal))
	_, err := r.s.CloseCase(r.ctx, closed.CaseID.UUID, "done", "system")
	require.NoError(t, err)
	for _, a := range []threat.Assignment{medium, high1, high2, closed} {
		require.True(t, a.Opened)
	}
	joins := func(want threat.Assignment, addresses ...string) {
		t.Helper()
		a := r.assign(r.detect(storetest.Observing(addresses...)), rated(threat.SeverityLow))
		assert.Equal(t, threat.DetectionAssigned, a.State)
		assert.False(t, a.Opened)
		assert.Equal(t, want.CaseID, a.CaseID)
	}
	joins(medium, "198.51.100.1")
	joins(high1, "198.51.100.2", "198.51.100.1")
	joins(high2, "198.51.100.1", "198.51.100.3", "198.51.100.4")
	assert.Equal(t, threat.SeverityHigh, r.caseOf(high2).Severity, "never lowered")
	many := make([]string, 200)
	for i := range many {
		many[i] = fmt.Sprintf("192.0.2.%d", i)
	}
	joins(high2, append(many, "198.51.100.3")...)
	joins(high2, "192.0.2.199")

	r.clock.Advance(24 * time.Hour)
	joins(high1, "198.51.100.2")
	r.clock.Advance(24*time.Hour + time.Microsecond)
	a := r.assign(r.detect(storetest.Observing("198.51.100.2")))
	assert.True(t, a.Opened, "past the window")
	other := storetest.Tenant(t, r.s)
	b := r.assign(storetest.Detection(t, r.s, other, r.clock.Now(), storetest.Observing("198.51.100.2")))
	assert.True(t, b.Opened, "another tenant's")
	none := r.assign(r.detect(storetest.Observing()))
	assert.True(t, none.Opened, "it names nothing")
	r.verified()
}

func TestNewAdversaryActivity(t *testing.T) {
	r := newRig(t)
	a := r.assign(r.detect(), func(a *threat.Triage) { a.Threat = threat.ThreatSuspected })
	assert.Equal(t, threat.ThreatSuspected, r.caseOf(a).Threat)
	acknowledge := func() threat.Case {
		c, err := r.s.Acknowledge(r.ctx, threat.Acknowledgement{CaseID: a.CaseID.UUID, PersonID: storetest.Contact(t, r.s, r.o).ID})
		require.NoError(t, err)
		require.True(t, c.Acknowledged(r.clock.Now()))
		return c
	}
	acked := acknowledge()
	quiet := func(d *threat.Detection) { d.Techniques = nil }
	r.assign(r.detect(quiet), func(a *threat.Triage) { a.Threat = threat.ThreatSuspected })
	assert.Equal(t, acked.ContactVersion, r.caseOf(a).ContactVersion, "nothing an attacker did")

	before := r.head()
	r.clock.Advance(time.Minute)
	r.assign(r.detect(quiet))
	c := r.caseOf(a)
	assert.Equal(t, threat.ThreatActive, c.Threat)
	assert.Equal(t, acked.ThreatVersion+1, c.ThreatVersion)
	assert.Equal(t, threat.ContactTrying, c.Contact)
	assert.Equal(t, acked.ContactVersion+1, c.ContactVersion)
	assert.False(t, c.Acknowledged(r.clock.Now()))
	assert.Equal(t, r.clock.Now(), *c.LastAdversaryAt)
	assert.Equal(t, []threat.EntryKind{threat.EntryDetectionReceived, threat.EntryCaseThreat, threat.EntryAckBroken,
		threat.EntryDetectionAssigned}, r.kinds(before))

	_, err := r.s.SetThreat(r.ctx, c.ID, threat.ThreatContained, "all is verified", "system")
	require.NoError(t, err)
	acknowledge()
	r.assign(r.detect(), func(a *threat.Triage) { a.Threat = threat.ThreatSuspected })
	c = r.caseOf(a)
	assert.Equal(t, threat.ThreatActive, c.Threat, "a technique is an attacker at work, whatever triage says")
	assert.False(t, c.Acknowledged(r.clock.Now()))
	r.verified()
}

// TestOneCaseForWhatBelongsTogether has many goroutines, over two stores where the database can be shared, assign detections
// that share an address, each of them twice.
func TestOneCaseForWhatBelongsTogether(t *testing.T) {
	address, keys := storetest.URL(t), secret.Ephemeral()
	s := storetest.Open(t, storetest.WithURL(address), storetest.WithKeys(keys))
	stores := []*store.Store{s}
	if address[:6] != "sqlite" {
		stores = append(stores, storetest.Open(t, storetest.WithURL(address), storetest.WithKeys(keys)))
	}
	r := rig{t: t, ctx: t.Context(), s: s, o: storetest.Tenant(t, s)}
	const n = 40
	ds := make([]threat.Detection, n)
	for i := range ds {
		ds[i] = storetest.NewDetection(s, r.o, time.Now(), storetest.Observing("203.0.113.7", fmt.Sprintf("192.0.2.%d", i)))
		if i%4 == 3 {
			ds[i].DedupKey = ds[i-1].DedupKey
		}
	}
	ds, err := s.AcceptDetections(r.ctx, ds)
	require.NoError(t, err)
	out, errs := make([]threat.Assignment, 2*n), make([]error, 2*n)
	var wg sync.WaitGroup
	for i := range out {
		wg.Add(1)
		go func() {
			defer wg.Done()
			out[i], errs[i] = stores[i%len(stores)].Assign(r.ctx, storetest.Triage(ds[i/2]))
		}()
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	opened, duplicates := 0, 0
	for i, a := range out {
		require.Equal(t, out[0].CaseID, a.CaseID)
		require.Equal(t, out[i-i%2], a, "the second call gives the first assignment")
		if i%2 == 0 && a.Opened {
			opened++
		}
		if i%2 == 0 && a.State == threat.DetectionDuplicate {
			duplicates++
		}
	}
	assert.Equal(t, 1, opened)
	assert.Equal(t, n/4, duplicates)
	of, err := s.DetectionsOfCase(r.ctx, out[0].CaseID.UUID, 0, 0)
	require.NoError(t, err)
	require.Len(t, of, n)
	for i, d := range of {
		require.Equal(t, int64(i+1), d.Seq, "no place twice and none left out")
	}
	r.verified()
}

func TestTheSameEventToldAgainProposesNothing(t *testing.T) {
	r := newRig(t)
	wants := func(a *threat.Triage) {
		a.Proposals = []threat.Proposal{{Step: "block", Verb: "block_ip", Required: true,
			Target: threat.Target{Kind: threat.TargetIP, Value: "203.0.113.66"}}}
	}
	first := r.detect(keyed("k"))
	c := r.caseOf(storetest.Assign(t, r.s, first, wants))
	r.clock.Advance(10 * time.Minute)
	again := r.detect(keyed("k"), func(d *threat.Detection) { d.At = first.At })
	storetest.Assign(t, r.s, again, wants)
	anew := r.detect(keyed("k"))
	storetest.Assign(t, r.s, anew, wants)
	of, err := r.s.DetectionsOfCase(r.ctx, c.ID, 0, 10)
	require.NoError(t, err)
	require.Len(t, of, 3)
	assert.Len(t, of[0].Proposals, 1)
	assert.Empty(t, of[1].Proposals, "a sensor read its file anew")
	assert.Len(t, of[2].Proposals, 1, "it happened again")
	r.verified()
}
