package console

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/net/html"

	"github.com/firebreak/firebreak/internal/threat"
)

func TestModeIsPreviewedAgreedToAndKept(t *testing.T) {
	w := newWorld()
	a := w.get(t, contactID, "/tenants/northwind/mode?mode=authorize&eradicate=true").status(t, 200)
	want(t, "the preview", text(a.doc), "Collaborate → to Authorize", "This lets Firebreak do more",
		"Would be decided anew 1 FB-1042 Block a domain cdn-telemetry.example",
		"Stays as it is 1 FB-1042 Block an address 203.0.113.77", consentWords(threat.ModeAuthorize, true, "Northwind Traders"))
	if w.states[northID].Mode != threat.ModeCollaborate {
		t.Fatal("the preview changed the mode")
	}
	form := url.Values{"mode": {"authorize"}, "eradicate": {"true"}, "seen": {"3"}}
	w.post(t, contactID, "/tenants/northwind/mode", form).status(t, 422)
	form.Set("agree", "yes")
	form.Set("seen", "2")
	w.post(t, contactID, "/tenants/northwind/mode", form).status(t, 409)
	form.Set("seen", "3")
	w.post(t, analystID, "/tenants/northwind/mode", form).status(t, 403)
	w.post(t, contactID, "/tenants/eastgate/mode", form).status(t, 404)
	if len(w.consents[northID]) != 2 {
		t.Fatal("a mode was set without a consent")
	}
	w.post(t, contactID, "/tenants/northwind/mode", form).status(t, 303)
	c := w.consents[northID][2]
	if c.Mode != threat.ModeAuthorize || !c.Eradicate || c.GivenBy != contactID ||
		c.Words != consentWords(threat.ModeAuthorize, true, "Northwind Traders") || c.Language != "en" {
		t.Errorf("kept %+v", c)
	}
	w.get(t, contactID, "/tenants/northwind/mode?mode=all").status(t, 422)
	a = w.get(t, contactID, "/tenants/northwind/mode?mode=notify&eradicate=true")
	want(t, "a narrower one", text(a.doc), "This lets Firebreak do less")
	wantNot(t, "a narrower one", text(a.doc), "what cannot be undone That covers")
}

func TestTenantShowsConsentsContactsAndAssets(t *testing.T) {
	w := newWorld()
	page := text(w.get(t, contactID, "/tenants/northwind").status(t, 200).doc)
	want(t, "the page", page, "Northwind Traders", "Collaborate", "2 consents so far",
		"Grace Oduya (simulated), 2026-02-12 03:10:00 UTC", "1. Grace Oduya (simulated) everything; may change the mode",
		"2. Ilse Brandt (simulated) block a domain", "pagerduty service after 2 min; not verified", "dc-1", "Protected",
		"seen on the network, no agent answers", "edge list", "with a credential",
		"The longest containment 7 days", "192.0.2.0/24", "Change the response mode")
	wantNot(t, "a contact's page", page, "Lift protection")
	page = text(w.get(t, adminID, "/tenants/northwind").doc)
	want(t, "an administrator's page", page, "Lift protection of dc-1", "Protect of printer-7")
	wantNot(t, "an administrator's page", page, "Change the response mode")
	w.get(t, contactID, "/tenants/eastgate").status(t, 404)
	w.get(t, contactID, "/tenants/watch").status(t, 404)
	want(t, "the tree", text(w.get(t, analystID, "/tenants").doc), "Nightwatch", "provider", "none of its own",
		"Eastgate Clinics", "Authorize")
	w.get(t, analystID, "/tenants/watch/mode?mode=notify").status(t, 403)
}

func TestProtect(t *testing.T) {
	w := newWorld()
	path := "/tenants/northwind/assets/" + printerID.String() + "/protect"
	w.post(t, contactID, path, url.Values{"protected": {"true"}}).status(t, 403)
	w.post(t, adminID, path, url.Values{"protected": {"maybe"}}).status(t, 422)
	w.post(t, adminID, "/tenants/northwind/assets/"+uuid.NewString()+"/protect", url.Values{"protected": {"true"}}).status(t,
		404)
	w.post(t, adminID, path, url.Values{"protected": {"true"}}).status(t, 303)
	if a := w.assets[northID][0]; !a.Protected || a.Name != "printer-7" || a.Addresses[0] != "10.20.0.77" {
		t.Errorf("now %+v", a)
	}
	w.post(t, adminID, path, url.Values{"protected": {"false"}}).status(t, 303)
	if w.assets[northID][0].Protected {
		t.Error("it stays protected")
	}
}

