package store

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// maxWhy bounds the reasons and errors that are kept beside a row, in runes; the whole stands in the journal.
const maxWhy = 1000

const responseColumns = `id, tenant_id, case_id, number, step, round, verb, target_kind, target_value, asset_id, params, duration,
	end_policy, connections, state, why, required, asked_by, decision_id, request_id, basis, facts, stales, version, hold_from,
	hold_until, ending, ending_by, extended, created_at, updated_at, ended_at`

func scanResponse(r *sql.Rows) (p threat.Response, err error) {
	var params, connections, facts string
	var duration, created, updated int64
	var from, until, ended sql.NullInt64
	if err := r.Scan(&p.ID, &p.TenantID, &p.CaseID, &p.Number, &p.Step, &p.Round, &p.Verb, &p.Target.Kind, &p.Target.Value,
		&p.Target.AssetID, &params, &duration, &p.End, &connections, &p.State, &p.Why, &p.Required, &p.AskedBy, &p.DecisionID,
		&p.RequestID, &p.Basis, &facts, &p.Stales, &p.Version, &from, &until, &p.Ending, &p.EndingBy, &p.Extended, &created,
		&updated, &ended); err != nil {
		return p, err
	}
	p.Duration = time.Duration(duration) * time.Microsecond
	p.HoldFrom, p.HoldUntil, p.EndedAt = fromNullMicros(from), fromNullMicros(until), fromNullMicros(ended)
	p.CreatedAt, p.UpdatedAt = fromMicros(created), fromMicros(updated)
	if err := fromJSON(params, &p.Params); err != nil {
		return p, err
	}
	if err := fromJSON(connections, &p.Connections); err != nil {
		return p, err
	}
	return p, fromJSON(facts, &p.Facts)
}

// responses reads responses with their holders; where may go on with order and limit.
func (t *tx) responses(ctx context.Context, where string, args ...any) ([]threat.Response, error) {
	found, err := collect[threat.Response](t.query(ctx, `SELECT `+responseColumns+` FROM responses WHERE `+where,
		args...))(scanResponse)
	if err != nil {
		return nil, err
	}
	return found, t.fillHolders(ctx, found)
}

// responseRow reads one with its holders and their effects; NotFound when it is not there.
func (t *tx) responseRow(ctx context.Context, id uuid.UUID) (threat.Response, error) {
	found, err := t.responses(ctx, `id = ?1`, id)
	if err == nil && len(found) == 0 {
		err = threat.Faultf(threat.NotFound, "no such response")
	}
	if err != nil {
		return threat.Response{}, err
	}
	return found[0], nil
}

// withCase reads a response and its case.
func (t *tx) withCase(ctx context.Context, id uuid.UUID) (threat.Response, threat.Case, error) {
	r, err := t.responseRow(ctx, id)
	if err != nil {
		return r, threat.Case{}, err
	}
	c, err := t.caseRow(ctx, r.CaseID)
	return r, c, err
}

// Response gives one with a holder for each of its connections. NotFound when it is not there.
func (s *Store) Response(ctx context.Context, id uuid.UUID) (out threat.Response, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = t.responseRow(ctx, id)
		return err
	})
	return out, err
}

// Responses gives a case's responses by number.
func (s *Store) Responses(ctx context.Context, caseID uuid.UUID) (out []threat.Response, err error) {
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = t.responses(ctx, `case_id = ?1 ORDER BY number`, caseID)
		return err
	})
	return out, err
}

// maxListed bounds lists over tenants.
const maxListed = 1000

// ResponsesOf gives the newest responses of some tenants, all of them or those that have not ended; limit is at most 1000,
// and zero takes that.
func (s *Store) ResponsesOf(ctx context.Context, tenants []uuid.UUID, openOnly bool, limit int) (out []threat.Response,
	err error) {
	open := ""
	if openOnly {
		open = ` AND ended_at IS NULL`
	}
	err = s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		out, err = ofTenants(tenants, limit, func(in string, args []any) ([]threat.Response, error) {
			return t.responses(ctx, `tenant_id IN `+in+open+` ORDER BY created_at DESC, id LIMIT ?1`, args...)
		}, func(a, b threat.Response) int { return b.CreatedAt.Compare(a.CreatedAt) })
		return err
	})
	return out, err
}

