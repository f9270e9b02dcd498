package console

import (
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// signInPage tells how to get a link.
type signInPage struct {
	frame
	SignedOut bool
}

func showSignIn(k *call) error {
	p := &signInPage{frame: k.frame("Sign in", ""), SignedOut: k.r.URL.Query().Has("out")}
	return k.render(http.StatusOK, "signin", p)
}

// linkPage is a sign-in link that somebody opened. Nothing happens before they press its button: mail programs open links
// by themselves.
type linkPage struct {
	frame
	Secret  string
	For     string
	Expires moment
}

// link reads a link of a purpose, and does not use it.
func (k *call) link(purpose threat.LinkPurpose) (threat.Link, error) {
	l, err := k.deps.Access.PeekLink(k.ctx(), k.r.PathValue("secret"))
	if err != nil {
		return l, err
	}
	if l.Purpose != purpose {
		return l, &threat.Fault{Kind: threat.NotFound, What: "there is no such link; it was cut off or altered on its way",
			Next: "copy the whole of it, or ask for a new one"}
	}
	return l, k.deps.Access.NotForwarded(l, k.caller)
}

func showSignInLink(k *call) error {
	l, err := k.link(threat.LinkSignIn)
	if err != nil {
		return err
	}
	p := &linkPage{frame: k.frame("Sign in", ""), Secret: k.r.PathValue("secret"), For: k.name(l.PersonID)}
	p.Expires = p.When(l.ExpiresAt)
	return k.render(http.StatusOK, "link", p)
}

func followSignInLink(k *call) error {
	if _, err := k.link(threat.LinkSignIn); err != nil {
		return err
	}
	ses, secret, err := k.deps.Access.FollowLink(k.ctx(), k.r.PathValue("secret"), k.remote(),
		threat.Inert(k.r.UserAgent(), 200))
	if err != nil {
		return err
	}
	k.deps.Access.SetCookie(k.w, secret, ses)
	next := k.readCookie(nextCookie)
	k.cookie(nextCookie, "", 0, "/signin")
	return k.redirect(local(next))
}

// local gives a path of this server, and the queue for anything else.
func local(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return "/"
	}
	return path
}

func signOut(k *call) error {
	if k.known && k.caller.SessionID.Valid {
		if err := k.deps.Access.SignOut(k.ctx(), k.caller.SessionID.UUID); err != nil {
			return err
		}
	}
	k.deps.Access.ClearCookie(k.w)
	return k.redirect("/signin?out")
}

// ackPage is an acknowledgement link that somebody opened.
type ackPage struct {
	frame
	Secret   string
	For      string
	Done     bool
	Case     caseRow
	AckUntil *moment
	Expires  moment
}

func showAckLink(k *call) error {
	p, err := k.ackPage()
	if err != nil {
		return err
	}
	return k.render(http.StatusOK, "ack", p)
}

func (k *call) ackPage() (*ackPage, error) {
	l, err := k.link(threat.LinkAck)
	if err != nil {
		return nil, err
	}
	c, err := k.deps.Store.Case(k.ctx(), l.CaseID.UUID)
	if err != nil {
		return nil, err
	}
	who := threat.Caller{PersonID: uuid.NullUUID{UUID: l.PersonID, Valid: true}}
	if subject, err := k.deps.Involved(k.ctx(), who, c.ID); err != nil {
		return nil, err
	} else if subject {
		return nil, threat.Faultf(threat.NotFound, "there is no such case")
	}
	if !c.Open() {
		return nil, &threat.Fault{Kind: threat.Expired, What: c.Name() + " is closed",
			Next: "there is nothing to acknowledge any more"}
	}
	p := &ackPage{frame: k.frame("Acknowledge "+c.Name(), ""), Secret: k.r.PathValue("secret"), For: k.name(l.PersonID)}
	p.Case = plainCase(&p.frame, c)
	p.Simulated = c.Simulated
	p.Expires = p.When(l.ExpiresAt)
	return p, nil
}

// plainCase is a case's line without its tenant, for who holds a link and is not signed in.
func plainCase(f *frame, c threat.Case) caseRow {
	return caseRow{Name: c.Name(), Title: threat.Inert(c.Title, maxName), Severity: severityWord(c.Severity),
		Threat:  threatWord(c.Threat),
		Contact: contactWord(c.Contact), Opened: f.When(c.OpenedAt), Updated: f.When(c.UpdatedAt), Open: c.Open(),
		Simulated: c.Simulated}
}

// followAckLink acknowledges. Opening the link never does.
func followAckLink(k *call) error {
	p, err := k.ackPage()
	if err != nil {
		return err
	}
	caller, l, err := k.deps.Access.FollowAck(k.ctx(), p.Secret)
	if err != nil {
		return err
	}
	c, err := k.deps.Door.Acknowledge(k.ctx(), caller, l.CaseID.UUID, l.AttemptID)
	if err != nil {
		return err
	}
	s := acknowledged(k, c)
	p.Done, p.Case, p.AckUntil, p.frame.Said = true, plainCase(&p.frame, c), p.when(c.AckUntil), &s
	return k.render(http.StatusOK, "ack", p)
}
