package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/gowebpki/jcs"

	"github.com/firebreak/firebreak/internal/threat"
)

const requestSelect = `SELECT id, tenant_id, case_id, response_id, decision_id, body, digest, approvers, asked_by, rules, reasons,
	silence, state, closed_why, supersedes, opened_at, expires_at, closed_at FROM requests WHERE `

func scanRequest(r *sql.Rows) (q threat.Request, err error) {
	var body, approvers, rules, reasons string
	var opened, expires int64
	var closed sql.NullInt64
	if err := r.Scan(&q.ID, &q.TenantID, &q.CaseID, &q.ResponseID, &q.DecisionID, &body, &q.Digest, &approvers, &q.AskedBy,
		&rules,
		&reasons, &q.Silence, &q.State, &q.ClosedWhy, &q.Supersedes, &opened, &expires, &closed); err != nil {
		return q, err
	}
	q.OpenedAt, q.ExpiresAt, q.ClosedAt = fromMicros(opened), fromMicros(expires), fromNullMicros(closed)
	for text, v := range map[string]any{body: &q.Body, approvers: &q.Approvers} {
		if err := fromJSON(text, v); err != nil {
			return q, err
		}
	}
	if err := fromJSON(rules, &q.Rules); err != nil {
		return q, err
	}
	return q, fromJSON(reasons, &q.Reasons)
}

// requests reads requests with their votes; where may go on with order and limit.
func (t *tx) requests(ctx context.Context, where string, args ...any) ([]threat.Request, error) {
	found, err := collect[threat.Request](t.query(ctx, requestSelect+where, args...))(scanRequest)
	if err != nil {
		return nil, err
	}
	at := map[uuid.UUID]int{}
	for i := range found {
		at[found[i].ID], found[i].Votes = i, []threat.Vote{}
	}
	ids := make([]uuid.UUID, len(found))
	for i, q := range found {
		ids[i] = q.ID
	}
	for chunk := range padded(anys(ids)) {
		votes, err := collect[threat.Vote](t.query(ctx,
			`SELECT request_id, person_id, name, role, verdict, reason, surface, at FROM votes
			WHERE request_id IN `+places(1, len(chunk))+` ORDER BY at, id`, chunk...))(func(r *sql.Rows) (v threat.Vote, err error) {
			var at int64
			err = r.Scan(&v.RequestID, &v.PersonID, &v.Name, &v.Role, &v.Verdict, &v.Reason, &v.Surface, &at)
			v.At = fromMicros(at)
			return v, err
		})
		if err != nil {
			return nil, err
		}
		for _, v := range votes {
			q := &found[at[v.RequestID]]
			q.Votes = append(q.Votes, v)
		}
	}
	return found, nil
}

// requestRow reads one with its votes; NotFound when it is not there.
func (t *tx) requestRow(ctx context.Context, id uuid.UUID) (threat.Request, error) {
	found, err := t.requests(ctx, `id = ?1`, id)
	if err == nil && len(found) == 0 {
		err = threat.Faultf(threat.NotFound, "no such request")
	}
	if err != nil {
		return threat.Request{}, err
	}
	return found[0], nil
}

// newestRequest reads a response's newest request of a kind; ok is false when there was none.
func (t *tx) newestRequest(ctx context.Context, response uuid.UUID, kind threat.RequestKind) (q threat.Request, ok bool,
	err error) {
	found, err := t.requests(ctx, `response_id = ?1 AND kind = ?2 ORDER BY round DESC LIMIT 1`, response, string(kind))
	if err != nil || len(found) == 0 {
		return q, false, err
	}
	return found[0], true, nil
}

// Request gives one with its votes. NotFound when it is not there.
func (s *Store) Request(ctx context.Context, id uuid.UUID) (out threat.Request, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = t.requestRow(ctx, id)
		return err
	})
	return out, err
}

// RequestsOf gives every request about a response, the first one first.
func (s *Store) RequestsOf(ctx context.Context, responseID uuid.UUID) (out []threat.Request, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = t.requests(ctx, `response_id = ?1 ORDER BY round`, responseID)
		return err
	})
	return out, err
}

