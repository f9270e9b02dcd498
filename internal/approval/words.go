package approval

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// said is what a sentence about an answer is made of. Times are told in UTC; a surface may add the reader's own.
type said struct {
	click threat.Click
	req   threat.Request
	fact  threat.ApproveFact
	less  *threat.RespondDecision // policy's, about a narrower action
	have  int
	need  int
	now   time.Time
}

// refusals gives the sentence for each refusal: what happened, and what the person can do.
var refusals = map[threat.Refusal]func(said) string{
	threat.RefusedUnknown:    func(said) string { return "There is no such request. Open the case and see what is asked now." },
	threat.RefusedNotAPerson: func(said) string { return "Only a signed-in person can decide. Sign in, and open the request again." },
	threat.RefusedWrongPerson: func(s said) string {
		return "This is not yours to decide: " + s.why("your role does not decide this request") + ". Nothing was changed."
	},
	threat.RefusedSelf: func(said) string { return "You asked for this yourself, so that a second person has to decide it." },
	// Whoever sits at a hijacked account is not told that the case is about it.
	threat.RefusedSubject: func(said) string { return "This is not yours to decide; somebody else of your organisation has to." },
	threat.RefusedTwice: func(s said) string {
		if v, ok := s.mine(); ok {
			return fmt.Sprintf("You %s this at %s already; it counts once.%s", verbs[v.Verdict], clock(v.At, s.now), s.count())
		}
		return "You have answered this already; it counts once." + s.count()
	},
	threat.RefusedDecided: said.decided,
	threat.RefusedExpired: said.expired,
	threat.RefusedChanged: func(said) string {
		return "What you were shown is not what is asked now. Look at it again before you decide."
	},
	threat.RefusedSuperseded: said.superseded,
	threat.RefusedNotNarrower: func(s said) string {
		return fmt.Sprintf("That is not narrower than what is asked (%s on %s). Give a shorter time, or a part of the devices.",
			span(s.seconds()), plural(len(s.req.Body.Connections), "device"))
	},
	threat.RefusedPolicy: func(s said) string {
		return "The rules do not let this be approved: " + s.why("they gave no answer") + "."
	},
	threat.RefusedStopped: func(said) string {
		return "The stop switch is on: nothing new is done until it is lifted. You can still deny, and decide about ends."
	},
	threat.RefusedStale: func(said) string {
		return "The situation changed while you decided, three times in a row, and nothing was decided. Look at it again and decide anew."
	},
}

// verbs are verdicts in the past.
var verbs = map[threat.VerdictKind]string{threat.VerdictApprove: "approved", threat.VerdictNarrow: "approved less than",
	threat.VerdictDeny: "denied", threat.VerdictMore: "asked for more about"}

// tell gives an answer its sentence, and leads from a request that is over to the one that is open instead. On an error the
// answer keeps the store's own words.
func (d *Door) tell(ctx context.Context, b threat.Ballot, req threat.Request, a threat.ClickAnswer) (threat.ClickAnswer, error) {
	s := said{click: b.Click, req: req, fact: b.Fact, less: b.Narrower, have: a.Have, need: a.Need, now: d.deps.Now().UTC()}
	if a.Accepted {
		a.Text = s.accepted(a)
		return a, nil
	}
	switch a.Refusal {
	case threat.RefusedTwice, threat.RefusedDecided, threat.RefusedExpired, threat.RefusedSuperseded:
		fresh, err := d.deps.Store.Request(ctx, req.ID)
		if err != nil {
			return a, err
		}
		s.req = fresh
	}
	if a.Refusal == threat.RefusedSuperseded && !a.Next.Valid {
		all, err := d.deps.Store.RequestsOf(ctx, req.ResponseID)
		if err != nil {
			return a, err
		}
		for _, r := range all {
			if r.State == threat.RequestOpen && r.Body.Kind == req.Body.Kind && r.ID != req.ID {
				a.Next.UUID, a.Next.Valid = r.ID, true
			}
		}
	}
	if words, ok := refusals[a.Refusal]; ok {
		a.Text = words(s)
	} else {
		a.Text = "This was not accepted, and nothing was changed."
	}
	return a, nil
}

// accepted says what an accepted verdict did.
func (s said) accepted(a threat.ClickAnswer) string {
	end := s.req.Body.Kind == threat.RequestEnd
	what := s.action()
	switch s.click.Verdict {
	case threat.VerdictMore:
		return fmt.Sprintf("We see that you ask for more. Nothing is decided by it; the request stays open until %s.",
			clock(s.req.ExpiresAt, s.now))
	case threat.VerdictDeny:
		if end {
			return fmt.Sprintf("Not released: the measure, to %s, is held for %s more.", what, span(s.seconds()))
		}
		return fmt.Sprintf("Denied: we do not %s.", what)
	case threat.VerdictNarrow:
		if a.Have >= a.Need {
			return fmt.Sprintf("Approved, narrower: we %s for %s on %s. You see when the device has confirmed it.", what,
				span(s.narrowed()), plural(s.devices(), "device"))
		}
		return "A narrower request took the place of this one, with your approval." + s.count()
	}
	switch {
	case a.Have < a.Need:
		return "Your approval counts." + s.count()
	case end:
		return fmt.Sprintf("Approved: the measure, to %s, is released. You see when the device has confirmed it.", what)
	}
	return fmt.Sprintf("Approved: we %s for %s. You see when the device has confirmed it.", what, span(s.seconds()))
}

