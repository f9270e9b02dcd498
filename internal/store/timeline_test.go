package store_test

import (
	"context"
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

// TestTheTimelineOfAnApprovedBlock plays a whole case and reads it back.
func TestTheTimelineOfAnApprovedBlock(t *testing.T) {
	w := work{rig: newRig(t)}
	storetest.SetMode(t, w.s, w.o, threat.ModeCollaborate)
	w.conn = storetest.Connection(t, w.s, w.o, "nftables")
	p := storetest.Contact(t, w.s, w.o)
	titled := func(d *threat.Detection) { d.Title = "Traffic to \x1b[31ma controller"; d.DedupKey = "same" }
	w.c = w.caseOf(w.assign(w.detect(titled)))
	step := func() { w.clock.Advance(time.Minute) }
	step()
	w.assign(w.detect(titled))
	e := w.escalate(w.c.ID)
	m := w.message(e, 1, 1, "pagerduty", true, true)
	w.rig.send(e, m, threat.AttemptAccepted)
	step()
	r, q := w.asked("203.0.113.66")
	_, err := w.s.CastVote(w.ctx, threat.Ballot{Click: threat.Click{RequestID: q.ID, Verdict: threat.VerdictApprove, Digest: "other",
		Caller: threat.Caller{PersonID: uuid.NullUUID{UUID: p.ID, Valid: true}, Name: p.Name, OrgID: w.o.ID, Surface: "console"}},
		Fact: threat.ApproveFact{Allowed: true, Role: threat.Contact, Facts: w.facts()}})
	require.NoError(t, err)
	step()
	_, err = w.s.Acknowledge(w.ctx, threat.Acknowledgement{CaseID: w.c.ID, PersonID: p.ID, Via: "pagerduty",
		AttemptID: uuid.NullUUID{UUID: m.ID, Valid: true}})
	require.NoError(t, err)
	_, err = w.s.CastVote(w.ctx, threat.Ballot{Click: threat.Click{RequestID: q.ID, Verdict: threat.VerdictApprove, Digest: q.Digest,
		Reason: "do it", Caller: threat.Caller{PersonID: uuid.NullUUID{UUID: p.ID, Valid: true}, Name: p.Name, OrgID: w.o.ID,
			Surface: "console"}}, Fact: threat.ApproveFact{Allowed: true, Role: threat.Contact, Facts: w.facts()}})
	require.NoError(t, err)
	step()
	w.bring(w.response(r), w.conn.ID)
	step()
	_, err = w.s.SetStop(w.ctx, w.o.ID, true, "maintenance", "person:"+p.ID.String())
	require.NoError(t, err)
	w.assign(w.detect(func(d *threat.Detection) { d.Title, d.Techniques = "A scan", nil }))
	require.NoError(t, w.s.Note(w.ctx, w.c.ID, "seen <b>\n", "person:"+p.ID.String()))
	step()
	_, err = w.s.CloseCase(w.ctx, w.c.ID, "over", "person:"+p.ID.String())
	require.NoError(t, err)

	rows, err := w.s.Timeline(w.ctx, w.c.ID)
	require.NoError(t, err)
	var text []string
	for i, row := range rows {
		text = append(text, string(row.Kind)+" | "+row.Text)
		assert.NotEmpty(t, row.Ref)
		assert.NotContains(t, row.Text, "\x1b")
		assert.NotContains(t, row.Text, "\n")
		if i > 0 {
			assert.False(t, row.At.Before(rows[i-1].At), "by time")
		}
	}
	whole := strings.Join(text, "\n")
	last := -1
	for _, want := range []string{
		"adversary | Traffic to \uFFFD[31ma controller (ocsf); repeated 1 time, last at 2026-03-02 08:00:59 UTC",
		"notable | FB-1 was opened: ",
		"notable | escalation 1 began: 1 contact, up to 2 rounds: an attack",
		"notable | the customer is being told",
		"notable | a message to contact-1 over pagerduty was accepted by its provider",
		"action | action 1 is proposed: block an address (203.0.113.66)",
		"notable | people are asked until 2026-03-02 08:32:00 UTC: may we do this? block an address (203.0.113.66)",
		"notable | a click of contact-1 was refused (approve, console)",
		"notable | a message to contact-1 over pagerduty was answered: they are on it",
		"notable | escalation 1 ended (acknowledged)",
		"notable | contact-1 is on it (pagerduty), until 2026-03-02 08:33:00 UTC",
		"notable | contact-1 approved (console): do it",
		"action | nftables 2: a request to do this may go out: block an address (203.0.113.66)",
		"action | nftables 2, asked to do this: it says that it did",
		"action | nftables 2 was read and has it in force: block an address (203.0.113.66)",
		"action | action 1 is in force until ",
		"detection | A scan (ocsf)",
		"notable | the stop switch was turned on: maintenance",
		"notable | new adversary activity broke the acknowledgement of contact-1: A scan",
		"notable | a note by contact-1: seen <b>\uFFFD",
		"notable | the threat went from active to resolved: over",
		"notable | the case was closed by contact-1: over",
	} {
		at := strings.Index(whole, want)
		if assert.GreaterOrEqual(t, at, 0, "%s\nin\n%s", want, whole) {
			if !strings.HasPrefix(want, "detection") { // it happened before it came in
				assert.Greater(t, at, last, "in its place: "+want)
				last = at
			}
		}
	}
	assert.Equal(t, "T1071", rows[0].Tactic)
	assert.NotContains(t, whole, "is going out", "the message came to something")

	es, err := w.s.EntriesOfCase(w.ctx, w.c.ID)
	require.NoError(t, err)
	for _, e := range es {
		if e.Kind == threat.EntryCaseNote {
			require.NoError(t, w.s.Erase(w.ctx, w.o.ID, e.Seq, "asked to", "system"))
		}
	}
	rows, err = w.s.Timeline(w.ctx, w.c.ID)
	require.NoError(t, err)
	found := false
	for _, row := range rows {
		found = found || row.Text == "case.note: what was said here was erased"
		assert.NotContains(t, row.Text, "seen <b>")
	}
	assert.True(t, found)
	_, err = w.s.Timeline(w.ctx, uuid.New())
	assert.True(t, threat.Is(err, threat.NotFound))
	w.verified()
}

func TestVerifyFindsMissingAndDoubledFacts(t *testing.T) {
	for _, tt := range []struct {
		name, change string // ?1 is the tenant
		want         store.Flaw
		says         string
	}{
		{"a detection's row removed", `DELETE FROM detections WHERE tenant_id = ?1 AND state = 'assigned'`, store.FlawNoRow, "detection"},
		{"a quarantined one removed", `DELETE FROM detections WHERE tenant_id = ?1 AND state = 'quarantined'`, store.FlawNoRow, "quarantined"},
		{"a detection without an entry", `INSERT INTO detections (id, tenant_id, entry, state, seq, product, sensor, uid, title, severity,
			techniques, at, received_at, clock, dedup_key, reason, threat, proposals, lease_owner, lease_until) SELECT 'x', tenant_id, entry,
			'received', 0, product, sensor, uid, title, severity, techniques, at, received_at, clock, dedup_key, reason, threat, proposals,
			lease_owner, lease_until FROM detections WHERE tenant_id = ?1 AND state = 'suppressed'`, store.FlawNoEntry, "detection x"},
		{"a suppression undone", `UPDATE detections SET state = 'received' WHERE tenant_id = ?1 AND state = 'suppressed'`, store.FlawNoRow,
			"suppressed"},
		{"a detection in no case", `UPDATE detections SET case_id = NULL WHERE tenant_id = ?1 AND state = 'assigned'`, store.FlawNoEntry,
			"another case"},
		{"a duplicate called a finding", `UPDATE detections SET state = 'assigned' WHERE tenant_id = ?1 AND state = 'duplicate'`,
			store.FlawNoEntry, "detection.assigned"},
		{"a decision removed", `DELETE FROM decisions WHERE tenant_id = ?1`, store.FlawNoRow, "decision"},
		{"a decision's answer removed", `DELETE FROM contents WHERE org_id = ?1 AND digest = (SELECT answer FROM decisions
			WHERE tenant_id = ?1)`, store.FlawNoRow, "part of decision"},
		{"an escalation removed", `DELETE FROM escalations WHERE tenant_id = ?1`, store.FlawNoRow, "escalation"},
		{"an escalation's end taken back", `UPDATE escalations SET ended_at = NULL WHERE tenant_id = ?1`, store.FlawNoRow, "escalation.ended"},
		{"a close slipped in", `UPDATE cases SET closed_at = 1 WHERE tenant_id = ?1`, store.FlawNoEntry, "case.closed"},
		{"a vote removed", `DELETE FROM votes WHERE tenant_id = ?1`, store.FlawNoRow, "click"},
		{"a request's end slipped in", `UPDATE requests SET state = 'open' WHERE tenant_id = ?1`, store.FlawNoRow, "request.closed"},
		{"a claim removed", `DELETE FROM claims WHERE tenant_id = ?1`, store.FlawNoRow, "claim.granted"},
		{"an effect that nobody claimed", `UPDATE effects SET generation = 7 WHERE tenant_id = ?1`, store.FlawNoRow, "no claim"},
		{"an effect that nobody read", `UPDATE effects SET generation = 7 WHERE tenant_id = ?1`, store.FlawNoEntry, "no entry tells"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, change := fullStore(t)
			change(tt.change, w.o.ID.String())
			report, err := w.s.Verify(w.ctx, nil)
			require.NoError(t, err)
			found := false
			for _, p := range report.Problems {
				found = found || p.Flaw == tt.want && p.OrgID == w.o.ID && strings.Contains(p.Text, tt.says)
			}
			assert.True(t, found, "%+v", report.Problems)
		})
	}
}