// OpenRequests gives the open requests of some tenants, those that end first first; limit is at most 1000, and zero takes
// that.
func (s *Store) OpenRequests(ctx context.Context, tenants []uuid.UUID, limit int) (out []threat.Request, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = ofTenants(tenants, limit, func(in string, args []any) ([]threat.Request, error) {
			return t.requests(ctx, `state = 'open' AND tenant_id IN `+in+` ORDER BY expires_at, id LIMIT ?1`, args...)
		}, func(a, b threat.Request) int { return a.ExpiresAt.Compare(b.ExpiresAt) })
		return err
	})
	return out, err
}

// bodyOf is what people are shown about a response.
func bodyOf(r threat.Response, kind threat.RequestKind) threat.RequestBody {
	b := threat.RequestBody{TenantID: r.TenantID, CaseID: r.CaseID, ResponseID: r.ID, Kind: kind, Verb: r.Verb,
		Targets: []threat.Target{r.Target}, Params: r.Params, Seconds: wholeSeconds(r.Duration), Connections: r.Connections,
		End: r.End}
	if b.Params == nil {
		b.Params = map[string]string{}
	}
	if b.Connections == nil {
		b.Connections = []uuid.UUID{}
	}
	return b
}

// wholeSeconds rounds up: what is shown is never shorter than what is done.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// Digest gives the SHA-256 of a body's canonical JSON (RFC 8785), in hexadecimal: what an approval names.
func Digest(b threat.RequestBody) (string, error) {
	raw, err := json.Marshal(b)
	if err != nil {
		return "", err
	}
	canonical, err := jcs.Transform(raw)
	if err != nil {
		return "", threat.Faultf(threat.Internal, "a request's body has no canonical form: %w", err)
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:]), nil
}

// sameBody reports whether two bodies ask the same, in whatever round.
func sameBody(a, b threat.RequestBody) (bool, error) {
	a.Round, b.Round = 0, 0
	x, err := Digest(a)
	if err != nil {
		return false, err
	}
	y, err := Digest(b)
	return x == y, err
}

// askAbout asks people about a response, unless they were asked the same already.
func (t *tx) askAbout(ctx context.Context, c threat.Case, old, r threat.Response,
	d threat.RespondDecision) (threat.Response, error) {
	q, was, err := t.newestRequest(ctx, r.ID, threat.RequestAct)
	if err != nil {
		return r, err
	}
	if was {
		same, err := sameBody(q.Body, bodyOf(r, threat.RequestAct))
		if err != nil {
			return r, err
		}
		switch {
		case same && q.State == threat.RequestOpen && t.now.Before(q.ExpiresAt) && sameApprovers(q.Approvers, d.Approvers):
			r.State, r.RequestID = threat.ResponseAsked, uuid.NullUUID{UUID: q.ID, Valid: true}
			return t.saveResponse(ctx, c, old, r, threat.SystemActor)
		case same && q.State == threat.RequestApproved && enough(q, d.Approvers):
			r.Basis, r.Why, r.RequestID = threat.BasisApproval, q.ClosedWhy, uuid.NullUUID{UUID: q.ID, Valid: true}
			return t.saveActing(ctx, c, old, r, threat.SystemActor)
		}
	}
	if err := t.closeRequests(ctx, c, r.ID, threat.RequestSuperseded, "a new decision asks something else",
		threat.SystemActor); err != nil {
		return r, err
	}
	return t.ask(ctx, c, old, r, question{kind: threat.RequestAct, decision: d.DecisionID, approvers: d.Approvers,
		askFor:  d.AskFor,
		silence: d.Silence, rules: d.Rules, reasons: d.Reasons, state: threat.ResponseAsked, supersedes: openID(q)})
}

// openID gives the id of a request that a new one takes the place of.
func openID(q threat.Request) uuid.NullUUID {
	return uuid.NullUUID{UUID: q.ID, Valid: q.State == threat.RequestOpen}
}

func sameApprovers(a, b threat.Approvers) bool {
	roles := func(list []threat.Role) []threat.Role {
		list = slices.Clone(list)
		slices.Sort(list)
		return slices.Compact(list)
	}
	return need(a) == need(b) && a.FourEyes == b.FourEyes && slices.Equal(roles(a.Roles), roles(b.Roles))
}

// need is how many must approve: one at least.
func need(a threat.Approvers) int { return max(a.Needed, 1) }

