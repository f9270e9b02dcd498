package console

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

func TestQueueTellsWhatIsMineAndWhatIsNot(t *testing.T) {
	w := newWorld()
	a := w.get(t, contactID, "/").status(t, 200)
	want(t, "mine", a.section(t, "mine"), "Block an address 203.0.113.77", "FB-1042",
		"Closes 2026-03-14 03:31:00 UTC in 21 min", "0 of 1 approval",
		"You may decide, as authorised contact", "Its time is up", "1 of 2 approvals")
	cases := a.section(t, "cases")
	want(t, "cases", cases, "FB-1042", "Active", "Acknowledged until 2026-03-14 03:51:00 UTC", "2 requests", "FB-1037",
		"Simulated")
	if strings.Index(cases, "FB-1042") > strings.Index(cases, "FB-1037") {
		t.Error("the critical case does not stand first")
	}
	wantNot(t, "another customer's page", a.Body.String(), "Eastgate", "FB-1041", "fresh-cert")

	a = w.get(t, analystID, "/")
	want(t, "an analyst's own", a.section(t, "mine"), "fresh-cert.example", "You may decide, as analyst", "Its time is up")
	want(t, "an analyst's others", a.section(t, "others"),
		"Not yours: it takes an authorised contact, but not whoever asked for it")

	a = w.get(t, secondID, "/")
	want(t, "a contact without the verb", a.section(t, "others"),
		"you are a contact here, but may not authorise this kind of action", "you have approved already")
	a = w.get(t, auditorID, "/")
	want(t, "an auditor", a.section(t, "others"), "your role here only reads")
}

func TestQueueWhoAskedMayNotDecide(t *testing.T) {
	w := newWorld()
	r := w.requests[requestID1]
	r.AskedBy = "person:" + contactID.String()
	w.requests[requestID1] = r
	want(t, "others", w.get(t, contactID, "/").section(t, "others"),
		"you asked for it yourself, and a second person is needed")
}

func TestQueueBanners(t *testing.T) {
	w := newWorld()
	w.alarms = []Alarm{{At: ago(time.Minute), What: "no message could be sent"}}
	w.policy.Stale, w.policy.ErrorAt = true, now
	w.stops[rootID] = Stop{On: true, Why: "drill", By: "person:" + adminID.String()}
	a := w.get(t, analystID, "/")
	want(t, "banners", a.section(t, "banners"), "Stopped: Nightwatch", "for 2 tenants", "Sam Okafor wrote: “drill”",
		"2 alarms", "No message could be sent.", "New policy rules could not be taken")
	a = w.get(t, contactID, "/")
	want(t, "a contact's banners", a.section(t, "banners"), "Stopped: Nightwatch")
	wantNot(t, "a contact's banners", a.section(t, "banners"), "alarm", "policy rules")
}

func TestQueueTellsOfAChangeOfModeByAnother(t *testing.T) {
	w := newWorld()
	w.consents[northID] = append(w.consents[northID], threat.Consent{TenantID: northID, Version: 4, Mode: threat.ModeAuthorize,
		Eradicate: true, GivenBy: adminID, At: ago(time.Hour)})
	want(t, "banners", w.get(t, contactID, "/").section(t, "banners"), "The response mode of", "is now Authorize",
		"Sam Okafor consented to it", "What cannot be undone")
	wantNot(t, "an analyst's banners", w.get(t, analystID, "/").section(t, "banners"), "is now Authorize")
	c := &w.consents[northID][len(w.consents[northID])-1]
	c.GivenBy = contactID
	wantNot(t, "their own", w.get(t, contactID, "/").section(t, "banners"), "is now Authorize")
	c.GivenBy, c.At = adminID, ago(newsFor+time.Minute)
	wantNot(t, "an old one", w.get(t, contactID, "/").section(t, "banners"), "is now Authorize")
}

