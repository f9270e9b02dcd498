package approval

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

var verdicts = []threat.VerdictKind{threat.VerdictApprove, threat.VerdictNarrow, threat.VerdictDeny, threat.VerdictMore}

// Decide takes one click. What it refuses is an answer with a Refusal and a sentence for the person, journalled like every
// other. Where facts moved between policy's answer and the store's transaction, policy is asked anew, up to three times.
// Faults: Invalid with the place for a click that is none, Unavailable when it could not be decided; then nothing was.
func (d *Door) Decide(ctx context.Context, click threat.Click) (threat.ClickAnswer, error) {
	begun := d.deps.Now()
	click.Reason = line(click.Reason, maxReason)
	if err := proper(click); err != nil {
		return threat.ClickAnswer{}, err
	}
	var req threat.Request
	var ballot threat.Ballot
	var answer threat.ClickAnswer
	for try := 1; ; try++ {
		var err error
		if answer, req, ballot, err = d.once(ctx, click); err != nil {
			return threat.ClickAnswer{}, err
		}
		if answer.Refusal != threat.RefusedStale || try == tries {
			break
		}
	}
	answer, err := d.tell(ctx, ballot, req, answer)
	if err != nil { // it is decided; only the words are missing
		d.deps.Log.WarnContext(ctx, "a click was decided, and what came of it could not be read again", "request", click.RequestID,
			"kind", threat.KindOf(err))
	}
	d.deps.Log.InfoContext(ctx, "a click", "request", click.RequestID, "case", req.CaseID, "actor", click.Caller.Actor(),
		"verdict", click.Verdict, "surface", click.Caller.Surface, "accepted", answer.Accepted, "refusal", answer.Refusal)
	if d.deps.Metrics != nil {
		d.deps.Metrics.Click(click.Caller.Surface, click.Verdict, answer.Refusal, d.deps.Now().Sub(begun))
	}
	return answer, nil
}

// proper refuses what no surface should send.
func proper(c threat.Click) error {
	switch {
	case !slices.Contains(verdicts, c.Verdict):
		return &threat.Fault{Kind: threat.Invalid, What: "unknown verdict", Place: "/verdict", Next: "give approve, narrow, deny or more"}
	case c.Verdict == threat.VerdictNarrow && c.Narrower == nil:
		return &threat.Fault{Kind: threat.Invalid, What: "a narrower approval says how", Place: "/narrower",
			Next: "give a shorter duration, or a part of the connections"}
	case c.Verdict != threat.VerdictNarrow && c.Narrower != nil:
		return &threat.Fault{Kind: threat.Invalid, What: "only a narrower approval says how it is narrower", Place: "/narrower"}
	case c.Narrower != nil && c.Narrower.Seconds < 0:
		return &threat.Fault{Kind: threat.Invalid, What: "a duration below zero", Place: "/narrower/duration_seconds"}
	}
	return nil
}

// once asks policy and hands the click to the store.
func (d *Door) once(ctx context.Context, click threat.Click) (a threat.ClickAnswer, req threat.Request, b threat.Ballot, err error) {
	b.Click = click
	req, err = d.deps.Store.Request(ctx, click.RequestID)
	if threat.Is(err, threat.NotFound) { // the store refuses it, and journals that it was tried
		a, err = d.deps.Store.CastVote(ctx, b)
		if threat.Is(err, threat.NotFound) {
			a, err = threat.ClickAnswer{Refusal: threat.RefusedUnknown}, nil
		}
		return a, threat.Request{}, b, err
	}
	if err != nil {
		return a, req, b, err
	}
	if b.Fact, err = d.deps.Decide.Approve(ctx, req, click.Caller, click.Verdict); err != nil {
		return a, req, b, err
	}
	if click.Verdict == threat.VerdictNarrow && b.Fact.Allowed && narrower(*click.Narrower, req.Body) {
		if b, err = d.aboutLess(ctx, b, req); err != nil {
			return a, req, b, err
		}
	}
	a, err = d.deps.Store.CastVote(ctx, b)
	if threat.Is(err, threat.Stale) {
		a, err = threat.ClickAnswer{Refusal: threat.RefusedStale, State: req.State}, nil
	}
	return a, req, b, err
}

// narrower reports whether a narrowing is less than what a request asks; what is not goes to the store without a decision,
// which refuses it.
func narrower(n threat.Narrowing, body threat.RequestBody) bool {
	if body.Kind != threat.RequestAct || n.Seconds > body.Seconds {
		return false
	}
	for _, id := range n.Connections {
		if !slices.Contains(body.Connections, id) {
			return false
		}
	}
	fewer := len(n.Connections) > 0 && len(distinct(n.Connections)) < len(distinct(body.Connections))
	return fewer || n.Seconds > 0 && n.Seconds < body.Seconds
}

func distinct(ids []uuid.UUID) map[uuid.UUID]bool {
	out := map[uuid.UUID]bool{}
	for _, id := range ids {
		out[id] = true
	}
	return out
}

// aboutLess asks policy about the narrower action. Where it says no, the approval has nothing to approve.
func (d *Door) aboutLess(ctx context.Context, b threat.Ballot, req threat.Request) (threat.Ballot, error) {
	r, err := d.deps.Store.Response(ctx, req.ResponseID)
	if err != nil {
		return b, err
	}
	n := b.Click.Narrower
	if n.Seconds > 0 {
		r.Duration = time.Duration(n.Seconds) * time.Second
	}
	if len(n.Connections) > 0 {
		r.Connections = slices.Clone(n.Connections)
		slices.SortFunc(r.Connections, func(a, b uuid.UUID) int { return strings.Compare(a.String(), b.String()) })
		r.Connections = slices.Compact(r.Connections)
	}
	dec, err := d.deps.Decide.Respond(ctx, r)
	if err != nil {
		return b, err
	}
	b.Narrower = &dec
	if dec.Effect == threat.Deny {
		b.Fact.Allowed, b.Fact.Role, b.Fact.Refusal = false, "", threat.RefusedPolicy
		b.Fact.Why = strings.Join(dec.Reasons, "; ")
	}
	return b, nil
}