// enough reports whether the votes on a request satisfy approvers: distinct people, each in a role that is named.
func enough(q threat.Request, a threat.Approvers) bool { return have(q, a) >= need(a) }

func have(q threat.Request, a threat.Approvers) int {
	people := map[uuid.UUID]bool{}
	for _, v := range q.Votes {
		yes := v.Verdict == threat.VerdictApprove || v.Verdict == threat.VerdictNarrow
		if yes && slices.Contains(a.Roles, v.Role) && !(a.FourEyes && q.AskedBy == "person:"+v.PersonID.String()) {
			people[v.PersonID] = true
		}
	}
	return len(people)
}

// question is one that is asked about a response.
type question struct {
	kind       threat.RequestKind
	decision   uuid.UUID
	approvers  threat.Approvers
	askFor     time.Duration
	silence    string
	rules      []threat.RuleLabel
	reasons    []string
	state      threat.ResponseState // of the response while it is open
	supersedes uuid.NullUUID
}

// ask opens a request. The response's newest request is this one from then on.
func (t *tx) ask(ctx context.Context, c threat.Case, old, r threat.Response, q question) (threat.Response, error) {
	if q.askFor <= 0 {
		set, err := t.effectiveSettings(ctx, r.TenantID)
		if err != nil {
			return r, err
		}
		q.askFor = set.RequestOpen.Duration()
	}
	var round int
	if err := t.row(ctx, `SELECT COALESCE(MAX(round), 0) + 1 FROM requests WHERE response_id = ?1`,
		r.ID).Scan(&round); err != nil {
		return r, err
	}
	body := bodyOf(r, q.kind)
	body.Round = round
	digest, err := Digest(body)
	if err != nil {
		return r, err
	}
	req := threat.Request{ID: threat.DerivedID("request", r.ID.String(), strconv.Itoa(round)), TenantID: r.TenantID,
		CaseID:     r.CaseID,
		ResponseID: r.ID, DecisionID: q.decision, Body: body, Digest: digest, Approvers: q.approvers, AskedBy: r.AskedBy,
		Rules:   q.rules,
		Reasons: q.reasons, Silence: q.silence, State: threat.RequestOpen, Supersedes: q.supersedes, OpenedAt: t.now,
		ExpiresAt: t.now.Add(q.askFor), Votes: []threat.Vote{}}
	if err := t.insertRequest(ctx, req); err != nil {
		return r, err
	}
	if err := t.caseEntry(ctx, c, threat.EntryRequestOpened, requestSubject(req.ID), threat.SystemActor,
		requestSubject(req.ID), req); err != nil {
		return r, err
	}
	r.State, r.RequestID = q.state, uuid.NullUUID{UUID: req.ID, Valid: true}
	if r, err = t.saveResponse(ctx, c, old, r, threat.SystemActor); err != nil {
		return r, err
	}
	return r, t.nudge(ctx, nudgeCase, c.TenantID, c.ID)
}

func requestSubject(id uuid.UUID) string { return "request:" + id.String() }

func (t *tx) insertRequest(ctx context.Context, q threat.Request) error {
	var texts [4]string
	for i, v := range []any{q.Body, q.Approvers, q.Rules, q.Reasons} {
		var err error
		if texts[i], err = jsonText(v); err != nil {
			return err
		}
	}
	_, err := t.exec(ctx,
		`INSERT INTO requests (id, tenant_id, case_id, response_id, decision_id, kind, round, body, digest, approvers,
		asked_by, rules, reasons, silence, state, closed_why, supersedes, opened_at, expires_at)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, '', ?16, ?17, ?18)`, q.ID, q.TenantID, q.CaseID,
		q.ResponseID, q.DecisionID, string(q.Body.Kind), q.Body.Round, texts[0], q.Digest, texts[1], q.AskedBy, texts[2], texts[3],
		q.Silence, string(q.State), q.Supersedes, micros(q.OpenedAt), micros(q.ExpiresAt))
	return err
}

// requestClosed is what the journal keeps of a request's end.
type requestClosed struct {
	Response uuid.UUID           `json:"response_id"`
	Kind     threat.RequestKind  `json:"kind"`
	State    threat.RequestState `json:"state"`
	Why      string              `json:"why"`
}