func TestASubjectOfACaseDoesNotSeeIt(t *testing.T) {
	w := newWorld()
	w.subjects[contactID] = caseID
	a := w.get(t, contactID, "/")
	wantNot(t, "the queue", a.Body.String(), "FB-1042", "203.0.113.77")
	w.get(t, contactID, "/cases/FB-1042").status(t, 404)
	w.get(t, contactID, "/requests/"+requestID1.String()).status(t, 404)
	w.post(t, contactID, "/requests/"+requestID1.String()+"/verdict",
		url.Values{"verdict": {"approve"}, "digest": {digest}}).status(t, 404)
	w.post(t, contactID, "/responses/"+heldID.String()+"/release", url.Values{"why": {"x"}}).status(t, 404)
	if len(w.clicks)+len(w.released) > 0 {
		t.Error("the door was asked for a subject of the case")
	}
	for _, path := range []string{"/tenants/northwind/stop", "/tenants/northwind/mode?mode=authorize"} {
		wantNot(t, path, w.get(t, contactID, path).status(t, 200).Body.String(), "FB-1042", "203.0.113.77")
	}
	w.get(t, uuid.Nil, "/ack/ack-grace").status(t, 404)
	w.subjects[analystID] = caseID
	w.get(t, analystID, "/cases/FB-1042").status(t, 200)
}

func TestNobodyIsSentToSignIn(t *testing.T) {
	w := newWorld()
	a := w.get(t, uuid.Nil, "/requests/"+requestID1.String()).status(t, 303)
	next := a.cookie("firebreak_next")
	if a.Header().Get("Location") != "/signin" || next == nil || next.Path != "/signin" || !next.HttpOnly {
		t.Fatalf("sent to %s with %v", a.Header().Get("Location"), next)
	}
	a = w.post(t, uuid.Nil, "/signin/signin-grace", nil, next).status(t, 303)
	if l := a.Header().Get("Location"); l != "/requests/"+requestID1.String() {
		t.Errorf("back at %s", l)
	}
	w.post(t, uuid.Nil, "/cases/FB-1042/notes", url.Values{"text": {"x"}}).status(t, 401)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-Fragment", "main")
	w.send(t, uuid.Nil, r).status(t, 401)
	r = httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer fbt_x")
	a = w.send(t, uuid.Nil, r).status(t, 403)
	want(t, "a token's page", text(a.doc), "The console is for people, and a token is none.")
}

func TestSignInByLink(t *testing.T) {
	w := newWorld()
	a := w.get(t, uuid.Nil, "/signin/signin-grace").status(t, 200)
	want(t, "the link's page", text(a.doc), "This link signs in Grace Oduya (simulated)")
	if w.secrets["signin-grace"].UsedAt != nil || a.cookie("firebreak_session") != nil {
		t.Fatal("opening the link used it")
	}
	a = w.post(t, uuid.Nil, "/signin/signin-grace", nil).status(t, 303)
	if c := a.cookie("firebreak_session"); c == nil || c.Value != contactID.String() || a.Header().Get("Location") != "/" {
		t.Fatalf("signed in with %v, sent to %s", c, a.Header().Get("Location"))
	}
	w.post(t, uuid.Nil, "/signin/signin-grace", nil).status(t, 409)
	w.get(t, uuid.Nil, "/signin/ack-grace").status(t, 404)
	w.get(t, uuid.Nil, "/signin/nothing").status(t, 404)
	w.secrets["other"] = threat.Link{PersonID: contactID, Purpose: threat.LinkSignIn, ExpiresAt: now}
	w.get(t, analystID, "/signin/other").status(t, 403)
	a = w.post(t, contactID, "/signout", nil).status(t, 303)
	if len(w.ended) != 1 || a.cookie("firebreak_session").MaxAge >= 0 {
		t.Error("the session goes on")
	}
}

func TestOnlyLocalPathsAreComeBackTo(t *testing.T) {
	for path, is := range map[string]string{"/cases/FB-1": "/cases/FB-1", "//evil.example": "/", "https://evil.example": "/",
		"": "/", "/\\evil.example": "/", "/a\r\nb": "/"} {
		if got := local(path); got != is {
			t.Errorf("%q leads to %q", path, got)
		}
	}
}

