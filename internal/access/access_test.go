package access_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/access"
	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"
)

// decider lets a role do what it lists, wherever a grant of it reaches.
type decider struct {
	store *store.Store
	may   map[threat.Role][]string
	fail  error
}

func (d *decider) Access(ctx context.Context, caller threat.Caller, action string, org uuid.UUID) (bool, string, error) {
	if d.fail != nil {
		return false, "", d.fail
	}
	line, err := d.store.Lineage(ctx, org)
	if threat.Is(err, threat.NotFound) {
		return false, "none of the caller's roles has this right here", nil
	}
	if err != nil {
		return false, "", err
	}
	for _, g := range caller.Grants {
		if slices.Contains(d.may[g.Role], action) && slices.ContainsFunc(line, func(o threat.Organisation) bool { return o.ID == g.OrgID }) {
			return true, "as " + string(g.Role), nil
		}
	}
	return false, "none of the caller's roles has this right here", nil
}

// world is a real store with a provider, two tenants and their contacts.
type world struct {
	*testing.T
	ctx      context.Context
	clock    *storetest.Clock
	store    *store.Store
	decide   *decider
	access   *access.Service
	one, two threat.Organisation
	ada      threat.Person // contact of one
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, ctx: t.Context(), clock: storetest.NewClock()}
	w.store = storetest.Open(t, storetest.WithClock(w.clock))
	w.one, w.two = storetest.Tenant(t, w.store), storetest.Tenant(t, w.store)
	w.ada = storetest.Contact(t, w.store, w.one)
	w.decide = &decider{store: w.store, may: map[threat.Role][]string{
		threat.Contact:  {"case.read", "organisation.read"},
		threat.Analyst:  {"case.read", "organisation.read"},
		threat.Firewall: {"feed.read"}, threat.Sensor: {"detection.write"},
		threat.Administrator: {"token.write", "organisation.read"}}}
	w.access = w.service("https://firebreak.example/fb")
	return w
}

func (w *world) service(base string) *access.Service {
	w.Helper()
	s, err := access.New(access.Deps{Store: w.store, Decide: w.decide, Now: w.clock.Now, BaseURL: base})
	require.NoError(w, err)
	return s
}

func bearer(secret string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/v1/cases", nil)
	r.Header.Set("Authorization", "Bearer "+secret)
	return r
}

func (w *world) kind(err error, kind threat.FaultKind, words ...string) {
	w.Helper()
	require.Equal(w, kind, threat.KindOf(err), "%v", err)
	for _, word := range words {
		require.ErrorContains(w, err, word)
	}
}

// signIn follows a fresh sign-in link.
func (w *world) signIn(p threat.Person) (threat.Session, string) {
	w.Helper()
	link, err := w.access.SignInLink(w.ctx, p.ID, 0)
	require.NoError(w, err)
	ses, value, err := w.access.FollowLink(w.ctx, secretOf(link), "192.0.2.1", "browser")
	require.NoError(w, err)
	return ses, value
}

func secretOf(link string) string { return link[strings.LastIndex(link, "/")+1:] }

func (w *world) admin() threat.Caller {
	root := storetest.Provider(w.T, w.store)
	p := storetest.Person(w.T, w.store, root, "root-"+uuid.NewString()[:8]+"@provider.example", threat.Administrator)
	return threat.Caller{PersonID: uuid.NullUUID{UUID: p.ID, Valid: true}, OrgID: root.ID,
		Grants: []threat.Grant{{OrgID: root.ID, Role: threat.Administrator}}}
}