// closeRequest ends an open request.
func (t *tx) closeRequest(ctx context.Context, c threat.Case, q threat.Request, to threat.RequestState, why,
	by string) (threat.Request, error) {
	q.State, q.ClosedWhy, q.ClosedAt = to, threat.Inert(why, maxWhy), &t.now
	if err := t.execOne(ctx, "request",
		`UPDATE requests SET state = ?2, closed_why = ?3, closed_at = ?4 WHERE id = ?1 AND state = 'open'`,
		q.ID, string(to), q.ClosedWhy, micros(t.now)); err != nil {
		return q, err
	}
	return q, t.caseEntry(ctx, c, threat.EntryRequestClosed, "closed:"+q.ID.String(), by, requestSubject(q.ID),
		requestClosed{q.ResponseID, q.Body.Kind, to, q.ClosedWhy})
}

// closeRequests ends whatever is open about a response.
func (t *tx) closeRequests(ctx context.Context, c threat.Case, response uuid.UUID, to threat.RequestState, why,
	by string) error {
	open, err := t.requests(ctx, `response_id = ?1 AND state = 'open' ORDER BY round`, response)
	if err != nil {
		return err
	}
	for _, q := range open {
		if _, err := t.closeRequest(ctx, c, q, to, why, by); err != nil {
			return err
		}
	}
	return nil
}

// OpenEndRequest asks people whether a hold whose time is up is released. While such a request is open it is given back
// unchanged. Conflict when nothing is held or it is being released already.
func (s *Store) OpenEndRequest(ctx context.Context, responseID uuid.UUID, a threat.Approvers, askFor time.Duration,
	decision uuid.UUID,
	silence string) (out threat.Request, err error) {
	err = s.underLockOf(ctx, "responses", "response", responseID, func(ctx context.Context, t *tx) error {
		r, c, err := t.withCase(ctx, responseID)
		if err != nil {
			return err
		}
		q, was, err := t.newestRequest(ctx, r.ID, threat.RequestEnd)
		if err != nil {
			return err
		}
		if was && q.State == threat.RequestOpen {
			out = q
			return nil
		}
		if r.EndedAt != nil || r.Ending != "" || decidable(r.State) || r.HoldUntil == nil && !holding(r) {
			return threat.Faultf(threat.Conflict, "the response is %s: there is no hold to ask about", r.State)
		}
		r, err = t.ask(ctx, c, r, r, question{kind: threat.RequestEnd, decision: decision, approvers: a, askFor: askFor,
			silence: silence,
			state:   r.State})
		if err != nil {
			return err
		}
		out, err = t.requestRow(ctx, r.RequestID.UUID)
		return err
	})
	return out, err
}

// ExpireRequest ends an open request whose time is over. Nobody's answer to a question to act ends the response; nobody's
// answer to a question about an end leaves the hold as it is. One that is closed already is given back; Conflict while its
// time runs.
func (s *Store) ExpireRequest(ctx context.Context, requestID uuid.UUID) (out threat.Request, err error) {
	err = s.underLockOf(ctx, "requests", "request", requestID, func(ctx context.Context, t *tx) error {
		q, err := t.requestRow(ctx, requestID)
		if err != nil {
			return err
		}
		if q.State != threat.RequestOpen {
			out = q
			return nil
		}
		if t.now.Before(q.ExpiresAt) {
			return threat.Faultf(threat.Conflict, "the request is open until %s", q.ExpiresAt.Format(time.RFC3339))
		}
		r, c, err := t.withCase(ctx, q.ResponseID)
		if err != nil {
			return err
		}
		if out, err = t.closeRequest(ctx, c, q, threat.RequestExpired, "nobody answered in time", threat.SystemActor); err != nil {
			return err
		}
		if r.EndedAt != nil {
			return nil
		}
		if q.Body.Kind == threat.RequestEnd {
			_, err = t.become(ctx, c, r, r.State, "nobody answered whether it is released: it is held on", threat.SystemActor)
			return err
		}
		if r.State != threat.ResponseAsked {
			return nil // it is being decided anew, and may not need an answer
		}
		_, err = t.endOrKeep(ctx, c, r, r, threat.ResponseExpired, "nobody answered in time", threat.SystemActor)
		return err
	})
	return out, err
}
