package console

import (
	"fmt"
	"net/http"

	"github.com/firebreak/firebreak/internal/threat"
)

// decideRequest hands one click to the door and says what it answered. A click that counts leads back to the page; one that
// is refused is answered with the page as it stands now, what was refused and why.
func decideRequest(k *call) error {
	r, c, err := k.requestOf()
	if err != nil {
		return err
	}
	if err := k.form(); err != nil {
		return err
	}
	click, err := k.click(r)
	if err != nil {
		return k.refuse(r, c, err)
	}
	a, err := k.deps.Door.Decide(k.ctx(), click)
	if err != nil {
		return err
	}
	if a.Accepted {
		to := r.ID
		if a.Next.Valid {
			to = a.Next.UUID
		}
		return k.say("/requests/"+to.String(), accepted(r, click.Verdict, a))
	}
	if a.Refusal == threat.RefusedUnknown {
		return threat.Faultf(threat.NotFound, "there is no such request")
	}
	if r, c, err = k.requestOf(); err != nil { // it may be another by now
		return err
	}
	p, err := k.requestPage(r, c)
	if err != nil {
		return err
	}
	p.Refused = &said{Tone: toneBad, Title: refusalTitle(a.Refusal), Text: sentence(threat.Inert(a.Text, maxText))}
	p.Typed = threat.Inert(click.Reason, maxReason)
	return k.render(refusalStatus(a.Refusal), "request", p)
}

// backToRequest is for who reloads the answer to a refused click.
func backToRequest(k *call) error {
	id, err := k.pathID("request", "request")
	if err != nil {
		return err
	}
	return k.redirect("/requests/" + id.String())
}

// click reads the form.
func (k *call) click(r threat.Request) (threat.Click, error) {
	click := threat.Click{RequestID: r.ID, Caller: k.caller, Verdict: threat.VerdictKind(k.r.PostForm.Get("verdict")),
		Digest: k.r.PostForm.Get("digest")}
	click.Caller.Surface = Surface
	preset, err := k.field("preset", maxReason)
	if err != nil {
		return click, err
	}
	text, err := k.field("reason", maxReason)
	if err != nil {
		return click, err
	}
	click.Reason = preset
	switch {
	case preset == "":
		click.Reason = text
	case text != "":
		click.Reason = preset + ": " + text
	}
	switch click.Verdict {
	case threat.VerdictApprove, threat.VerdictDeny:
	case threat.VerdictMore:
		if text == "" {
			return click, &threat.Fault{Kind: threat.Invalid, What: "write what you want to know", Place: "reason"}
		}
		click.Reason = text
	case threat.VerdictNarrow:
		if click.Narrower, err = k.narrowing(r); err != nil {
			return click, err
		}
	default:
		return click, &threat.Fault{Kind: threat.Invalid, What: "there is no such answer", Place: "verdict"}
	}
	return click, nil
}

// refuse shows a form that could not be read beside the question that it was about.
func (k *call) refuse(r threat.Request, c threat.Case, err error) error {
	f, ok := err.(*threat.Fault)
	if !ok || f.Kind != threat.Invalid {
		return err
	}
	p, perr := k.requestPage(r, c)
	if perr != nil {
		return perr
	}
	p.Refused = &said{Tone: toneWarn, Title: "Nothing was decided", Text: sentence(f.What)}
	if f.Next != "" {
		p.Refused.Text += " " + sentence(f.Next)
	}
	p.Typed = threat.Inert(k.r.PostForm.Get("reason"), maxReason)
	return k.render(faultPages[f.Kind].status, "request", p)
}

// accepted says what a click came to.
func accepted(r threat.Request, v threat.VerdictKind, a threat.ClickAnswer) said {
	s := said{Tone: toneGood, Text: sentence(a.Text)}
	end := r.Body.Kind == threat.RequestEnd
	switch {
	case v == threat.VerdictMore:
		s.Title = "Your question is kept"
	case v == threat.VerdictDeny && end:
		s.Title = "You decided to keep it"
	case v == threat.VerdictDeny:
		s.Title = "You denied it: it is not done"
	case a.State != threat.RequestApproved && a.Have < a.Need:
		s.Tone, s.Title = toneWarn, fmt.Sprintf("Your approval counts: %d of %d", a.Have, a.Need)
	case end:
		s.Title = "Approved: it is being released"
	case v == threat.VerdictNarrow:
		s.Title = "Approved, narrower: it is being done"
	default:
		s.Title = "Approved: it is being done"
	}
	return s
}

// refusalTitle says in a few words why a click does not count.
func refusalTitle(r threat.Refusal) string {
	switch r {
	case threat.RefusedNotAPerson:
		return "Not counted: only a signed-in person can decide"
	case threat.RefusedWrongPerson:
		return "Not counted: this is not yours to decide"
	case threat.RefusedSelf:
		return "Not counted: a second person is needed"
	case threat.RefusedSubject:
		return "Not counted: you are a subject of this case"
	case threat.RefusedTwice:
		return "Not counted again: you have answered already"
	case threat.RefusedDecided:
		return "Not counted: it is decided already"
	case threat.RefusedExpired:
		return "Not counted: its time is over"
	case threat.RefusedChanged:
		return "Not counted: it is not what you were shown"
	case threat.RefusedSuperseded:
		return "Not counted: another question took its place"
	case threat.RefusedNotNarrower:
		return "Not counted: that is not narrower"
	case threat.RefusedPolicy:
		return "Not counted: policy says no"
	case threat.RefusedStopped:
		return "Not counted: the stop switch is on"
	case threat.RefusedStale:
		return "Not counted: the facts changed meanwhile"
	}
	return "Not counted"
}

// refusalStatus gives a refusal's HTTP status, as the API gives it.
func refusalStatus(r threat.Refusal) int {
	switch r {
	case threat.RefusedUnknown:
		return http.StatusNotFound
	case threat.RefusedExpired:
		return http.StatusGone
	case threat.RefusedNotAPerson, threat.RefusedWrongPerson, threat.RefusedSelf, threat.RefusedSubject, threat.RefusedPolicy:
		return http.StatusForbidden
	}
	return http.StatusConflict
}