// fullStore is a store with a row of everything, and a way to change it behind its back.
func fullStore(t *testing.T) (work, func(q string, args ...any)) {
	address := storetest.URL(t)
	w := newWork(t, threat.ModeCollaborate, storetest.WithURL(address), storetest.WithKeys(secret.Ephemeral()))
	w.detect(func(d *threat.Detection) { d.State = threat.DetectionQuarantined })
	first := w.detect(keyed("k"))
	w.assign(first)
	w.assign(w.detect(keyed("k")))
	w.assign(w.detect(), func(a *threat.Triage) { a.Suppress, a.Reason = true, "a test" })
	_, err := w.s.RecordDecision(w.ctx, threat.Decision{TenantID: w.o.ID, SubjectID: first.ID, Question: threat.AskTriage,
		Input: []byte(`{"a":1}`), Answer: []byte(`{"b":1}`)}, "key")
	require.NoError(t, err)
	e := w.escalate(w.c.ID)
	_, err = w.s.EndEscalation(w.ctx, e.ID, threat.EscalationExhausted)
	require.NoError(t, err)
	r, q := w.asked("203.0.113.66")
	p := storetest.Contact(t, w.s, w.o)
	a, err := w.s.CastVote(w.ctx, threat.Ballot{Click: threat.Click{RequestID: q.ID, Verdict: threat.VerdictApprove, Digest: q.Digest,
		Caller: threat.Caller{PersonID: uuid.NullUUID{UUID: p.ID, Valid: true}, Name: p.Name, OrgID: w.o.ID, Surface: "console"}},
		Fact: threat.ApproveFact{Allowed: true, Role: threat.Contact, Facts: w.facts()}})
	require.NoError(t, err)
	require.True(t, a.Accepted, a.Text)
	w.bring(w.response(r), w.conn.ID)
	report := w.verified()
	for _, table := range []string{"detections", "cases", "decisions", "escalations", "responses", "requests", "votes", "claims", "effects",
		"consents"} {
		require.NotZero(t, report.Rows[table], table)
	}
	return w, behind(t, address)
}

