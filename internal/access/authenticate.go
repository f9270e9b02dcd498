package access

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// CookieName is the session cookie's name.
const CookieName = "firebreak_session"

// Authenticate gives who sends a request: the holder of a bearer token or of a session. A bearer token is taken before a
// cookie, and a bad one is never made good by a cookie. Unauthenticated for nobody we know; Unavailable when that cannot be
// looked up. Surface says where the call came in: console, api, cli.
func (s *Service) Authenticate(r *http.Request, surface string) (threat.Caller, error) {
	ctx := r.Context()
	if headers := r.Header.Values("Authorization"); len(headers) > 0 {
		scheme, token, _ := strings.Cut(headers[0], " ")
		token = strings.TrimSpace(token)
		if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") {
			return threat.Caller{}, errNobody("the Authorization header is not one bearer token")
		}
		if shaped(token, SessionPrefix) {
			return s.session(ctx, token, surface)
		}
		return s.token(ctx, token, surface)
	}
	cookies := r.CookiesNamed(CookieName)
	switch {
	case len(cookies) == 0:
		return threat.Caller{}, errNobody("nobody is signed in")
	case len(cookies) > 1: // one of them was planted from a neighbouring host name
		return threat.Caller{}, errNobody("there is more than one session cookie")
	case !shaped(cookies[0].Value, SessionPrefix):
		return threat.Caller{}, errNobody("the session is not known")
	}
	return s.session(ctx, cookies[0].Value, surface)
}

// token gives the caller that a program's token stands for: its role, over its organisation.
func (s *Service) token(ctx context.Context, token, surface string) (threat.Caller, error) {
	if !shaped(token, TokenPrefix) {
		return threat.Caller{}, errNobody("the token is not known")
	}
	k, err := s.deps.Store.TokenByHash(ctx, hashOf(token))
	switch {
	case threat.Is(err, threat.NotFound):
		return threat.Caller{}, errNobody("the token is not known")
	case err != nil:
		return threat.Caller{}, err
	}
	return callerOf(k, surface), nil
}

func callerOf(k threat.Token, surface string) threat.Caller {
	return threat.Caller{TokenID: uuid.NullUUID{UUID: k.ID, Valid: true}, OrgID: k.OrgID, Name: k.Name,
		Grants: []threat.Grant{{OrgID: k.OrgID, Role: k.Role}}, Surface: surface}
}

// session gives the person of a session.
func (s *Service) session(ctx context.Context, secret, surface string) (threat.Caller, error) {
	ses, err := s.deps.Store.SessionByHash(ctx, hashOf(secret))
	switch {
	case threat.Is(err, threat.NotFound):
		return threat.Caller{}, errNobody("the session is not known")
	case err != nil:
		return threat.Caller{}, err
	}
	c, err := s.person(ctx, ses.PersonID, surface)
	c.SessionID = uuid.NullUUID{UUID: ses.ID, Valid: err == nil}
	return c, err
}

// SignOut ends a session at once. One that has ended stays ended; NotFound for one that there is not.
func (s *Service) SignOut(ctx context.Context, session uuid.UUID) error {
	return s.deps.Store.EndSession(ctx, session)
}

// SetCookie has a browser keep a session: not readable by scripts, not sent by other sites' forms, and over https only
// where the console is.
func (s *Service) SetCookie(w http.ResponseWriter, secret string, ses threat.Session) {
	c := s.cookie(secret)
	c.Expires, c.MaxAge = ses.ExpiresAt, int(ses.ExpiresAt.Sub(s.deps.Now())/time.Second)
	http.SetCookie(w, c)
}

// ClearCookie has a browser forget its session.
func (s *Service) ClearCookie(w http.ResponseWriter) {
	c := s.cookie("")
	c.MaxAge = -1
	http.SetCookie(w, c)
}

func (s *Service) cookie(value string) *http.Cookie {
	path := s.base.Path
	if path == "" {
		path = "/"
	}
	return &http.Cookie{Name: CookieName, Value: value, Path: path, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: s.base.Scheme == "https"}
}