// ofTenants asks for some tenants at a time and merges what came, in the order of before. args begin with the limit.
func ofTenants[T any](tenants []uuid.UUID, limit int, ask func(in string, args []any) ([]T, error),
	before func(a, b T) int) (out []T, err error) {
	limit = bounded(limit, maxListed)
	for ids := range padded(anys(sortedIDs(tenants))) {
		found, err := ask(places(2, len(ids)), append([]any{limit}, ids...))
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	slices.SortStableFunc(out, before)
	return out[:min(len(out), limit)], nil
}

// underLockOf is write under the lock of the tenant whose row of a table has an id. NotFound for the noun. A row never
// changes its tenant.
func (s *Store) underLockOf(ctx context.Context, table, noun string, id uuid.UUID, fn func(context.Context,
	*tx) error) error {
	var tenant uuid.UUID
	err := s.read(ctx, func(ctx context.Context, t *tx) (err error) {
		tenant, err = one[uuid.UUID](t.query(ctx, `SELECT tenant_id FROM `+table+` WHERE id = ?1`, id))(
			func(r *sql.Rows) (id uuid.UUID, err error) {
				err = r.Scan(&id)
				return id, err
			}, noun)
		return err
	})
	if err != nil {
		return err
	}
	return s.write(ctx, []uuid.UUID{tenant}, fn)
}

// ProposeResponses adds what a plan or a person wants done for a case, each in the state proposed with the next number. An
// action whose id stands already is given back as it stands. Targets and parameters become canonical and the connections
// sorted. Invalid and Unsupported with the place for what the verb does not allow, NotFound for a connection that is not
// the tenant's, Conflict for a closed case.
func (s *Store) ProposeResponses(ctx context.Context, caseID uuid.UUID, list []threat.Response) (out []threat.Response,
	err error) {
	list = slices.Clone(list)
	for i, r := range list {
		if list[i], err = properProposal(caseID, r, i); err != nil {
			return nil, err
		}
	}
	err = s.underLockOf(ctx, "cases", "case", caseID, func(ctx context.Context, t *tx) error {
		c, err := t.caseRow(ctx, caseID)
		if err != nil {
			return err
		}
		out = make([]threat.Response, 0, len(list))
		for i, r := range list {
			r, err := t.propose(ctx, c, r, i)
			if err != nil {
				return err
			}
			out = append(out, r)
		}
		return nil
	})
	return out, err
}

// properProposal checks what needs no table.
func properProposal(caseID uuid.UUID, r threat.Response, i int) (threat.Response, error) {
	at := func(err error) error {
		f, ok := err.(*threat.Fault)
		if !ok {
			return err
		}
		g := *f
		g.Place = place("/responses", i, f.Place)
		return &g
	}
	r.Round = max(r.Round, 1)
	checked := r.Action
	if checked.Duration == 0 { // policy says how long
		if v, ok := verb.Find(r.Verb); ok {
			checked.Duration = v.MinDuration
		}
	}
	checked, err := verb.Check(checked)
	if err != nil {
		return r, at(err)
	}
	checked.Duration = r.Duration
	r.Action = checked
	if r.End != "" && !slices.Contains(threat.Ends, r.End) {
		return r, at(&threat.Fault{Kind: threat.Invalid, What: "unknown end of a containment", Place: "/end"})
	}
	r.CaseID, r.Connections = caseID, sortedIDs(r.Connections)
	if r.ID == uuid.Nil {
		r.ID = threat.ActionID(caseID, r.Step, r.Target, r.Round)
	}
	if r.AskedBy == "" {
		r.AskedBy = threat.SystemActor
	}
	return r, nil
}

// propose writes one proposal, or gives the one that stands.
func (t *tx) propose(ctx context.Context, c threat.Case, r threat.Response, i int) (threat.Response, error) {
	old, err := t.responseRow(ctx, r.ID)
	switch {
	case err == nil && old.CaseID != c.ID:
		return r, &threat.Fault{Kind: threat.Conflict, What: "the action is another case's", Place: place("/responses", i, "/id")}
	case err == nil:
		return old, nil
	case !threat.Is(err, threat.NotFound):
		return r, err
	case !c.Open():
		return r, threat.Faultf(threat.Conflict, "the case is closed")
	}
	for j, id := range r.Connections {
		conn, err := t.connection(ctx, id)
		if err != nil || conn.TenantID != c.TenantID {
			if err != nil && !threat.Is(err, threat.NotFound) {
				return r, err
			}
			return r, &threat.Fault{Kind: threat.NotFound, What: "no such connection",
				Place: place(place("/responses", i, "/connections"), j, "")}
		}
	}
	if err := t.row(ctx, `UPDATE cases SET responses = responses + 1 WHERE id = ?1 RETURNING responses`,
		c.ID).Scan(&r.Number); err != nil {
		return r, err
	}
	r.TenantID, r.State, r.Version, r.CreatedAt, r.UpdatedAt = c.TenantID, threat.ResponseProposed, 1, t.now, t.now
	r.Why, r.Step = threat.Inert(r.Why, maxWhy), threat.Inert(r.Step, maxName)
	r.DecisionID, r.RequestID, r.Basis, r.Facts, r.Stales = uuid.NullUUID{}, uuid.NullUUID{}, threat.BasisNone,
		threat.Revisions{}, 0
	r.HoldFrom, r.HoldUntil, r.Ending, r.EndingBy, r.Extended, r.EndedAt, r.Holders = nil, nil, "", "", 0, nil, nil
	if err := t.insertResponse(ctx, r); err != nil {
		return r, err
	}
	if err := t.caseEntry(ctx, c, threat.EntryResponseProposed, "response:"+r.ID.String(), r.AskedBy, responseSubject(r.ID),
		r); err != nil {
		return r, err
	}
	if err := t.nudge(ctx, nudgeResponse, r.TenantID, r.ID); err != nil {
		return r, err
	}
	return t.responseRow(ctx, r.ID)
}

func responseSubject(id uuid.UUID) string { return "response:" + id.String() }

func (t *tx) insertResponse(ctx context.Context, r threat.Response) error {
	params, err := jsonText(r.Params)
	if err != nil {
		return err
	}
	connections, err := jsonText(r.Connections)
	if err != nil {
		return err
	}
	facts, err := jsonText(r.Facts)
	if err != nil {
		return err
	}
	return t.insertRows(ctx, `INSERT INTO responses (`+responseColumns+`)`, ``, 32, []any{r.ID, r.TenantID, r.CaseID, r.Number,
		r.Step, r.Round, r.Verb, string(r.Target.Kind), r.Target.Value, r.Target.AssetID, params, r.Duration.Microseconds(),
		string(r.End), connections, string(r.State), r.Why, r.Required, r.AskedBy, r.DecisionID, r.RequestID, string(r.Basis),
		facts, r.Stales, r.Version, nullMicros(r.HoldFrom), nullMicros(r.HoldUntil), r.Ending, r.EndingBy, r.Extended,
		micros(r.CreatedAt), micros(r.UpdatedAt), nullMicros(r.EndedAt)})
}

// stateChange is what the journal keeps of a response's step.
type stateChange struct {
	Number    int64                `json:"number"`
	Verb      string               `json:"verb"`
	Target    threat.Target        `json:"target"`
	From      threat.ResponseState `json:"from"`
	To        threat.ResponseState `json:"to"`
	Why       string               `json:"why"`
	Basis     threat.Basis         `json:"basis,omitempty"`
	Decision  uuid.NullUUID        `json:"decision_id"`
	Request   uuid.NullUUID        `json:"request_id"`
	HoldUntil *time.Time           `json:"hold_until,omitempty"`
	Ending    string               `json:"ending,omitempty"`
	EndingBy  string               `json:"ending_by,omitempty"`
	Extended  int                  `json:"extended,omitempty"`
	Stales    int                  `json:"stales,omitempty"`
	Holders   []holderChange       `json:"holders,omitempty"`
}

// holderChange is how one connection of a response stood at that step.
type holderChange struct {
	Connection uuid.UUID          `json:"connection_id"`
	State      threat.HolderState `json:"state"`
	Generation int64              `json:"generation,omitempty"`
	Error      string             `json:"error,omitempty"`
}

// saveResponse keeps what changed between old and r, raises the version, journals it under the version, and nudges the
// response and its case when people or workflows can see a difference. A step that the life of a response does not have is
// a defect of ours.
func (t *tx) saveResponse(ctx context.Context, c threat.Case, old, r threat.Response, by string) (threat.Response, error) {
	if !old.State.MayBecome(r.State) {
		return r, threat.Faultf(threat.Internal, "a response cannot go from %s to %s", old.State, r.State)
	}
	r.Why = threat.Inert(r.Why, maxWhy)
	r.Version, r.UpdatedAt = old.Version+1, t.now
	if r.State.Terminal() && r.EndedAt == nil {
		r.EndedAt = &t.now
	}
	connections, err := jsonText(r.Connections)
	if err != nil {
		return r, err
	}
	facts, err := jsonText(r.Facts)
	if err != nil {
		return r, err
	}
	if err := t.execOne(ctx, "response",
		`UPDATE responses SET duration = ?2, end_policy = ?3, connections = ?4, state = ?5, why = ?6,
		decision_id = ?7, request_id = ?8, basis = ?9, facts = ?10, stales = ?11, version = ?12, hold_from = ?13, hold_until = ?14,
		ending = ?15, ending_by = ?16, extended = ?17, updated_at = ?18, ended_at = ?19 WHERE id = ?1`, r.ID,
		r.Duration.Microseconds(), string(r.End), connections, string(r.State), r.Why, r.DecisionID, r.RequestID, string(r.Basis),
		facts, r.Stales, r.Version, nullMicros(r.HoldFrom), nullMicros(r.HoldUntil), r.Ending, r.EndingBy, r.Extended,
		micros(r.UpdatedAt), nullMicros(r.EndedAt)); err != nil {
		return r, err
	}
	if old.State == r.State && old.Why == r.Why && old.Ending == r.Ending && old.Basis == r.Basis && old.Extended == r.Extended &&
		old.Stales == r.Stales && old.RequestID == r.RequestID {
		return r, nil
	}
	change := stateChange{Number: r.Number, Verb: r.Verb, Target: r.Target, From: old.State, To: r.State, Why: r.Why,
		Basis:    r.Basis,
		Decision: r.DecisionID, Request: r.RequestID, HoldUntil: r.HoldUntil, Ending: r.Ending, EndingBy: r.EndingBy,
		Extended: r.Extended, Stales: r.Stales}
	for _, h := range r.Holders {
		change.Holders = append(change.Holders, holderChange{h.ConnectionID, h.State, h.Generation, h.Error})
	}
	if err := t.caseEntry(ctx, c, threat.EntryResponseState, fmt.Sprintf("response:%s:%d", r.ID, r.Version), by,
		responseSubject(r.ID), change); err != nil {
		return r, err
	}
	if err := t.nudge(ctx, nudgeResponse, r.TenantID, r.ID); err != nil {
		return r, err
	}
	return r, t.nudge(ctx, nudgeCase, r.TenantID, r.CaseID)
}

// become is saveResponse for a change of the state and its reason alone.
func (t *tx) become(ctx context.Context, c threat.Case, r threat.Response, to threat.ResponseState, why,
	by string) (threat.Response, error) {
	old := r
	r.State, r.Why = to, why
	return t.saveResponse(ctx, c, old, r, by)
}

// holding reports whether a response holds an effect, whatever is known of it.
func holding(r threat.Response) bool {
	return slices.ContainsFunc(r.Holders, func(h threat.Holder) bool { return h.State == threat.HolderHolding })
}

// holderOf gives a response's holder on one connection.
func holderOf(r threat.Response, connection uuid.UUID) (threat.Holder, bool) {
	for _, h := range r.Holders {
		if h.ConnectionID == connection {
			return h, true
		}
	}
	return threat.Holder{}, false
}

// hasConnection reports whether a response acts over a connection.
func hasConnection(r threat.Response, id uuid.UUID) bool { return slices.Contains(r.Connections, id) }

// compareIDs orders ids as they are locked and listed.
func compareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }
