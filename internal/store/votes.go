package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// ballot is one click while it is counted.
type ballot struct {
	threat.Ballot
	id   uuid.UUID // of the click
	q    threat.Request
	r    threat.Response
	c    threat.Case
	name string
}

// clickRecord is what the journal keeps of a click, accepted or refused.
type clickRecord struct {
	Request  uuid.UUID           `json:"request_id"`
	Response uuid.UUID           `json:"response_id"`
	Kind     threat.RequestKind  `json:"kind,omitempty"`
	Verdict  threat.VerdictKind  `json:"verdict"`
	Person   uuid.NullUUID       `json:"person_id"`
	Name     string              `json:"name"`
	Role     threat.Role         `json:"role,omitempty"`
	Digest   string              `json:"digest"` // of what was shown
	Narrower *threat.Narrowing   `json:"narrower,omitempty"`
	Reason   string              `json:"reason"`
	Surface  string              `json:"surface"`
	Decision uuid.NullUUID       `json:"decision_id"`
	Refusal  threat.Refusal      `json:"refusal,omitempty"`
	Text     string              `json:"text"`
	State    threat.RequestState `json:"state"` // of the request afterwards
	Have     int                 `json:"have"`
	Need     int                 `json:"need"`
	Next     uuid.NullUUID       `json:"next"`
}

func (b ballot) record(a threat.ClickAnswer) clickRecord {
	return clickRecord{Request: b.Click.RequestID, Response: b.r.ID, Kind: b.q.Body.Kind, Verdict: b.Click.Verdict,
		Person: b.Click.Caller.PersonID, Name: b.name, Role: b.Fact.Role, Digest: threat.Inert(b.Click.Digest, 128),
		Narrower: b.Click.Narrower, Reason: b.Click.Reason, Surface: b.Click.Caller.Surface, Decision: b.Fact.DecisionID,
		Refusal: a.Refusal, Text: a.Text, State: a.State, Have: a.Have, Need: a.Need, Next: a.Next}
}

func clickSubject(id uuid.UUID) string { return "click:" + id.String() }

// maxReason bounds what a person writes with a verdict, in runes.
const maxReason = 4000

// CastVote counts one click on a request, or refuses it; both are journalled with what was shown and answered, in the same
// transaction as what follows from it. The right to decide is policy's answer in the ballot; digest, expiry, single use,
// quorum and the stop switch are looked at here, under the tenant's lock. A click on a request that is not there is
// journalled with the caller's own organisation. Invalid for an unknown verdict.
func (s *Store) CastVote(ctx context.Context, in threat.Ballot) (out threat.ClickAnswer, err error) {
	switch in.Click.Verdict {
	case threat.VerdictApprove, threat.VerdictNarrow, threat.VerdictDeny, threat.VerdictMore:
	default:
		return out, &threat.Fault{Kind: threat.Invalid, What: "unknown verdict", Place: "/verdict",
			Next: "give approve, narrow, deny or more"}
	}
	in.Click.Reason = threat.Inert(in.Click.Reason, maxReason)
	b := ballot{Ballot: in, name: threat.Inert(in.Click.Caller.Name, maxName)}
	if b.id, err = uuid.NewV7(); err != nil {
		return out, err
	}
	err = s.underLockOf(ctx, "requests", "request", in.Click.RequestID, func(ctx context.Context, t *tx) error {
		b := b
		var err error
		if b.q, err = t.requestRow(ctx, in.Click.RequestID); err != nil {
			return err
		}
		if b.r, b.c, err = t.withCase(ctx, b.q.ResponseID); err != nil {
			return err
		}
		if out, err = t.count(ctx, b); err != nil {
			return err
		}
		if out.Accepted && b.Fact.Role == threat.Contact && b.c.Open() {
			// Who decides for the customer is on the case: nobody else is called, and nobody counts as unreachable.
			if _, err := t.acknowledge(ctx, b.c, threat.Acknowledgement{CaseID: b.c.ID, PersonID: in.Click.Caller.PersonID.UUID,
				Name: in.Click.Caller.Name, Via: in.Click.Caller.Surface}); err != nil {
				return err
			}
		}
		kind := threat.EntryClickAccepted
		if !out.Accepted {
			kind = threat.EntryClickRefused
		}
		return t.caseEntry(ctx, b.c, kind, clickSubject(b.id), in.Click.Caller.Actor(), clickSubject(b.id), b.record(out))
	})
	if !threat.Is(err, threat.NotFound) {
		return out, err
	}
	out = refused(threat.RefusedUnknown, "there is no such request")
	return out, s.strayClick(ctx, b, out)
}

// strayClick journals a click on nothing. A caller of no organisation leaves no trace here: whoever let them in has one.
func (s *Store) strayClick(ctx context.Context, b ballot, a threat.ClickAnswer) error {
	org := b.Click.Caller.OrgID
	err := s.write(ctx, []uuid.UUID{org}, func(ctx context.Context, t *tx) error {
		return t.record(ctx, org, clickSubject(b.id), threat.EntryClickRefused, b.Click.Caller.Actor(), clickSubject(b.id),
			b.record(a))
	})
	if threat.Is(err, threat.NotFound) {
		return nil
	}
	return err
}

func refused(why threat.Refusal, text string) threat.ClickAnswer {
	return threat.ClickAnswer{Refusal: why, Text: text}
}

// count refuses a click or does what it says.
func (t *tx) count(ctx context.Context, b ballot) (threat.ClickAnswer, error) {
	why, text, err := t.refusal(ctx, b)
	if err != nil {
		return threat.ClickAnswer{}, err
	}
	if why != threat.RefusedNone {
		return b.standing(refused(why, text)), nil
	}
	switch b.Click.Verdict {
	case threat.VerdictMore:
		if err := t.insertVote(ctx, b, b.q.ID, b.id, false); err != nil {
			return threat.ClickAnswer{}, err
		}
		return b.standing(threat.ClickAnswer{Accepted: true, Text: "noted; nothing is decided by it"}),
			t.nudge(ctx, nudgeCase, b.c.TenantID, b.c.ID)
	case threat.VerdictDeny:
		return t.deny(ctx, b)
	case threat.VerdictNarrow:
		return t.narrow(ctx, b)
	}
	return t.approve(ctx, b)
}

// standing completes an answer with how the request stands.
func (b ballot) standing(a threat.ClickAnswer) threat.ClickAnswer {
	a.State, a.Have, a.Need = b.q.State, have(b.q, b.q.Approvers), need(b.q.Approvers)
	return a
}

// refusal gives the first thing that stands against a click.
func (t *tx) refusal(ctx context.Context, b ballot) (threat.Refusal, string, error) {
	q, click := b.q, b.Click
	switch q.State {
	case threat.RequestSuperseded:
		return threat.RefusedSuperseded, "another request took the place of this one", nil
	case threat.RequestApproved, threat.RequestDenied:
		return threat.RefusedDecided, "it was decided already: " + q.ClosedWhy, nil
	case threat.RequestExpired:
		return threat.RefusedExpired, "its time was over at " + q.ExpiresAt.Format(time.RFC3339), nil
	}
	switch {
	case !t.now.Before(q.ExpiresAt):
		return threat.RefusedExpired, "its time was over at " + q.ExpiresAt.Format(time.RFC3339), nil
	case !click.Caller.IsPerson():
		return threat.RefusedNotAPerson, "only a signed-in person can decide", nil
	case click.Digest != q.Digest:
		return threat.RefusedChanged, "what was shown is not what the request says now: read it again", nil
	case !b.Fact.Allowed && b.Fact.Refusal != threat.RefusedNone:
		return b.Fact.Refusal, b.Fact.Why, nil
	case !b.Fact.Allowed:
		return threat.RefusedPolicy, "policy does not allow it", nil
	}
	p, err := t.person(ctx, click.Caller.PersonID.UUID)
	switch {
	case threat.Is(err, threat.NotFound):
		return threat.RefusedWrongPerson, "nobody we know", nil
	case err != nil:
		return "", "", err
	case p.DisabledAt != nil:
		return threat.RefusedWrongPerson, "this person's rights have ended", nil
	}
	return t.refusalNow(ctx, b)
}

// refusalNow looks at what may have moved since policy answered.
func (t *tx) refusalNow(ctx context.Context, b ballot) (threat.Refusal, string, error) {
	q, yes := b.q, b.Click.Verdict == threat.VerdictApprove || b.Click.Verdict == threat.VerdictNarrow
	for _, v := range q.Votes {
		if v.PersonID == b.Click.Caller.PersonID.UUID && v.Verdict != threat.VerdictMore {
			return threat.RefusedTwice, "this person has decided on it already", nil
		}
	}
	if yes { // what no answer of policy lifts
		switch {
		case !slices.Contains(q.Approvers.Roles, b.Fact.Role):
			return threat.RefusedWrongPerson, "the request does not name a role of theirs", nil
		case q.Approvers.FourEyes && q.AskedBy == b.Click.Caller.Actor():
			return threat.RefusedSelf, "whoever asked for it does not approve it", nil
		}
	}
	st, err := t.tenantState(ctx, q.TenantID)
	if err != nil {
		return "", "", err
	}
	had := b.Fact.Facts
	switch {
	case st.Stopped && yes && q.Body.Kind == threat.RequestAct:
		return threat.RefusedStopped, "the stop switch is on: only ends can be decided", nil
	case had.Mode != st.ModeVersion, had.Stop != st.StopVersion, had.Settings != st.SettingsVersion:
		return threat.RefusedStale, "facts moved while it was decided: try again", nil
	}
	return threat.RefusedNone, "", nil
}