func TestAcknowledgeByLink(t *testing.T) {
	w := newWorld()
	a := w.get(t, uuid.Nil, "/ack/ack-grace").status(t, 200)
	want(t, "the page", text(a.doc), "FB-1042", "Critical", "It authorises nothing", "acknowledge as Grace Oduya")
	if len(w.acked) != 0 || w.secrets["ack-grace"].UsedAt != nil {
		t.Fatal("opening the link acknowledged")
	}
	a = w.post(t, uuid.Nil, "/ack/ack-grace", nil).status(t, 200)
	want(t, "the answer", text(a.doc), "Acknowledged: FB-1042", "It holds until 2026-03-14 03:51:00 UTC")
	if len(w.acked) != 1 || w.acked[0] != contactID {
		t.Errorf("acknowledged: %v", w.acked)
	}
	sound(t, a)
	w.get(t, uuid.Nil, "/ack/ack-grace").status(t, 409)
	w.get(t, uuid.Nil, "/ack/signin-grace").status(t, 404)
}

func TestCaseByEveryName(t *testing.T) {
	w := newWorld()
	for name, code := range map[string]int{"FB-1042": 200, "fb-1042": 200, "1042": 200, caseID.String(): 200, "FB-1041": 404,
		"FB-9": 404, "FB--1": 404, "x": 404, "FB-": 404} {
		if a := w.get(t, contactID, "/cases/"+name); a.Code != code {
			t.Errorf("%s: %d", name, a.Code)
		}
	}
}

func TestCaseTellsPublishedAndEnforcedApart(t *testing.T) {
	w := newWorld()
	a := w.get(t, contactID, "/cases/FB-1042").status(t, 200)
	want(t, "the head", a.section(t, "head"), "FB-1042 Unmanaged device", "Critical", "Active",
		"By Grace Oduya, until 2026-03-14 03:51:00 UTC in 41 min", "response mode: Collaborate")
	r := a.section(t, "responses")
	want(t, "responses", r, "Block an address 203.0.113.77", "Partly in force", "1 of 2 devices enforce it",
		"edge list feed Published, not enforced yet", "core router nftables Enforced verified 2026-03-14 03:08:00 UTC",
		"Until 2026-03-14 06:56:00 UTC in 3 h", "an approval",
		"Collaborate acts on a contact's consent only respond.ask.collaborate", "printer-7", "asset "+printerID.String(),
		"Failed", "The table could not be written: permission denied.")
	tl := a.section(t, "timeline")
	want(t, "timeline", tl, "Adversary printer-7 spoke to 203.0.113.77", "T1071", "Detection A host scans",
		"Action Block an address", "Notable A click was refused", "by Ilse Brandt")
	want(t, "detections", a.section(t, "detections"), "ET CNC Known CnC server group 12", "ip 203.0.113.77 the attacker's",
		`"event_type": "alert"`, `"class_uid": 2004`, "Repeats an earlier detection")
	want(t, "decisions", a.section(t, "decisions"), "May this be done? response 1: block an address 203.0.113.77",
		"Collaborate acts on a contact's consent only", "No answer", `"effect": "ask"`)
	want(t, "people", a.section(t, "people"), "Escalation 1: acknowledged", "Grace Oduya (simulated) over smtp",
		"Accepted by the provider", "Seen 2026-03-14 02:50:00 UTC", "pagerduty (rings)", "the routing key is not known",
		"Not sent")
	if len(all(a.doc, tag("details"))) < 8 {
		t.Error("evidence cannot be opened")
	}
}

func TestCaseOffersOnlyWhatTheReaderMay(t *testing.T) {
	w := newWorld()
	contact := w.get(t, contactID, "/cases/FB-1042")
	want(t, "a contact's page", text(contact.doc), "acknowledge again", "Undo response 1", "Withdraw response 2",
		"Keep the note", "Close FB-1042")
	auditor := w.get(t, auditorID, "/cases/FB-1042")
	wantNot(t, "an auditor's page", text(auditor.doc), "acknowledge again", "Undo", "Withdraw", "Keep the note",
		"Close FB-1042…")
	analyst := w.get(t, analystID, "/cases/FB-1042")
	want(t, "an analyst's page", text(analyst.doc), "Only an authorised contact of this customer can acknowledge")
}