func TestRecordFetchNudgesWhatIsPublished(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	w.conn = storetest.Connection(t, w.s, w.o, "feed")
	other := storetest.Connection(t, w.s, w.o, "feed")
	r := w.acting("203.0.113.66")
	a := w.claim(r)
	require.Equal(t, threat.ClaimGranted, a.Verdict, a.Why)
	require.True(t, w.send(a.Claim))
	w.finish(a.Claim, threat.OutcomeSuccess)
	w.look(a.Effect, published)
	drain := func() (out []string) {
		for {
			ns, err := w.s.LeaseNudges(context.Background(), "x", 100, 100, time.Minute)
			require.NoError(t, err)
			if len(ns) == 0 {
				return out
			}
			for _, n := range ns {
				out = append(out, fmt.Sprint(n.Kind, " ", n.SubjectID))
			}
			require.NoError(t, w.s.DoneNudges(context.Background(), "x", ns))
		}
	}
	drain()
	require.NoError(t, w.s.RecordFetch(w.ctx, other.ID, threat.FeedIPs, "fw", 1, w.clock.Now()))
	assert.Empty(t, drain(), "another connection's")
	require.NoError(t, w.s.RecordFetch(w.ctx, w.conn.ID, threat.FeedIPs, "fw", 1, w.clock.Now()))
	assert.Equal(t, []string{"response " + r.ID.String()}, drain())
	w.look(a.Effect, ours)
	drain()
	require.NoError(t, w.s.RecordFetch(w.ctx, w.conn.ID, threat.FeedIPs, "fw", 1, w.clock.Now()))
	assert.Empty(t, drain(), "it is in force")
}
