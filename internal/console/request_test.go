package console

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/net/html"

	"github.com/firebreak/firebreak/internal/threat"
)

func requestPath(id uuid.UUID) string { return "/requests/" + id.String() }

func TestRequestShowsAllThatOneDecidesOn(t *testing.T) {
	w := newWorld()
	a := w.get(t, contactID, requestPath(requestID1)).status(t, 200)
	page := text(a.doc)
	want(t, "the page", page,
		"Block an address 203.0.113.77", "direction: both", "printer-7", "asset "+printerID.String(), "edge list (feed)",
		"core router (nftables)",
		"Until 4 h after it is in force; approved now, that is about 2026-03-14 07:10:00 UTC",
		"released if the threat is contained or resolved",
		"Our entry is removed from the list or set", "Entries end by their own time-out on the device or in the list.",
		"The device's own list is read",
		"Nothing is done if nobody answers within 30 minutes.", "ET CNC Known CnC server group 12", "T1071",
		"1 more detection of the case", "On the customer's side: 10.20.0.77",
		"The customer's response mode is collaborate", "Collaborate acts on a contact's consent only respond.ask.collaborate",
		"It takes an authorised contact, but not whoever asked for it.", "Contacts who may: Grace Oduya (simulated).",
		"Closes 2026-03-14 03:31:00 UTC in 21 min",
		"Approve for 4 h", "Deny: do not do it", "Ask for more", "As asked: 4 h 2 h", "Approve the narrower action")
	wantNot(t, "the evidence", strings.Join(a.class("evidence"), " "), "Horizontal scan")
	hidden := all(a.doc, func(n *html.Node) bool { return attr(n, "name") == "digest" })
	if len(hidden) != 1 || attr(hidden[0], "value") != digest {
		t.Error("the form does not carry what was shown")
	}
	if n := a.byID(t, "ask"); !strings.Contains(attr(n, "data-keep"), digest) {
		t.Error("a changed question would not replace this one")
	}
}

func TestRequestsThatOneMayNotDecideHaveNoButtons(t *testing.T) {
	w := newWorld()
	for who, why := range map[uuid.UUID]string{analystID: "it takes an authorised contact",
		secondID: "may not authorise this kind of action", auditorID: "only reads"} {
		a := w.get(t, who, requestPath(requestID1)).status(t, 200)
		want(t, "the page", text(a.doc), "This is not yours to decide", why)
		if len(all(a.doc, func(n *html.Node) bool { return attr(n, "name") == "verdict" })) != 0 {
			t.Errorf("buttons for who may not: %s", why)
		}
	}
	w.get(t, contactID, requestPath(eastRequestID)).status(t, 404)
	w.get(t, contactID, requestPath(uuid.New())).status(t, 404)
	w.get(t, contactID, "/requests/x").status(t, 404)
}

func TestEndRequestSaysWhatYesAndNoMean(t *testing.T) {
	w := newWorld()
	page := text(w.get(t, analystID, requestPath(endRequestID)).doc)
	want(t, "the page", page, "Its time is up: Block an address 203.0.113.77", "Release it now", "Keep it for another 4 h",
		"Held since 2026-03-14 02:56:00 UTC", "Ilse Brandt approved", "1 of 2 approvals")
	wantNot(t, "the page", page, "Approve something narrower")
}

func TestAnAcceptedVerdictGoesToTheDoorOnceAndIsSaid(t *testing.T) {
	w := newWorld()
	w.answer = threat.ClickAnswer{Accepted: true, State: threat.RequestApproved, Have: 1, Need: 1,
		Text: "your approval counts"}
	a := w.post(t, contactID, requestPath(requestID1)+"/verdict",
		url.Values{"verdict": {"approve"}, "digest": {digest}, "preset": {"Confirmed with the customer"},
			"reason": {" by phone "}}).status(t, 303)
	if len(w.clicks) != 1 {
		t.Fatalf("%d clicks", len(w.clicks))
	}
	c := w.clicks[0]
	if c.RequestID != requestID1 || c.Verdict != threat.VerdictApprove || c.Digest != digest ||
		c.Reason != "Confirmed with the customer: by phone" || c.Narrower != nil ||
		c.Caller.PersonID.UUID != contactID || c.Caller.Surface != "console" {
		t.Errorf("the click: %+v", c)
	}
	b := w.get(t, contactID, a.Header().Get("Location"), a.cookie("firebreak_said"))
	want(t, "the page after", strings.Join(b.class("notice"), " "), "Approved: it is being done", "Your approval counts.")
}

func TestVerdictsInWords(t *testing.T) {
	for name, c := range map[string]struct {
		verdict threat.VerdictKind
		answer  threat.ClickAnswer
		request uuid.UUID
		says    string
	}{
		"deny": {threat.VerdictDeny, threat.ClickAnswer{State: threat.RequestDenied}, requestID1,
			"You denied it: it is not done"},
		"keep": {threat.VerdictDeny, threat.ClickAnswer{State: threat.RequestDenied}, endRequestID,
			"You decided to keep it"},
		"release": {threat.VerdictApprove, threat.ClickAnswer{State: threat.RequestApproved, Have: 2, Need: 2}, endRequestID,
			"Approved: it is being released"},
		"not yet": {threat.VerdictApprove, threat.ClickAnswer{State: threat.RequestOpen, Have: 1, Need: 2}, requestID1,
			"Your approval counts: 1 of 2"},
		"more": {threat.VerdictMore, threat.ClickAnswer{State: threat.RequestOpen}, requestID1, "Your question is kept"},
		"narrow": {threat.VerdictNarrow, threat.ClickAnswer{State: threat.RequestApproved, Have: 1, Need: 1,
			Next: valid(endRequestID)}, requestID1, "Approved, narrower: it is being done"},
		"narrow, 2": {threat.VerdictNarrow, threat.ClickAnswer{State: threat.RequestOpen, Have: 1, Need: 2,
			Next: valid(endRequestID)}, requestID1, "Your approval counts: 1 of 2"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.answer = c.answer
			w.answer.Accepted = true
			a := w.post(t, contactID, requestPath(c.request)+"/verdict",
				url.Values{"verdict": {string(c.verdict)}, "digest": {digest}, "reason": {"why is that"},
					"seconds": {"3600"}, "connection": {feedID.String(), nftID.String()}}).status(t, 303)
			to := c.request
			if c.answer.Next.Valid {
				to = c.answer.Next.UUID
			}
			if a.Header().Get("Location") != requestPath(to) {
				t.Errorf("sent to %s", a.Header().Get("Location"))
			}
			want(t, "it", strings.Join(w.get(t, contactID, requestPath(to), a.cookie("firebreak_said")).class("notice"), " "),
				c.says)
		})
	}
}

func TestEveryRefusalIsSaidWithItsStatus(t *testing.T) {
	for refusal, code := range map[threat.Refusal]int{threat.RefusedUnknown: 404, threat.RefusedNotAPerson: 403,
		threat.RefusedWrongPerson: 403, threat.RefusedSelf: 403,
		threat.RefusedSubject: 403, threat.RefusedTwice: 409, threat.RefusedDecided: 409, threat.RefusedExpired: 410,
		threat.RefusedChanged: 409, threat.RefusedSuperseded: 409,
		threat.RefusedNotNarrower: 409, threat.RefusedPolicy: 403, threat.RefusedStopped: 409, threat.RefusedStale: 409} {
		t.Run(string(refusal), func(t *testing.T) {
			w := newWorld()
			w.answer = threat.ClickAnswer{Refusal: refusal, Text: "told by the door"}
			a := w.post(t, contactID, requestPath(requestID1)+"/verdict",
				url.Values{"verdict": {"approve"}, "digest": {"another"}, "reason": {"typed words"}}).status(t, code)
			sound(t, a)
			if refusal == threat.RefusedUnknown {
				return
			}
			says := strings.Join(a.class("notice"), " ")
			want(t, "the refusal", says, refusalTitle(refusal), "Told by the door.")
			if refusalTitle(refusal) == "Not counted" {
				t.Error("the refusal has no title of its own")
			}
			want(t, "the form", a.section(t, "reason"), "typed words")
			if w.clicks[0].Digest != "another" {
				t.Error("the digest of what was shown was not handed on")
			}
		})
	}
}

func TestNarrowing(t *testing.T) {
	w := newWorld()
	w.answer = threat.ClickAnswer{Accepted: true, State: threat.RequestApproved, Have: 1, Need: 1}
	both := []string{feedID.String(), nftID.String()}
	for name, c := range map[string]struct {
		form url.Values
		code int
		want threat.Narrowing
	}{
		"shorter": {url.Values{"seconds": {"3600"}, "connection": both}, 303, threat.Narrowing{Seconds: 3600}},
		"fewer devices": {url.Values{"seconds": {"0"}, "connection": {nftID.String()}}, 303,
			threat.Narrowing{Connections: []uuid.UUID{nftID}}},
		"both": {url.Values{"seconds": {"60"}, "connection": {feedID.String()}}, 303,
			threat.Narrowing{Seconds: 60, Connections: []uuid.UUID{feedID}}},
		"as wide":          {url.Values{"seconds": {"0"}, "connection": both}, 422, threat.Narrowing{}},
		"no device":        {url.Values{"seconds": {"60"}}, 422, threat.Narrowing{}},
		"a strange device": {url.Values{"seconds": {"60"}, "connection": {mailID.String()}}, 422, threat.Narrowing{}},
		"longer":           {url.Values{"seconds": {"99999"}, "connection": both}, 422, threat.Narrowing{}},
		"below zero":       {url.Values{"seconds": {"-5"}, "connection": both}, 422, threat.Narrowing{}},
		"not a number":     {url.Values{"seconds": {"1h"}, "connection": both}, 422, threat.Narrowing{}},
		"one device, twice": {url.Values{"seconds": {"0"}, "connection": {feedID.String(), feedID.String()}}, 303,
			threat.Narrowing{Connections: []uuid.UUID{feedID}}},
	} {
		t.Run(name, func(t *testing.T) {
			w.clicks = nil
			c.form["verdict"], c.form["digest"] = []string{"narrow"}, []string{digest}
			a := w.post(t, contactID, requestPath(requestID1)+"/verdict", c.form).status(t, c.code)
			if c.code == 422 {
				want(t, "the page", strings.Join(a.class("notice"), " "), "Nothing was decided")
				if len(w.clicks) != 0 {
					t.Error("it went to the door")
				}
				return
			}
			n := w.clicks[0].Narrower
			if n == nil || n.Seconds != c.want.Seconds || len(n.Connections) != len(c.want.Connections) ||
				len(n.Connections) > 0 && n.Connections[0] != c.want.Connections[0] {
				t.Errorf("narrowed to %+v", n)
			}
		})
	}
}

func TestBadVerdicts(t *testing.T) {
	w := newWorld()
	for name, form := range map[string]url.Values{"none": {}, "unknown": {"verdict": {"maybe"}},
		"more without a question": {"verdict": {"more"}, "preset": {"A planned test"}},
		"too long":                {"verdict": {"deny"}, "reason": {strings.Repeat("x", maxReason+1)}}} {
		a := w.post(t, contactID, requestPath(requestID1)+"/verdict", form).status(t, 422)
		want(t, name, strings.Join(a.class("notice"), " "), "Nothing was decided")
	}
	if len(w.clicks) != 0 {
		t.Errorf("%d clicks went to the door", len(w.clicks))
	}
	w.post(t, contactID, requestPath(eastRequestID)+"/verdict", url.Values{"verdict": {"deny"}}).status(t, 404)
	if a := w.get(t, contactID, requestPath(requestID1)+"/verdict").status(t,
		303); a.Header().Get("Location") != requestPath(requestID1) {
		t.Error("a reload of a refused click leads nowhere")
	}
}