func TestTokens(t *testing.T) {
	w := newWorld(t)
	admin := w.admin()
	secret, k, err := w.access.MintToken(w.ctx, admin, threat.Token{OrgID: w.one.ID, Role: threat.Sensor, Kind: threat.TokenSensor, Name: "ids"})
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(secret, "fbt_"))
	require.Len(t, secret, 4+43)
	who, err := w.access.Authenticate(bearer(secret), "api")
	require.NoError(t, err)
	require.Equal(t, threat.Caller{TokenID: uuid.NullUUID{UUID: k.ID, Valid: true}, OrgID: w.one.ID, Name: "ids", Surface: "api",
		Grants: []threat.Grant{{OrgID: w.one.ID, Role: threat.Sensor}}}, who)
	require.NoError(t, w.access.Allow(w.ctx, who, "detection.write", w.one.ID))
	w.kind(w.access.Allow(w.ctx, who, "case.read", w.one.ID), threat.Forbidden)
	w.kind(w.access.Allow(w.ctx, who, "detection.write", w.two.ID), threat.NotFound)

	// Revoked binds with the next call; whoever lacks the right does not learn that there is such a token.
	w.kind(w.access.RevokeToken(w.ctx, who, k.ID), threat.NotFound)
	require.NoError(t, w.access.RevokeToken(w.ctx, admin, k.ID))
	require.NoError(t, w.access.RevokeToken(w.ctx, admin, k.ID))
	_, err = w.access.Authenticate(bearer(secret), "api")
	w.kind(err, threat.Unauthenticated, "revoked")

	ends := w.clock.Now().Add(time.Hour)
	secret, _, err = w.access.MintToken(w.ctx, admin, threat.Token{OrgID: w.one.ID, Role: threat.Analyst, Name: "script", ExpiresAt: &ends})
	require.NoError(t, err)
	_, err = w.access.Authenticate(bearer(secret), "api")
	require.NoError(t, err)
	w.clock.Advance(time.Hour)
	_, err = w.access.Authenticate(bearer(secret), "api")
	w.kind(err, threat.Unauthenticated)
}

func TestMintingIsBounded(t *testing.T) {
	w := newWorld(t)
	admin := w.admin()
	c := storetest.Connection(t, w.store, w.one, "feed")
	id := uuid.NullUUID{UUID: c.ID, Valid: true}
	for name, tt := range map[string]struct {
		k     threat.Token
		place string
	}{
		"a sensor that reads":           {threat.Token{OrgID: w.one.ID, Role: threat.Analyst, Kind: threat.TokenSensor, Name: "x"}, "/role"},
		"a sensor's role for a script":  {threat.Token{OrgID: w.one.ID, Role: threat.Sensor, Name: "x"}, "/kind"},
		"a firewall without its lists":  {threat.Token{OrgID: w.one.ID, Role: threat.Firewall, Kind: threat.TokenFirewall, Name: "x"}, "/connection_id"},
		"another tenant's connection":   {threat.Token{OrgID: w.two.ID, Role: threat.Firewall, Kind: threat.TokenFirewall, Name: "x", ConnectionID: id}, "/connection_id"},
		"a connection that there isn't": {threat.Token{OrgID: w.one.ID, Role: threat.Firewall, Kind: threat.TokenFirewall, Name: "x", ConnectionID: uuid.NullUUID{UUID: uuid.New(), Valid: true}}, "/connection_id"},
		"no role":                       {threat.Token{OrgID: w.one.ID, Name: "x"}, "/role"},
	} {
		_, _, err := w.access.MintToken(w.ctx, admin, tt.k)
		var f *threat.Fault
		if !errors.As(err, &f) || f.Kind != threat.Invalid || f.Place != tt.place {
			t.Errorf("%s: %v", name, err)
		}
	}
	ada := threat.Caller{PersonID: uuid.NullUUID{UUID: w.ada.ID, Valid: true}, OrgID: w.one.ID,
		Grants: []threat.Grant{{OrgID: w.one.ID, Role: threat.Contact}}}
	_, _, err := w.access.MintToken(w.ctx, ada, threat.Token{OrgID: w.one.ID, Role: threat.Analyst, Name: "x"})
	w.kind(err, threat.Forbidden)
	_, _, err = w.access.MintToken(w.ctx, ada, threat.Token{OrgID: w.two.ID, Role: threat.Analyst, Name: "x"})
	w.kind(err, threat.NotFound)
}

