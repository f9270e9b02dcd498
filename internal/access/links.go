package access

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// Where links lead, below the base URL. GET shows a page and changes nothing, since scanners open what stands in mails;
// POST uses the link.
const (
	SignInPath = "/signin/"
	AckPath    = "/ack/"
)

// paths are where the links of each purpose lead.
var paths = map[threat.LinkPurpose]string{threat.LinkSignIn: SignInPath, threat.LinkAck: AckPath}

// RedactPath gives a path as it may be logged: a link's secret in it is replaced.
func RedactPath(path string) string {
	for _, p := range []string{SignInPath, AckPath} {
		if i := strings.Index(path, p); i >= 0 && len(path) > i+len(p) {
			return path[:i] + p + "[link]"
		}
	}
	return path
}

// SignInLink makes a link that signs a person in, once. Zero lifetime is SignInLinkLife. NotFound for an unknown person,
// Forbidden for a disabled one.
func (s *Service) SignInLink(ctx context.Context, person uuid.UUID, lifetime time.Duration) (string, error) {
	p, err := s.deps.Store.Person(ctx, person)
	if err != nil {
		return "", err
	}
	if p.DisabledAt != nil {
		return "", threat.Faultf(threat.Forbidden, "the person is disabled")
	}
	if lifetime <= 0 {
		lifetime = SignInLinkLife
	}
	return s.link(ctx, threat.Link{PersonID: person, Purpose: threat.LinkSignIn}, lifetime)
}

// AckLink makes a link by which the person of an attempt acknowledges its case, once. It authorises nothing else, and
// signs nobody in.
func (s *Service) AckLink(ctx context.Context, a threat.Attempt) (string, error) {
	return s.link(ctx, threat.Link{PersonID: a.PersonID, Purpose: threat.LinkAck,
		AttemptID: uuid.NullUUID{UUID: a.ID, Valid: a.ID != uuid.Nil}, CaseID: uuid.NullUUID{UUID: a.CaseID, Valid: true}}, AckLinkLife)
}

func (s *Service) link(ctx context.Context, l threat.Link, life time.Duration) (string, error) {
	secret, hash := newSecret("")
	l.Hash, l.ExpiresAt = hash, s.deps.Now().UTC().Add(life)
	if _, err := s.deps.Store.PutLink(ctx, l); err != nil {
		return "", err
	}
	return s.base.JoinPath(paths[l.Purpose], secret).String(), nil
}

// PeekLink looks at a link without using it. NotFound for a link that there is not (cut off or altered), Conflict for a used
// one, Expired for a late one, Forbidden when its person is disabled.
func (s *Service) PeekLink(ctx context.Context, secret string) (threat.Link, error) {
	if !shaped(secret, "") {
		return threat.Link{}, errNoLink()
	}
	l, err := s.deps.Store.LinkByHash(ctx, hashOf(secret))
	if threat.Is(err, threat.NotFound) {
		return threat.Link{}, errNoLink()
	}
	if err != nil {
		return threat.Link{}, err
	}
	p, err := s.deps.Store.Person(ctx, l.PersonID)
	if err != nil {
		return threat.Link{}, err
	}
	switch {
	case l.UsedAt != nil:
		return threat.Link{}, &threat.Fault{Kind: threat.Conflict, Next: "ask for a new one; if it was not you who used it, say so",
			What: "this link was used at " + l.UsedAt.UTC().Format(moment) + ", and works once"}
	case !s.deps.Now().Before(l.ExpiresAt):
		return threat.Link{}, &threat.Fault{Kind: threat.Expired, Next: "ask for a new one",
			What: "this link was good until " + l.ExpiresAt.UTC().Format(moment)}
	case p.DisabledAt != nil:
		return threat.Link{}, threat.Faultf(threat.Forbidden, "this person may no longer sign in")
	}
	return l, nil
}

// moment is how a time is told in a fault.
const moment = "15:04 UTC on 2006-01-02"

// NotForwarded refuses a link that was sent to somebody else than who is signed in here: Forbidden. With nobody signed in
// it cannot be known, and passes.
func (s *Service) NotForwarded(l threat.Link, signed threat.Caller) error {
	if !signed.PersonID.Valid || signed.PersonID.UUID == l.PersonID {
		return nil
	}
	return &threat.Fault{Kind: threat.Forbidden, What: "this link was sent to somebody else",
		Next: "use the one that was sent to you, or sign out first if it is yours"}
}

// use uses a link of a purpose up. A link of another purpose is not there, and stays as it is.
func (s *Service) use(ctx context.Context, secret string, purpose threat.LinkPurpose) (threat.Link, error) {
	l, err := s.PeekLink(ctx, secret)
	if err != nil {
		return threat.Link{}, err
	}
	if l.Purpose != purpose {
		return threat.Link{}, errNoLink()
	}
	return s.deps.Store.UseLink(ctx, hashOf(secret))
}

func errNoLink() error {
	return &threat.Fault{Kind: threat.NotFound, What: "there is no such link; it was cut off or altered on its way",
		Next: "copy the whole of it, or ask for a new one"}
}

// FollowLink signs the person of a sign-in link in, and uses the link up. By POST only. Address and agent are kept with the
// session. The secret is the cookie's value, or a terminal's bearer token, and is given once. Faults are PeekLink's.
func (s *Service) FollowLink(ctx context.Context, secret, address, agent string) (threat.Session, string, error) {
	l, err := s.use(ctx, secret, threat.LinkSignIn)
	if err != nil {
		return threat.Session{}, "", err
	}
	value, hash := newSecret(SessionPrefix)
	ses, err := s.deps.Store.PutSession(ctx, threat.Session{PersonID: l.PersonID, Hash: hash, Address: address, Agent: agent,
		ExpiresAt: s.deps.Now().UTC().Add(SessionLife)})
	if err != nil {
		return threat.Session{}, "", err
	}
	return ses, value, nil
}

// FollowAck uses up the link of an acknowledgement, and gives the person whom it was sent to, who acknowledges with it and
// is not signed in. By POST only. Faults are PeekLink's.
func (s *Service) FollowAck(ctx context.Context, secret string) (threat.Caller, threat.Link, error) {
	l, err := s.use(ctx, secret, threat.LinkAck)
	if err != nil {
		return threat.Caller{}, threat.Link{}, err
	}
	c, err := s.person(ctx, l.PersonID, "mail")
	return c, l, err
}