func (t *tx) insertVote(ctx context.Context, b ballot, request, id uuid.UUID, carried bool) error {
	_, err := t.exec(ctx,
		`INSERT INTO votes (id, tenant_id, request_id, person_id, name, role, verdict, reason, surface, carried, at)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)`, id, b.q.TenantID, request, b.Click.Caller.PersonID.UUID, b.name,
		string(b.Fact.Role), string(b.Click.Verdict), b.Click.Reason, b.Click.Caller.Surface, carried, micros(t.now))
	return err
}

// voted reads the request again with the vote that was just counted.
func (t *tx) voted(ctx context.Context, b *ballot) (err error) {
	b.q, err = t.requestRow(ctx, b.q.ID)
	return err
}

// because puts a person's own reason behind what they did.
func (b ballot) because(did string) string {
	if b.Click.Reason == "" {
		return did + " " + b.name
	}
	return did + " " + b.name + ": " + b.Click.Reason
}

func (b ballot) actor() string { return b.Click.Caller.Actor() }

// deny ends a request. One person's no is enough.
func (t *tx) deny(ctx context.Context, b ballot) (a threat.ClickAnswer, err error) {
	if err := t.insertVote(ctx, b, b.q.ID, b.id, false); err != nil {
		return a, err
	}
	if err := t.voted(ctx, &b); err != nil {
		return a, err
	}
	why := b.because("denied by")
	if b.q, err = t.closeRequest(ctx, b.c, b.q, threat.RequestDenied, why, b.actor()); err != nil {
		return a, err
	}
	if b.q.Body.Kind == threat.RequestEnd {
		until, err := t.holdOn(ctx, b, why)
		return b.standing(threat.ClickAnswer{Accepted: true, Text: "it is held on until " + until.Format(time.RFC3339)}), err
	}
	_, err = t.endOrKeep(ctx, b.c, b.r, b.r, threat.ResponseDenied, why, b.actor())
	return b.standing(threat.ClickAnswer{Accepted: true, Text: "it is not done"}), err
}

// holdOn lengthens a hold by as long again.
func (t *tx) holdOn(ctx context.Context, b ballot, why string) (time.Time, error) {
	from := t.now
	if end := endOf(b.r); end.After(from) {
		from = end
	}
	until := from.Add(b.r.Duration)
	_, err := t.extend(ctx, b.c, b.r, until, why, b.actor())
	return until, err
}

// approve counts one person's yes. When enough have given theirs, it is done.
func (t *tx) approve(ctx context.Context, b ballot) (a threat.ClickAnswer, err error) {
	if err := t.insertVote(ctx, b, b.q.ID, b.id, false); err != nil {
		return a, err
	}
	if err := t.voted(ctx, &b); err != nil {
		return a, err
	}
	if !enough(b.q, b.q.Approvers) {
		a = b.standing(threat.ClickAnswer{Accepted: true})
		a.Text = fmt.Sprintf("counted: %d of %d approvals", a.Have, a.Need)
		return a, t.nudgeBoth(ctx, b.r)
	}
	a.Accepted, a.Text = true, "it is approved"
	if b.q.Body.Kind == threat.RequestEnd {
		a.Text = "it is released"
	}
	b.q, err = t.approved(ctx, b, b.q, b.r, b.r)
	return b.standing(a), err
}

// approved closes a request that enough people approved, and has its response act or end.
func (t *tx) approved(ctx context.Context, b ballot, q threat.Request, old, r threat.Response) (threat.Request, error) {
	why := b.because("approved by")
	q, err := t.closeRequest(ctx, b.c, q, threat.RequestApproved, why, b.actor())
	if err != nil {
		return q, err
	}
	switch {
	case q.Body.Kind == threat.RequestEnd:
		_, err = t.endHold(ctx, b.c, r, why, b.actor())
	case r.State == threat.ResponseAsked:
		r.Basis, r.Why = threat.BasisApproval, why
		_, err = t.saveActing(ctx, b.c, old, r, b.actor())
	default: // it is being decided anew: the consent stands when the same is asked again
		err = t.nudgeBoth(ctx, r)
	}
	return q, err
}