func TestFeedTokens(t *testing.T) {
	w := newWorld(t)
	c := storetest.Connection(t, w.store, w.one, "feed")
	secret, k, err := w.access.IssueToken(w.ctx, threat.SystemActor, threat.Token{OrgID: w.one.ID, Role: threat.Firewall,
		Kind: threat.TokenFirewall, Name: "edge-1", ConnectionID: uuid.NullUUID{UUID: c.ID, Valid: true}})
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(secret, "fbf_"))
	got, name, err := w.access.FeedSubscriber(w.ctx, secret)
	require.NoError(t, err)
	require.Equal(t, c.ID, got.ID)
	require.Equal(t, "edge-1", name)

	_, err = w.access.Authenticate(bearer(secret), "api")
	w.kind(err, threat.Unauthenticated)
	for _, bad := range []string{"", "fbf_", secret[:len(secret)-1], secret + "A", "fbf_" + strings.Repeat("A", 43)} {
		_, _, err := w.access.FeedSubscriber(w.ctx, bad)
		w.kind(err, threat.Unauthenticated)
	}
	api, _, err := w.access.IssueToken(w.ctx, threat.SystemActor, threat.Token{OrgID: w.one.ID, Role: threat.Analyst, Name: "script"})
	require.NoError(t, err)
	_, _, err = w.access.FeedSubscriber(w.ctx, api)
	w.kind(err, threat.Unauthenticated)

	may := w.decide.may[threat.Firewall]
	w.decide.may[threat.Firewall] = nil
	_, _, err = w.access.FeedSubscriber(w.ctx, secret)
	w.kind(err, threat.Forbidden)
	w.decide.may[threat.Firewall] = may
	c.Enabled = false
	_, err = w.store.PutConnection(w.ctx, threat.SystemActor, c)
	require.NoError(t, err)
	_, _, err = w.access.FeedSubscriber(w.ctx, secret)
	w.kind(err, threat.Forbidden)
	require.NoError(t, w.store.RevokeToken(w.ctx, k.ID, threat.SystemActor))
	_, _, err = w.access.FeedSubscriber(w.ctx, secret)
	w.kind(err, threat.Forbidden, "revoked")
}

func TestSessions(t *testing.T) {
	w := newWorld(t)
	ses, value := w.signIn(w.ada)
	rec := httptest.NewRecorder()
	w.access.SetCookie(rec, value, ses)
	cookie := rec.Result().Cookies()[0]
	require.True(t, cookie.HttpOnly && cookie.Secure)
	require.Equal(t, http.SameSiteLaxMode, cookie.SameSite)
	require.Equal(t, "/fb", cookie.Path)
	require.Equal(t, 12*3600, cookie.MaxAge)
	rec = httptest.NewRecorder()
	w.service("http://127.0.0.1:7300").SetCookie(rec, value, ses)
	require.False(t, rec.Result().Cookies()[0].Secure)
	require.Equal(t, "/", rec.Result().Cookies()[0].Path)
	rec = httptest.NewRecorder()
	w.access.ClearCookie(rec)
	require.Equal(t, -1, rec.Result().Cookies()[0].MaxAge)

	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(cookie)
	who, err := w.access.Authenticate(r, "console")
	require.NoError(t, err)
	require.Equal(t, threat.Caller{PersonID: uuid.NullUUID{UUID: w.ada.ID, Valid: true}, SessionID: uuid.NullUUID{UUID: ses.ID, Valid: true},
		OrgID: w.one.ID, Name: w.ada.Name, Grants: []threat.Grant{{PersonID: w.ada.ID, OrgID: w.one.ID, Role: threat.Contact}}, Surface: "console"}, who)
	// A terminal holds the same session as a bearer token.
	who, err = w.access.Authenticate(bearer(value), "cli")
	require.NoError(t, err)
	require.True(t, who.IsPerson())

	// A bad bearer token is not made good by the cookie, and neither is a second cookie.
	r.Header.Set("Authorization", "Bearer fbt_"+strings.Repeat("A", 43))
	_, err = w.access.Authenticate(r, "api")
	w.kind(err, threat.Unauthenticated)
	r.Header.Del("Authorization")
	r.AddCookie(&http.Cookie{Name: access.CookieName, Value: value})
	_, err = w.access.Authenticate(r, "api")
	w.kind(err, threat.Unauthenticated)

	// A right that was taken away binds with the next call.
	require.NoError(t, w.store.SetGrants(w.ctx, w.ada.ID, nil, threat.SystemActor))
	who, err = w.access.Authenticate(bearer(value), "cli")
	require.NoError(t, err)
	require.Empty(t, who.Grants)

	require.NoError(t, w.access.SignOut(w.ctx, ses.ID))
	_, err = w.access.Authenticate(bearer(value), "cli")
	w.kind(err, threat.Unauthenticated, "ended")

	_, value = w.signIn(w.ada)
	w.clock.Advance(12 * time.Hour)
	_, err = w.access.Authenticate(bearer(value), "cli")
	w.kind(err, threat.Unauthenticated)

	_, value = w.signIn(w.ada)
	require.NoError(t, w.store.DisablePerson(w.ctx, w.ada.ID, threat.SystemActor))
	_, err = w.access.Authenticate(bearer(value), "cli")
	w.kind(err, threat.Unauthenticated)
}