func TestStopListsWhatIsInFlight(t *testing.T) {
	w := newWorld()
	w.post(t, analystID, "/tenants/northwind/stop", url.Values{"on": {"true"}}).status(t, 422)
	w.post(t, analystID, "/tenants/northwind/stop", url.Values{"on": {"x"}, "why": {"y"}}).status(t, 422)
	w.post(t, auditorID, "/tenants/northwind/stop", url.Values{"on": {"true"}, "why": {"y"}}).status(t, 403)
	if w.stops[northID].On {
		t.Fatal("stopped")
	}
	a := w.post(t, analystID, "/tenants/northwind/stop",
		url.Values{"on": {"true"}, "why": {"restoring the router"}}).status(t, 303)
	if s := w.stops[northID]; !s.On || s.Why != "restoring the router" || s.By != "person:"+analystID.String() {
		t.Errorf("stopped: %+v", s)
	}
	b := w.get(t, analystID, a.Header().Get("Location"), a.cookie("firebreak_said")).status(t, 200)
	want(t, "the page", text(b.doc), "What was already under way is listed below",
		"Robin Achterberg wrote: “restoring the router”", "Lift the stop")
	want(t, "in flight", b.section(t, "flight"), "In flight 2", "Block an address 203.0.113.77 to act",
		"Sent its answer is awaited", "Block a domain cdn-telemetry.example to release",
		"May still be sent until 2026-03-14 03:10:58 UTC")
	want(t, "the case", w.get(t, contactID, "/cases/FB-1042").section(t, "head"), "The stop switch is on")
	w.post(t, analystID, "/tenants/northwind/stop", url.Values{"on": {"false"}, "why": {"done"}}).status(t, 303)
	if w.stops[northID].On {
		t.Error("it stays stopped")
	}
	w.post(t, analystID, "/tenants/watch/stop", url.Values{"on": {"true"}, "why": {"drill"}}).status(t, 303)
	want(t, "a tenant below", text(w.get(t, contactID, "/tenants/northwind/stop").doc), "Nightwatch, above it, is stopped")
}

func TestPolicyTellsItsState(t *testing.T) {
	w := newWorld()
	a := w.get(t, auditorID, "/policy").status(t, 200)
	want(t, "the page", text(a.doc), "Up to date", "built in", w.policy.Revision, "2026-03-13 22:10:00 UTC",
		"Respond May this be done?", "respond.deny.guard", "A guard stands against it")
	w.policy.Stale, w.policy.Error, w.policy.ErrorAt = true, "respond/respond.rego:12: unsafe var", ago(time.Minute)
	a = w.get(t, auditorID, "/policy")
	want(t, "a stale one", a.section(t, "status"), "Newer rules could not be taken", "respond/respond.rego:12: unsafe var",
		"2026-03-14 03:09:00 UTC")
	wantNot(t, "a stale one", a.section(t, "status"), "Up to date")
}

func TestFeedsTellWhoHasWhat(t *testing.T) {
	w := newWorld()
	page := w.get(t, analystID, "/feeds").status(t, 200).section(t, "feeds")
	want(t, "the page", page, "edge list Northwind Traders", "Addresses Partly enforced 1 of 2 firewalls",
		"edge-1 Up to date revision 18", "edge-2 Behind revision 17", "branch Silent revision 3",
		"203.0.113.77 Partly enforced 1 of 2 firewalls", "198.51.100.200 Enforced 2 of 2 firewalls", "every 1 min", "Domains",
		"No firewall has ever fetched this list")
	w.fetches[threat.FeedIPs] = nil
	want(t, "without firewalls", w.get(t, analystID, "/feeds").section(t, "feeds"),
		"Published only no firewall polls the list")
	w.lists = append(w.lists, threat.FeedList{List: threat.FeedDomains})
	wantNot(t, "a list that was never changed", w.get(t, analystID, "/feeds").section(t, "feeds"), "0001-01-01")
	w.get(t, contactID, "/feeds").status(t, 403)
}