func TestWritesOnACase(t *testing.T) {
	w := newWorld()
	a := w.post(t, analystID, "/cases/FB-1042/notes", url.Values{"text": {"  the printer is unplugged \n"}}).status(t, 303)
	if len(w.notes) != 1 || w.notes[0] != "the printer is unplugged" || a.Header().Get("Location") != "/cases/FB-1042" {
		t.Errorf("notes %q, then %s", w.notes, a.Header().Get("Location"))
	}
	said := a.cookie("firebreak_said")
	b := w.get(t, analystID, "/cases/FB-1042", said)
	want(t, "the page after", strings.Join(b.class("notice"), " "), "The note is kept")
	if c := b.cookie("firebreak_said"); c == nil || c.MaxAge >= 0 {
		t.Error("it is said again and again")
	}
	w.post(t, analystID, "/cases/FB-1042/notes", url.Values{"text": {" "}}).status(t, 422)
	w.post(t, analystID, "/cases/FB-1042/notes", url.Values{"text": {strings.Repeat("é", 4001)}}).status(t, 422)
	w.post(t, analystID, "/cases/FB-1042/notes", url.Values{"text": {strings.Repeat("x", maxForm)}}).status(t, 413)
	w.post(t, auditorID, "/cases/FB-1042/notes", url.Values{"text": {"x"}}).status(t, 403)
	w.post(t, contactID, "/cases/FB-1041/notes", url.Values{"text": {"x"}}).status(t, 404)
	if len(w.notes) != 1 {
		t.Errorf("notes %q", w.notes)
	}
	w.post(t, contactID, "/cases/FB-1042/acknowledge", nil).status(t, 303)
	w.fault = threat.Faultf(threat.Forbidden, "only a contact acknowledges")
	w.post(t, analystID, "/cases/FB-1042/acknowledge", nil).status(t, 403)
	w.fault = nil
	w.post(t, analystID, "/cases/FB-1042/close", url.Values{"reason": {""}}).status(t, 422)
	w.post(t, analystID, "/cases/FB-1042/close", url.Values{"reason": {"false alarm"}}).status(t, 303)
	if c := w.cases[caseID]; c.CloseReason != "false alarm" || c.ClosedBy != "person:"+analystID.String() {
		t.Errorf("closed %+v", c)
	}
}

func TestUndoTakesAReasonAndTheDoor(t *testing.T) {
	w := newWorld()
	path := "/responses/" + heldID.String() + "/release"
	w.post(t, contactID, path, url.Values{"why": {""}}).status(t, 422)
	w.post(t, auditorID, path, url.Values{"why": {"x"}}).status(t, 403)
	w.post(t, contactID, "/responses/"+eastRespID.String()+"/release", url.Values{"why": {"x"}}).status(t, 404)
	if len(w.released) != 0 {
		t.Fatal("released without a reason or a right")
	}
	a := w.post(t, contactID, path, url.Values{"why": {"the shop cannot sell"}}).status(t, 303)
	if len(w.released) != 1 || a.Header().Get("Location") != "/cases/FB-1042" {
		t.Errorf("released %q", w.released)
	}
	w.fault = threat.Faultf(threat.Conflict, "it has ended")
	w.post(t, contactID, path, url.Values{"why": {"again"}}).status(t, 409)
}

func TestErrorsAreOnePage(t *testing.T) {
	w := newWorld()
	a := w.get(t, contactID, "/nothing").status(t, 404)
	want(t, "the page", text(a.doc), "There is nothing here", "There is no such page.",
		"name the request "+a.Header().Get("X-Request-Id"))
	w.fault = &threat.Fault{Kind: threat.Unavailable, What: "the disk is full", Next: "try again later",
		RetryAfter: 30 * time.Second, Err: threat.Faultf(threat.Internal, "secret-path")}
	a = w.post(t, contactID, "/cases/FB-1042/acknowledge", nil).status(t, 503)
	want(t, "the page", text(a.doc), "Firebreak cannot do that right now", "The disk is full.", "Try again later.")
	wantNot(t, "the page", a.Body.String(), "secret-path")
	if a.Header().Get("Retry-After") != "30" {
		t.Error("nobody is told when to try again")
	}
	for kind := range faultPages {
		w.fault = threat.Faultf(kind, "x")
		if a := w.post(t, contactID, "/cases/FB-1042/acknowledge", nil); a.Code != faultPages[kind].status {
			t.Errorf("%s gives %d", kind, a.Code)
		}
	}
	d := w.deps()
	d.StopOf = nil
	if _, err := New(d); err == nil {
		t.Error("a console without stops starts")
	}
}