// nudgeBoth tells a response and its case that something is new.
func (t *tx) nudgeBoth(ctx context.Context, r threat.Response) error {
	if err := t.nudge(ctx, nudgeResponse, r.TenantID, r.ID); err != nil {
		return err
	}
	return t.nudge(ctx, nudgeCase, r.TenantID, r.CaseID)
}

// narrow puts a narrower request in the place of the one that was clicked on. Votes on the old digest lapse; the narrower
// action counts as this person's vote.
func (t *tx) narrow(ctx context.Context, b ballot) (threat.ClickAnswer, error) {
	r, ok := narrowed(b)
	if !ok {
		return b.standing(refused(threat.RefusedNotNarrower,
			"it is not narrower: give a shorter time, or a part of the connections")), nil
	}
	d := b.Narrower
	if d == nil || d.Effect == threat.Deny || d.DecisionID == uuid.Nil {
		return b.standing(refused(threat.RefusedPolicy, "policy does not allow the narrower action")), nil
	}
	st, err := t.tenantState(ctx, b.q.TenantID)
	if err != nil {
		return threat.ClickAnswer{}, err
	}
	if staleFacts(d.Facts, st, b.c, d.Basis) != "" {
		return b.standing(refused(threat.RefusedStale, "facts moved while it was decided: try again")), nil
	}
	if d.Duration > 0 && d.Duration < r.Duration {
		r.Duration = d.Duration
	}
	if d.End != "" {
		r.End = d.End
	}
	r.DecisionID, r.Facts = uuid.NullUUID{UUID: d.DecisionID, Valid: true}, d.Facts
	return t.askNarrower(ctx, b, r, *d)
}

// narrowed gives the response as an approver would have it; ok is false when that is not less than what was asked.
func narrowed(b ballot) (r threat.Response, ok bool) {
	r = b.r
	n := b.Click.Narrower
	if n == nil || b.q.Body.Kind != threat.RequestAct || n.Seconds < 0 {
		return r, false
	}
	less := false
	if n.Seconds > 0 && n.Seconds != b.q.Body.Seconds {
		if n.Seconds > b.q.Body.Seconds {
			return r, false
		}
		r.Duration, less = time.Duration(n.Seconds)*time.Second, true
	}
	if len(n.Connections) > 0 {
		ids := sortedIDs(n.Connections)
		for _, id := range ids {
			if !slices.Contains(b.q.Body.Connections, id) {
				return r, false
			}
		}
		less = less || len(ids) < len(b.q.Body.Connections)
		r.Connections = ids
	}
	return r, less
}

// askNarrower opens the narrower request with this person's vote, and lets it go when that is enough.
func (t *tx) askNarrower(ctx context.Context, b ballot, r threat.Response,
	d threat.RespondDecision) (a threat.ClickAnswer, err error) {
	if err := t.insertVote(ctx, b, b.q.ID, b.id, false); err != nil {
		return a, err
	}
	if b.q, err = t.closeRequest(ctx, b.c, b.q, threat.RequestSuperseded, b.because("narrowed by"), b.actor()); err != nil {
		return a, err
	}
	who := d.Approvers
	if d.Effect == threat.Execute { // policy asks nobody about so little; the question stays that of those who were asked
		who = b.q.Approvers
	}
	askFor := d.AskFor
	if askFor <= 0 {
		askFor = b.q.ExpiresAt.Sub(t.now)
	}
	r.Why = b.because("narrowed by")
	asked, err := t.ask(ctx, b.c, b.r, r, question{kind: threat.RequestAct, decision: d.DecisionID, approvers: who,
		askFor:  askFor,
		silence: d.Silence, rules: d.Rules, reasons: d.Reasons, state: threat.ResponseAsked,
		supersedes: uuid.NullUUID{UUID: b.q.ID, Valid: true}})
	if err != nil {
		return a, err
	}
	next := asked.RequestID.UUID
	vote := threat.DerivedID("vote", next.String(), b.Click.Caller.PersonID.UUID.String())
	if err := t.insertVote(ctx, b, next, vote, true); err != nil {
		return a, err
	}
	q, err := t.requestRow(ctx, next)
	if err != nil {
		return a, err
	}
	b.q = q
	a = threat.ClickAnswer{Accepted: true, Next: asked.RequestID, Text: "a narrower request took its place"}
	if enough(q, q.Approvers) {
		a.Text = "the narrower action is approved"
		if b.q, err = t.approved(ctx, b, q, asked, asked); err != nil {
			return a, err
		}
	}
	a = b.standing(a)
	a.State = threat.RequestSuperseded // of the request that was clicked on; Have and Need are those of the next one
	return a, nil
}