func TestEnforcementNeedsEveryFirewallSeenLately(t *testing.T) {
	seen := func(revision int64, before, interval time.Duration) threat.FeedFetch {
		return threat.FeedFetch{Revision: revision, At: ago(before), Interval: interval}
	}
	for name, c := range map[string]struct {
		fetches []threat.FeedFetch
		is      string
	}{
		"nobody":        {nil, "Published only"},
		"one has it":    {[]threat.FeedFetch{seen(5, time.Second, time.Minute)}, "Enforced"},
		"one is behind": {[]threat.FeedFetch{seen(4, time.Second, time.Minute)}, "Published"},
		"one of two": {[]threat.FeedFetch{seen(5, time.Second, time.Minute),
			seen(4, time.Minute, time.Minute)}, "Partly enforced"},
		"the other is silent": {[]threat.FeedFetch{seen(5, time.Second, time.Minute),
			seen(4, 3*time.Minute+time.Second, time.Minute)}, "Enforced"},
		"at three intervals, it counts": {[]threat.FeedFetch{seen(5, time.Second, time.Minute),
			seen(4, 3*time.Minute, time.Minute)}, "Partly enforced"},
		"seen once":      {[]threat.FeedFetch{seen(5, 10*time.Minute, 0)}, "Enforced"},
		"all are silent": {[]threat.FeedFetch{seen(5, time.Hour, time.Minute)}, "Published only"},
	} {
		if got := enforcement(c.fetches, 5, now, defaultInterval); got.Word != c.is {
			t.Errorf("%s: %s", name, got.Word)
		}
	}
}

func TestAFirewallSeenOnceTakesTheConnectionsInterval(t *testing.T) {
	once := []threat.FeedFetch{{Revision: 5, At: ago(10 * time.Minute)}}
	for interval, is := range map[string]string{"": "Enforced", "60": "Published only", "3600": "Enforced", "soon": "Enforced"} {
		c := threat.Connection{Settings: map[string]string{"interval": interval}}
		if got := enforcement(once, 5, now, intervalOf(c)); got.Word != is {
			t.Errorf("%q: %s", interval, got.Word)
		}
	}
}

func TestJournalIsPagedFromTheNewest(t *testing.T) {
	w := newWorld()
	a := w.get(t, auditorID, "/journal?org=northwind").status(t, 200)
	entries := all(a.doc, func(n *html.Node) bool { return strings.HasPrefix(attr(n, "id"), "j") })
	if len(entries) != entriesAPage || attr(entries[0], "id") != "j120" || attr(entries[49], "id") != "j71" {
		t.Fatalf("%d entries from %s", len(entries), attr(entries[0], "id"))
	}
	want(t, "the page", text(a.doc), "120 entries in one hash chain", "claim.granted", "Older", `"sends": 1`)
	a = w.get(t, auditorID, "/journal?org=northwind&before=21")
	entries = all(a.doc, func(n *html.Node) bool { return strings.HasPrefix(attr(n, "id"), "j") })
	if len(entries) != 20 || attr(entries[19], "id") != "j1" {
		t.Fatalf("%d entries at the end", len(entries))
	}
	want(t, "the last page", text(a.doc), "Newer")
	wantNot(t, "the last page", text(a.doc), "Older")
	w.get(t, auditorID, "/journal?org=northwind&before=x").status(t, 422)
	want(t, "an empty one", text(w.get(t, auditorID, "/journal?org=eastgate").doc), "Nothing stands here yet")
	w.get(t, analystID, "/journal").status(t, 403)
	w.get(t, contactID, "/journal?org=eastgate").status(t, 404)
}

func TestCasesArePagedAndFiltered(t *testing.T) {
	w := newWorld()
	page := w.get(t, analystID, "/cases?tenant=eastgate").section(t, "cases")
	want(t, "one tenant's", page, "FB-1041")
	wantNot(t, "one tenant's", page, "FB-1042")
	w.get(t, analystID, "/cases?before=x").status(t, 422)
	want(t, "closed ones", w.get(t, analystID, "/cases?which=closed").section(t, "cases"), "No such case")
	for n := range int64(60) {
		u := uuid.New()
		w.cases[u] = threat.Case{ID: u, TenantID: eastID, Number: n + 1, Title: "old", OpenedAt: now, UpdatedAt: now}
	}
	a := w.get(t, analystID, "/cases")
	if n := len(a.class("case-row")); n != casesShown {
		t.Errorf("%d rows", n)
	}
	older := all(a.byID(t, "cases"), func(n *html.Node) bool { return text(n) == "Older cases" && n.Data == "a" })
	if len(older) != 1 || attr(older[0], "href") != "/cases?which=open&tenant=&before=14" {
		t.Errorf("older: %v", older[0].Attr)
	}
}