// decided tells who decided, when, and how.
func (s said) decided() string {
	for i := len(s.req.Votes) - 1; i >= 0; i-- {
		v := s.req.Votes[i]
		switch {
		case s.req.State == threat.RequestApproved && (v.Verdict == threat.VerdictApprove || v.Verdict == threat.VerdictNarrow):
			return fmt.Sprintf("%s approved this at %s; it is decided already. You need not do anything.", s.who(v), clock(v.At, s.now))
		case s.req.State == threat.RequestDenied && v.Verdict == threat.VerdictDeny:
			text := fmt.Sprintf("%s denied this at %s", s.who(v), clock(v.At, s.now))
			if v.Reason != "" {
				text += " (" + threat.Inert(v.Reason, 200) + ")"
			}
			return text + ". It stays denied."
		}
	}
	return fmt.Sprintf("This was decided already%s.", s.closed())
}

func (s said) expired() string {
	text := fmt.Sprintf("This was open until %s, and can no longer be decided.", clock(s.req.ExpiresAt, s.now))
	if s.req.Silence != "" {
		text += " What was said about silence holds: " + strings.TrimSuffix(threat.Inert(s.req.Silence, 200), ".") + "."
	}
	return text
}

func (s said) superseded() string {
	return fmt.Sprintf("Another request took the place of this one%s. Open that one and decide there.", s.closed())
}

// closed tells when a request was closed.
func (s said) closed() string {
	if s.req.ClosedAt == nil {
		return ""
	}
	return " at " + clock(*s.req.ClosedAt, s.now)
}

// who names a voter: the reader is "you".
func (s said) who(v threat.Vote) string {
	if s.click.Caller.PersonID.Valid && v.PersonID == s.click.Caller.PersonID.UUID {
		return "You"
	}
	if name := threat.Inert(v.Name, 80); name != "" {
		return name
	}
	return "Somebody"
}

// mine gives the caller's own verdict.
func (s said) mine() (threat.Vote, bool) {
	i := slices.IndexFunc(s.req.Votes, func(v threat.Vote) bool {
		return s.click.Caller.PersonID.Valid && v.PersonID == s.click.Caller.PersonID.UUID && v.Verdict != threat.VerdictMore
	})
	if i < 0 {
		return threat.Vote{}, false
	}
	return s.req.Votes[i], true
}

func (s said) why(otherwise string) string {
	if s.fact.Why == "" {
		return otherwise
	}
	return strings.TrimSuffix(threat.Inert(s.fact.Why, 300), ".")
}

func (s said) count() string {
	if s.need <= 0 {
		return ""
	}
	return fmt.Sprintf(" There are %d of %d approvals.", s.have, s.need)
}

func (s said) seconds() time.Duration { return time.Duration(s.req.Body.Seconds) * time.Second }

// narrowed is the time of a narrower approval: as the person gave it, or as policy cut it.
func (s said) narrowed() time.Duration {
	d := s.seconds()
	if n := s.click.Narrower; n != nil && n.Seconds > 0 {
		d = time.Duration(n.Seconds) * time.Second
	}
	if s.less != nil && s.less.Duration > 0 {
		d = min(d, s.less.Duration)
	}
	return d
}

func (s said) devices() int {
	if n := s.click.Narrower; n != nil && len(n.Connections) > 0 {
		return len(distinct(n.Connections))
	}
	return len(s.req.Body.Connections)
}

// action tells a request's verb and targets: "block an address (203.0.113.9)".
func (s said) action() string {
	name := threat.Inert(s.req.Body.Verb, 64)
	if v, ok := verb.Find(s.req.Body.Verb); ok {
		name = v.Title
	}
	var targets []string
	for _, t := range s.req.Body.Targets[:min(len(s.req.Body.Targets), 3)] {
		targets = append(targets, threat.Inert(t.Value, 80))
	}
	if n := len(s.req.Body.Targets) - 3; n > 0 {
		targets = append(targets, fmt.Sprintf("%d more", n))
	}
	return name + " (" + strings.Join(targets, ", ") + ")"
}

// clock tells a time in UTC, with its date when that is not today's.
func clock(t, now time.Time) string {
	t = t.UTC()
	if t.Format(time.DateOnly) == now.UTC().Format(time.DateOnly) {
		return t.Format("15:04 UTC")
	}
	return t.Format("15:04 UTC on 2006-01-02")
}

// span tells a duration in its two largest units.
func span(d time.Duration) string {
	var out []string
	for _, u := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if n := int(d / u.size); n > 0 && len(out) < 2 {
			out = append(out, plural(n, u.name))
			d -= time.Duration(n) * u.size
		}
	}
	if len(out) == 0 {
		return "less than a second"
	}
	return strings.Join(out, " ")
}

func plural(n int, name string) string {
	if n == 1 {
		return "1 " + name
	}
	return fmt.Sprintf("%d %ss", n, name)
}