func TestAPanicIsOnePagesOwn(t *testing.T) {
	w := newWorld()
	d := w.deps()
	d.Alarms = nil
	c, err := New(d)
	if err != nil {
		t.Fatal(err)
	}
	c.deps.Policy = nil
	r := httptest.NewRequest(http.MethodGet, "/policy", nil)
	r.AddCookie(as(analystID))
	rec := httptest.NewRecorder()
	c.ServeHTTP(rec, r)
	if rec.Code != 500 || !strings.Contains(rec.Body.String(), "A defect of ours.") {
		t.Errorf("%d: %s", rec.Code, rec.Body)
	}
}

func TestHeadersAndOtherSites(t *testing.T) {
	w := newWorld()
	for _, path := range []string{"/", "/static/console.css", "/nothing"} {
		a := w.get(t, contactID, path)
		for name, is := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": policyHeader} {
			if a.Header().Get(name) != is {
				t.Errorf("%s: %s is %q", path, name, a.Header().Get(name))
			}
		}
	}
	if c := w.get(t, contactID, "/").Header().Get("Cache-Control"); c != "no-store" {
		t.Errorf("pages are kept: %s", c)
	}
	form := url.Values{"verdict": {"approve"}, "digest": {digest}}
	r := httptest.NewRequest(http.MethodPost, "/requests/"+requestID1.String()+"/verdict", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w.send(t, contactID, r).status(t, 403)
	if len(w.clicks) != 0 {
		t.Error("another site's form reached the door")
	}
}

func TestStaticFiles(t *testing.T) {
	w := newWorld()
	page := w.get(t, contactID, "/").Body.String()
	for name, kind := range assetKinds {
		a := w.get(t, uuid.Nil, "/static/"+name).status(t, 200)
		if a.Header().Get("Content-Type") != kind || a.Body.Len() == 0 {
			t.Errorf("%s comes as %s", name, a.Header().Get("Content-Type"))
		}
		r := httptest.NewRequest(http.MethodGet, "/static/"+name, nil)
		r.Header.Set("If-None-Match", a.Header().Get("ETag"))
		w.send(t, uuid.Nil, r).status(t, 304)
		tagged := "/static/" + name + "?v=" + strings.Trim(a.Header().Get("ETag"), `"`)
		if strings.HasSuffix(name, ".svg") {
			continue
		}
		want(t, "a page", page, tagged)
		if c := w.get(t, uuid.Nil, tagged).Header().Get("Cache-Control"); !strings.Contains(c, "immutable") {
			t.Errorf("%s is not kept: %s", name, c)
		}
	}
	w.get(t, uuid.Nil, "/static/nothing.css").status(t, 404)
}

func TestAFragmentIsThePageWithoutItsFrame(t *testing.T) {
	w := newWorld()
	r := httptest.NewRequest(http.MethodGet, "/cases/FB-1042", nil)
	r.Header.Set("X-Fragment", "main")
	a := w.send(t, contactID, r).status(t, 200)
	wantNot(t, "the fragment", a.Body.String(), "<html", "<header", "Sign out")
	for _, id := range []string{"head", "waiting", "responses", "timeline", "detections", "decisions", "people"} {
		if n := a.byID(t, id); !has(n, "data-live") {
			t.Errorf("%s is not live", id)
		}
	}
	body := all(w.get(t, contactID, "/cases/FB-1042").doc, tag("body"))[0]
	if attr(body, "data-case") != caseID.String() {
		t.Error("the page listens to other cases")
	}
	want(t, "the events", attr(body, "data-events"), "request.opened", "effect.verified", "detection.assigned")
}