func TestLab(t *testing.T) {
	w := newWorld()
	a := w.get(t, uuid.Nil, "/lab").status(t, 200)
	want(t, "the page", text(a.doc), "Simulated. What this page shows was made by the lab", "printer-7 10.20.0.77",
		"unmanaged", "Fetched revision 18", "203.0.113.77", "curl -s http://127.0.0.1:7300/feeds/lab/ips.txt",
		"A printer takes orders at night Running", "Play : The same, in authorize", "Sign in as Grace Oduya")
	w.post(t, uuid.Nil, "/lab/play/authorize", nil).status(t, 303)
	if len(w.played) != 1 || w.played[0] != "authorize" {
		t.Errorf("played %v", w.played)
	}
	a = w.post(t, uuid.Nil, "/lab/signin/"+contactID.String(), nil).status(t, 303)
	if c := a.cookie("firebreak_session"); c == nil || c.Value != contactID.String() {
		t.Errorf("signed in with %v", c)
	}
	a = w.post(t, uuid.Nil, "/lab/signin/"+analystID.String(), nil).status(t, 403)
	if a.cookie("firebreak_session") != nil {
		t.Error("somebody real was signed in as")
	}
	d := w.deps()
	d.Lab = nil
	c, err := New(d)
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	c.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/lab", nil))
	if rec.Code != http.StatusNotFound || strings.Contains(rec.Body.String(), `href="/lab"`) {
		t.Errorf("without a lab there is one: %d", rec.Code)
	}
}

func TestWordsOfTime(t *testing.T) {
	for d, is := range map[time.Duration]string{0: "now", 4 * time.Second: "now", 5 * time.Second: "in 5 s",
		-119 * time.Second: "119 s ago", 2 * time.Minute: "in 2 min",
		-119 * time.Minute: "119 min ago", 2 * time.Hour: "in 2 h", 47*time.Hour + 59*time.Minute: "in 47 h",
		-48 * time.Hour: "2 days ago"} {
		if got := relative(d); got != is {
			t.Errorf("%s is %q", d, got)
		}
	}
	for d, is := range map[time.Duration]string{0: "0 s", time.Hour: "1 h", 90 * time.Minute: "1 h 30 min",
		24 * time.Hour: "1 day", 8 * 24 * time.Hour: "8 days", 61 * time.Second: "1 min 1 s"} {
		if got := durationWords(d); got != is {
			t.Errorf("%s is %q", d, got)
		}
	}
}

func TestEveryStateHasAWord(t *testing.T) {
	for _, s := range []threat.ResponseState{threat.ResponseProposed, threat.ResponseAsked, threat.ResponseActing,
		threat.ResponsePendingOffline, threat.ResponseVerified,
		threat.ResponseHeld, threat.ResponseReleased, threat.ResponseDenied, threat.ResponseExpired, threat.ResponseStale,
		threat.ResponseSuperseded, threat.ResponseFailed, threat.ResponseUnknown} {
		if w := responseWord(s); w.Word == "" || w.Text == "" || !w.Tone.known() {
			t.Errorf("%s: %+v", s, w)
		}
	}
	for _, m := range threat.Modes {
		if w := modeWord(m); w.Text == "It allows nothing." || consentWords(m, false, "x") == "" {
			t.Errorf("%s: %+v", m, w)
		}
	}
	for _, e := range threat.Ends {
		if strings.Contains(endWords(e), "not known") {
			t.Errorf("%s has no words", e)
		}
	}
	for _, s := range []threat.ContactState{threat.ContactNone, threat.ContactTrying, threat.ContactAcknowledged,
		threat.ContactUnreachable, threat.ContactUndeliverable, threat.ContactExhausted} {
		if w := contactWord(s); w.Text == "" {
			t.Errorf("%s has no words", s)
		}
	}
	if w := approversWords(threat.Approvers{}); !strings.HasPrefix(w, "nobody") {
		t.Errorf("an empty list of approvers is %q", w)
	}
}