func TestNobody(t *testing.T) {
	w := newWorld(t)
	for _, header := range []string{"", "Bearer", "Bearer ", "Basic YTpi", "Bearer x", "Bearer fbt_x", "Bearer fbs_" + strings.Repeat("A", 43),
		"Bearer fbt_" + strings.Repeat("A", 43), "Bearer fbt_" + strings.Repeat("=", 43), "Bearer " + strings.Repeat("A", 100_000)} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", header)
		_, err := w.access.Authenticate(r, "api")
		if !threat.Is(err, threat.Unauthenticated) {
			t.Errorf("%.40q: %v", header, err)
		}
	}
	_, err := w.access.Authenticate(httptest.NewRequest(http.MethodGet, "/", nil), "api")
	w.kind(err, threat.Unauthenticated)
	w.kind(w.access.Allow(w.ctx, threat.Caller{}, "case.read", w.one.ID), threat.Unauthenticated)
	w.decide.fail = threat.Faultf(threat.Unavailable, "away")
	w.kind(w.access.Allow(w.ctx, w.admin(), "case.read", w.one.ID), threat.Unavailable)
}

func TestLinks(t *testing.T) {
	w := newWorld(t)
	link, err := w.access.SignInLink(w.ctx, w.ada.ID, 0)
	require.NoError(t, err)
	require.Regexp(t, `^https://firebreak\.example/fb/signin/[A-Za-z0-9_-]{43}$`, link)
	require.Equal(t, "/fb/signin/[link]", access.RedactPath("/fb/signin/"+secretOf(link)))
	require.Equal(t, "/ack/[link]", access.RedactPath("/ack/abc/def"))
	require.Equal(t, "/cases/7", access.RedactPath("/cases/7"))
	secret := secretOf(link)

	// Looking changes nothing, however often a scanner does it.
	for range 3 {
		l, err := w.access.PeekLink(w.ctx, secret)
		require.NoError(t, err)
		require.Equal(t, threat.LinkSignIn, l.Purpose)
		require.Equal(t, w.ada.ID, l.PersonID)
	}
	l, err := w.access.PeekLink(w.ctx, secret)
	require.NoError(t, err)
	// Forwarded: somebody else is signed in there.
	ben := storetest.Contact(t, w.store, w.two)
	_, value := w.signIn(ben)
	who, err := w.access.Authenticate(bearer(value), "console")
	require.NoError(t, err)
	w.kind(w.access.NotForwarded(l, who), threat.Forbidden, "somebody else")
	require.NoError(t, w.access.NotForwarded(l, threat.Caller{}))

	// Altered, cut off, of another purpose.
	other := []byte(secret)
	other[3] ^= 1
	for _, bad := range []string{string(other), secret[:20], "", secret + "x", "../" + secret} {
		_, _, err := w.access.FollowLink(w.ctx, bad, "", "")
		if !threat.Is(err, threat.NotFound) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	_, _, err = w.access.FollowAck(w.ctx, secret)
	w.kind(err, threat.NotFound)

	// Used.
	_, _, err = w.access.FollowLink(w.ctx, secret, "192.0.2.1", "browser")
	require.NoError(t, err)
	_, _, err = w.access.FollowLink(w.ctx, secret, "192.0.2.1", "browser")
	w.kind(err, threat.Conflict, "works once", "08:00 UTC on 2026-03-02")
	_, err = w.access.PeekLink(w.ctx, secret)
	w.kind(err, threat.Conflict)

	// Late.
	link, err = w.access.SignInLink(w.ctx, w.ada.ID, 0)
	require.NoError(t, err)
	w.clock.Advance(15 * time.Minute)
	_, _, err = w.access.FollowLink(w.ctx, secretOf(link), "", "")
	w.kind(err, threat.Expired, "08:15 UTC")

	// Of a person who was disabled meanwhile.
	link, err = w.access.SignInLink(w.ctx, w.ada.ID, time.Hour)
	require.NoError(t, err)
	require.NoError(t, w.store.DisablePerson(w.ctx, w.ada.ID, threat.SystemActor))
	_, _, err = w.access.FollowLink(w.ctx, secretOf(link), "", "")
	w.kind(err, threat.Expired) // disabling made it void
	_, err = w.access.SignInLink(w.ctx, w.ada.ID, 0)
	w.kind(err, threat.Forbidden)
	_, err = w.access.SignInLink(w.ctx, uuid.New(), 0)
	w.kind(err, threat.NotFound)
}

// TestOneLinkSignsInOnce has many browsers follow the same link at once.
func TestOneLinkSignsInOnce(t *testing.T) {
	w := newWorld(t)
	link, err := w.access.SignInLink(w.ctx, w.ada.ID, 0)
	require.NoError(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[threat.FaultKind]int{}
	for range 8 {
		wg.Go(func() {
			_, _, err := w.access.FollowLink(w.ctx, secretOf(link), "", "")
			mu.Lock()
			defer mu.Unlock()
			got[threat.KindOf(err)]++
		})
	}
	wg.Wait()
	require.Equal(t, map[threat.FaultKind]int{"": 1, threat.Conflict: 7}, got)
}

func TestAckLinks(t *testing.T) {
	w := newWorld(t)
	a := threat.Attempt{ID: uuid.New(), CaseID: uuid.New(), PersonID: w.ada.ID}
	link, err := w.access.AckLink(w.ctx, a)
	require.NoError(t, err)
	require.Contains(t, link, "/ack/")
	_, _, err = w.access.FollowLink(w.ctx, secretOf(link), "", "") // it signs nobody in
	w.kind(err, threat.NotFound)
	who, l, err := w.access.FollowAck(w.ctx, secretOf(link))
	require.NoError(t, err)
	require.Equal(t, w.ada.ID, who.PersonID.UUID)
	require.False(t, who.SessionID.Valid)
	require.Equal(t, "mail", who.Surface)
	require.Equal(t, a.CaseID, l.CaseID.UUID)
	require.Equal(t, a.ID, l.AttemptID.UUID)
	_, _, err = w.access.FollowAck(w.ctx, secretOf(link))
	w.kind(err, threat.Conflict)
	link, err = w.access.AckLink(w.ctx, a)
	require.NoError(t, err)
	w.clock.Advance(access.AckLinkLife)
	_, _, err = w.access.FollowAck(w.ctx, secretOf(link))
	w.kind(err, threat.Expired)
}

func denials(w *world, org uuid.UUID) []threat.Entry {
	w.Helper()
	entries, err := w.store.Entries(w.ctx, org, 0, 0)
	require.NoError(w, err)
	return slices.DeleteFunc(entries, func(e threat.Entry) bool { return e.Kind != threat.EntryAccessDenied })
}

func TestDenialsAreJournalled(t *testing.T) {
	w := newWorld(t)
	_, value := w.signIn(w.ada)
	who, err := w.access.Authenticate(bearer(value), "console")
	require.NoError(t, err)
	for range 5 {
		w.kind(w.access.Allow(w.ctx, who, "tenant.write", w.one.ID), threat.Forbidden)
	}
	got := denials(w, w.one.ID)
	require.Len(t, got, 1)
	require.Equal(t, who.Actor(), got[0].Actor)
	var body map[string]any
	require.NoError(t, json.Unmarshal(got[0].Payload, &body))
	require.Equal(t, "tenant.write", body["action"])
	require.Equal(t, "console", body["surface"])

	// Another process in the same minute writes no second one; a minute later it is told again.
	w.kind(w.service("https://firebreak.example").Allow(w.ctx, who, "tenant.write", w.one.ID), threat.Forbidden)
	require.Len(t, denials(w, w.one.ID), 1)
	w.clock.Advance(time.Minute)
	w.kind(w.access.Allow(w.ctx, who, "tenant.write", w.one.ID), threat.Forbidden)
	require.Len(t, denials(w, w.one.ID), 2)

	// What the caller sees nothing of looks as if it were not there, and its journal hears nothing of them.
	_, theirs := w.access.Resolve(w.ctx, who, w.two.Slug, "case.read")
	_, none := w.access.Resolve(w.ctx, who, "no-such-tenant", "case.read")
	w.kind(theirs, threat.NotFound)
	require.Equal(t, none.Error(), theirs.Error())
	require.Empty(t, denials(w, w.two.ID))
	require.Len(t, denials(w, w.one.ID), 3)
	for range 20 { // made-up ids do not fill a journal
		w.kind(w.access.Allow(w.ctx, who, "case.read", uuid.New()), threat.NotFound)
	}
	require.Len(t, denials(w, w.one.ID), 3)
}

func TestVisible(t *testing.T) {
	w := newWorld(t)
	root := storetest.Provider(t, w.store)
	sub, err := w.store.CreateOrganisation(w.ctx, threat.SystemActor, threat.Organisation{Kind: threat.SubEstate, Tenant: true, Slug: "plant",
		Name: "Plant", ParentID: uuid.NullUUID{UUID: w.one.ID, Valid: true}})
	require.NoError(t, err)
	slugs := func(grants ...threat.Grant) string {
		list, err := w.access.Visible(w.ctx, threat.Caller{TokenID: uuid.NullUUID{UUID: uuid.New(), Valid: true}, Grants: grants})
		require.NoError(t, err)
		var out []string
		for _, o := range list {
			out = append(out, o.Slug)
		}
		return strings.Join(out, " ")
	}
	grant := func(o threat.Organisation, r threat.Role) threat.Grant { return threat.Grant{OrgID: o.ID, Role: r} }
	require.Equal(t, "", slugs())
	require.Equal(t, "", slugs(grant(w.one, threat.Sensor)))
	require.Equal(t, fmt.Sprintf("%s plant", w.one.Slug), slugs(grant(w.one, threat.Contact)))
	require.Equal(t, "plant", slugs(grant(sub, threat.Contact), grant(sub, threat.Analyst)))
	require.Equal(t, fmt.Sprintf("%s plant %s", w.one.Slug, w.two.Slug), slugs(grant(sub, threat.Contact), grant(w.two, threat.Contact), grant(w.one, threat.Contact)))
	require.Equal(t, fmt.Sprintf("provider %s %s plant", w.one.Slug, w.two.Slug), slugs(grant(root, threat.Analyst), grant(w.one, threat.Contact)))
	// A parent always comes before its children.
	require.Equal(t, fmt.Sprintf("provider %s %s plant", w.one.Slug, w.two.Slug), slugs(grant(sub, threat.Contact), grant(root, threat.Analyst)))
}

func TestOrigin(t *testing.T) {
	w := newWorld(t)
	post := func(header, value string) error {
		r := httptest.NewRequest(http.MethodPost, "https://firebreak.example/x", nil)
		if header != "" {
			r.Header.Set(header, value)
		}
		return w.access.CheckOrigin(r)
	}
	require.NoError(t, post("", ""))
	require.NoError(t, post("Sec-Fetch-Site", "same-origin"))
	require.NoError(t, post("Origin", "https://firebreak.example"))
	w.kind(post("Sec-Fetch-Site", "cross-site"), threat.Forbidden)
	w.kind(post("Origin", "https://evil.example"), threat.Forbidden)
}

func TestFirstAdministrator(t *testing.T) {
	w := newWorld(t)
	root := storetest.Provider(t, w.store)
	p, link, err := w.access.EnsureAdministrator(w.ctx, "admin@provider.example", "Admin")
	require.NoError(t, err)
	require.NotEmpty(t, link)
	grants, err := w.store.Grants(w.ctx, p.ID)
	require.NoError(t, err)
	require.Equal(t, []threat.Grant{{PersonID: p.ID, OrgID: root.ID, Role: threat.Administrator}}, grants)

	// Until the first sign-in every start gives a fresh one: the first may have been killed before it was read.
	_, second, err := w.access.EnsureAdministrator(w.ctx, "admin@provider.example", "Admin")
	require.NoError(t, err)
	require.NotEqual(t, link, second)
	_, _, err = w.access.FollowLink(w.ctx, secretOf(second), "", "")
	require.NoError(t, err)
	_, link, err = w.access.EnsureAdministrator(w.ctx, "admin@provider.example", "Admin")
	require.NoError(t, err)
	require.Empty(t, link)
	// Nobody is added beside an administrator, and nobody who lost the role gets it back while there is one.
	_, link, err = w.access.EnsureAdministrator(w.ctx, "other@provider.example", "Other")
	require.NoError(t, err)
	require.Empty(t, link)
	_, err = w.store.PersonByEmail(w.ctx, "other@provider.example")
	w.kind(err, threat.NotFound)
	// The last one is gone.
	require.NoError(t, w.store.DisablePerson(w.ctx, p.ID, threat.SystemActor))
	_, _, err = w.access.EnsureAdministrator(w.ctx, "admin@provider.example", "Admin")
	w.kind(err, threat.Conflict)
	_, link, err = w.access.EnsureAdministrator(w.ctx, "other@provider.example", "Other")
	require.NoError(t, err)
	require.NotEmpty(t, link)
	_, _, err = w.access.EnsureAdministrator(w.ctx, w.ada.Email, "Ada")
	require.NoError(t, err)
}

// TestNoSecretIsKept looks for every secret in the journal, in faults and in the log's reach.
func TestNoSecretIsKept(t *testing.T) {
	w := newWorld(t)
	secret, _, err := w.access.IssueToken(w.ctx, threat.SystemActor, threat.Token{OrgID: w.one.ID, Role: threat.Analyst, Name: "script"})
	require.NoError(t, err)
	link, err := w.access.SignInLink(w.ctx, w.ada.ID, 0)
	require.NoError(t, err)
	_, value, err := w.access.FollowLink(w.ctx, secretOf(link), "", "")
	require.NoError(t, err)
	entries, err := w.store.Entries(w.ctx, w.one.ID, 0, 0)
	require.NoError(t, err)
	text := ""
	for _, e := range entries {
		text += fmt.Sprintf("%+v %s", e, e.Payload)
	}
	_, _, used := w.access.FollowLink(w.ctx, secretOf(link), "", "")
	_, wrong := w.access.Authenticate(bearer(secret+"x"), "api")
	text += used.Error() + wrong.Error()
	for _, s := range []string{secret, secretOf(link), value} {
		require.NotContains(t, text, s)
		require.NotContains(t, text, s[4:20])
	}
}

func TestBaseURL(t *testing.T) {
	for _, bad := range []string{"", "firebreak.example", "ftp://x", "https://", "https://u:p@x", "https://x?y", "https://x#y", "://"} {
		_, err := access.New(access.Deps{BaseURL: bad})
		if !threat.Is(err, threat.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
