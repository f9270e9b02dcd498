package message

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	nethtml "golang.org/x/net/html"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

var night = time.Date(2026, 3, 2, 2, 12, 0, 0, time.UTC)

func in(d time.Duration) *time.Time { t := night.Add(d); return &t }

func facts() Facts {
	return Facts{
		Case: threat.Case{Number: 1042, Title: "Beaconing to a controller", Severity: threat.SeverityHigh, Threat: threat.ThreatActive,
			LastDetection: 3, OpenedAt: night.Add(-10 * time.Minute)},
		Tenant: threat.Organisation{Name: "Customer"},
		Person: threat.Person{Name: "Ada", Language: "en-GB", Zone: "Europe/Berlin"},
		Responses: []threat.Response{
			response(1, threat.ResponseHeld, func(r *threat.Response) { r.HoldUntil = in(4 * time.Hour) }),
			response(2, threat.ResponseAsked, nil)},
		Requests: []threat.Request{{State: threat.RequestOpen, ExpiresAt: night.Add(30 * time.Minute), Silence: "nothing is done if nobody answers",
			Body: threat.RequestBody{Kind: threat.RequestAct, Verb: verb.BlockDomain, Seconds: 14400, Connections: make([]uuid.UUID, 2),
				Targets: []threat.Target{{Kind: threat.TargetDomain, Value: "c2.evil.example"}}},
			Reasons: []string{"the response mode is collaborate"}}},
		Mode: threat.ModeCollaborate, AckLink: "https://firebreak.example/ack/SECRET", CaseLink: "https://firebreak.example/cases/FB-1042",
		Now: night,
	}
}

func response(n int64, state threat.ResponseState, edit func(*threat.Response)) threat.Response {
	r := threat.Response{Action: threat.Action{Verb: verb.BlockIP, Target: threat.Target{Kind: threat.TargetIP, Value: "203.0.113.9"}}, Number: n, State: state}
	if edit != nil {
		edit(&r)
	}
	return r
}

const wantText = `Hello Ada,

What happened
Case FB-1042 of Customer: Beaconing to a controller.
Severity: High.
The threat is active.
3 detections, the first at 2026-03-02 03:02 CET (02:02 UTC).

What we did
In force until 2026-03-02 07:12 CET (06:12 UTC), confirmed by the device: block the address 203.0.113.9.

What we ask you
May we block the domain c2[.]evil[.]example, for 4 h, on 2 devices? Answer until 2026-03-02 03:42 CET (02:42 UTC).
Why: the response mode is collaborate.

If nobody answers
Nothing is done if nobody answers.
We go on to the next contact until somebody acknowledges.

Tell us that you are on it
Acknowledging tells us that you are on it, and stops the calls for a while. It allows nothing.
https://firebreak.example/ack/SECRET

Look and decide
On the case's page you see everything, and decide what is asked.
https://firebreak.example/cases/FB-1042
`

func TestAttempt(t *testing.T) {
	m := Attempt(facts())
	require.Equal(t, "[FB-1042] High: Beaconing to a controller (Customer)", m.Subject)
	require.Equal(t, wantText, m.Text)
	require.Equal(t, facts().AckLink, m.Link)
	require.Equal(t, threat.SeverityHigh, m.Severity)
	// The HTML says the same, line for line.
	page := html.UnescapeString(m.HTML)
	for _, line := range strings.Split(wantText, "\n") {
		require.Contains(t, page, line)
	}
	require.Equal(t, []string{facts().AckLink, facts().CaseLink}, hrefs(t, m.HTML))
	require.Equal(t, m, Attempt(facts()), "the same facts give the same message")
}

func TestWhatIsToldOfAResponse(t *testing.T) {
	for state, want := range map[threat.ResponseState]string{
		threat.ResponseProposed:       "Being decided",
		threat.ResponseStale:          "Being decided",
		threat.ResponseActing:         "not confirmed yet",
		threat.ResponseUnknown:        "has not confirmed it",
		threat.ResponsePendingOffline: "until the device can be reached",
		threat.ResponseVerified:       "In force, confirmed by the device",
		threat.ResponseHeld:           "In force, confirmed by the device",
		threat.ResponseReleased:       "Released again",
		threat.ResponseExpired:        "nobody answered in time",
		threat.ResponseFailed:         "Could not be done: block the address 203.0.113.9. Why: no connection.",
		threat.ResponseDenied:         "Not done",
		threat.ResponseSuperseded:     "",
		threat.ResponseAsked:          "",
	} {
		f := facts()
		f.Requests = nil
		f.Responses = []threat.Response{response(1, state, func(r *threat.Response) { r.Why = "no connection" })}
		m := Attempt(f)
		if want == "" {
			require.NotContains(t, m.Text, "203.0.113.9", state)
			continue
		}
		require.Contains(t, m.Text, want, state)
		if strings.Contains(strings.ToLower(m.Text), "in force") {
			require.True(t, state == threat.ResponseVerified || state == threat.ResponseHeld, "%s is called in force", state)
		}
	}
}

func TestModes(t *testing.T) {
	for mode, want := range map[threat.Mode]string{
		threat.ModeNotify:                 "Nothing is done by us",
		threat.ModeCollaborate:            "without the consent",
		threat.ModeCollaborateUnreachable: "we act as you agreed",
		threat.ModeAuthorize:              "We act without waiting",
		"":                                "Nothing is done by us",
	} {
		f := facts()
		f.Mode, f.Requests = mode, nil
		require.Contains(t, Attempt(f).Text, want)
	}
	f := facts()
	f.Mode, f.Requests = threat.ModeNotify, nil
	f.Responses = []threat.Response{response(1, threat.ResponseDenied, nil)}
	m := Attempt(f)
	require.Contains(t, m.Text, "We recommend to block the address 203.0.113.9.")
	require.NotContains(t, m.Text, "What we did")
	f.Case.Simulated = true
	m = Attempt(f)
	require.True(t, strings.HasPrefix(m.Subject, "[SIMULATED] [FB-1042]"))
	require.Contains(t, m.Text, "Nothing real is under attack.")
}

func TestTimes(t *testing.T) {
	for zone, want := range map[string]string{
		"Europe/Berlin":       "2026-03-02 03:12 CET (02:12 UTC)",
		"America/Los_Angeles": "2026-03-01 18:12 PST (2026-03-02 02:12 UTC)",
		"Asia/Kolkata":        "2026-03-02 07:42 IST (02:12 UTC)",
		"UTC":                 "2026-03-02 02:12 UTC",
		"":                    "2026-03-02 02:12 UTC",
		"Local":               "2026-03-02 02:12 UTC",
		"../../etc/passwd":    "2026-03-02 02:12 UTC",
	} {
		w := newWriter(Facts{Person: threat.Person{Zone: zone}})
		require.Equal(t, want, w.at(night), zone)
	}
	for d, want := range map[time.Duration]string{4 * time.Hour: "4 h", 90 * time.Minute: "1 h 30 min", 26 * time.Hour: "1 d 2 h", 45 * time.Second: "45 s", 0: "0 s"} {
		require.Equal(t, want, span(d))
	}
}

func TestRequestsThatAreOverAreNotAsked(t *testing.T) {
	f := facts()
	f.Now = night.Add(time.Hour)
	require.NotContains(t, Attempt(f).Text, "May we")
	f = facts()
	f.Requests[0].State = threat.RequestSuperseded
	require.NotContains(t, Attempt(f).Text, "May we")
	f = facts()
	f.Requests[0].Body.Kind = threat.RequestEnd
	require.Contains(t, Attempt(f).Text, "Shall it be released")
}

func TestResolve(t *testing.T) {
	f := facts()
	f.Case.AckBy, f.Case.AckUntil = "Ben", in(time.Hour)
	m := Resolve(f)
	require.Contains(t, m.Subject, "No answer needed")
	require.Contains(t, m.Text, "Ben acknowledged FB-1042")
	require.NotContains(t, m.Text+m.HTML, "SECRET")
	require.Equal(t, f.CaseLink, m.Link)
	f.Case.AckBy = "person:5f3c"
	require.Contains(t, Resolve(f).Text, "Somebody acknowledged")
	f.Case.ClosedAt, f.Case.CloseReason = in(0), "it was a test of ours"
	require.Contains(t, Resolve(f).Text, "Why: it was a test of ours.")
	f = facts()
	require.Contains(t, Resolve(f).Text, "The calls about FB-1042 are over.")
}

// hrefs gives where a page's links lead.
func hrefs(t *testing.T, page string) []string {
	t.Helper()
	doc, err := nethtml.Parse(strings.NewReader(page))
	require.NoError(t, err)
	var out []string
	for n := range doc.Descendants() {
		for _, a := range n.Attr {
			if a.Key == "href" || a.Key == "src" {
				out = append(out, a.Val)
			}
		}
	}
	return out
}

// TestHostileNamesAreInert puts what an attacker would like into every field that they may have chosen.
func TestHostileNamesAreInert(t *testing.T) {
	for _, evil := range []string{
		"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "</title><h1>x</h1>", "{{.CaseLink}}", "{until}{why}", "x\r\nBcc: all@evil.example",
		"click https://evil.example/ack", "www.evil.example", "mail admin@evil.example", "\u202egnp.exe", "a\x00b\x1b[31m", "evil\u3002example", "javascript:alert(1)",
		"FB-1\n\nWhat we ask you\nPay here", strings.Repeat("A", 10_000), "http:\\\\evil.example", "\xff\xfe",
	} {
		f := facts()
		f.Case.Title, f.Tenant.Name, f.Person.Name = evil, evil, evil
		f.Case.AckBy, f.Case.AckUntil, f.Case.CloseReason = evil, in(time.Hour), evil
		f.Responses = append(f.Responses, response(3, threat.ResponseFailed, func(r *threat.Response) { r.Why, r.Target.Value, r.Verb = evil, evil, evil }))
		f.Requests[0].Silence, f.Requests[0].Reasons, f.Requests[0].Body.Targets[0].Value = evil, []string{evil}, evil
		for _, write := range []func(Facts) Message{Attempt, Resolve} {
			m := write(f)
			require.NotContains(t, m.Subject, "\n")
			require.NotContains(t, m.Subject, "\r")
			require.Less(t, len(m.Subject), 1200)
			for _, part := range []string{m.Subject, m.Text, m.HTML} {
				require.True(t, strings.ToValidUTF8(part, "") == part)
				for _, r := range part {
					require.False(t, r < ' ' && r != '\n', "%q in %q", r, evil)
					require.NotEqual(t, '\u202e', r)
				}
				rest := strings.NewReplacer(f.AckLink, "", f.CaseLink, "").Replace(html.UnescapeString(part))
				require.NotRegexp(t, `(?i)[a-z0-9][.。](evil|example|com)|evil[.。]|[a-z]+:(//|\\\\)|[^[]@`, rest, evil)
			}
			doc, err := nethtml.Parse(strings.NewReader(m.HTML))
			require.NoError(t, err)
			for n := range doc.Descendants() {
				if n.Type == nethtml.ElementNode {
					require.Contains(t, []string{"html", "head", "meta", "title", "body", "h2", "p", "a"}, n.Data, evil)
				}
			}
			for _, to := range hrefs(t, m.HTML) {
				require.Contains(t, []string{f.AckLink, f.CaseLink}, to)
			}
			require.Equal(t, headings(write(facts()).Text), headings(m.Text), "a name made a part of its own")
		}
	}
}

// headings are the lines of a text that are headings of the catalogue.
func headings(text string) []string {
	var out []string
	for _, line := range strings.Split(text, "\n") {
		for k, v := range english {
			if strings.HasPrefix(string(k), "head.") && v == line {
				out = append(out, line)
			}
		}
	}
	return out
}

func TestManyOfEverything(t *testing.T) {
	f := facts()
	f.Responses = nil
	for i := range int64(500) {
		f.Responses = append(f.Responses, response(i, threat.ResponseFailed, nil))
	}
	f.Requests[0].Body.Targets = slices.Repeat(f.Requests[0].Body.Targets, 300)
	m := Attempt(f)
	require.Less(t, len(m.Text), 8_000)
	require.Contains(t, m.Text, "and 488 more")
	require.Contains(t, m.Text, "and 295 more")
}

var placeName = regexp.MustCompile(`\{[a-z]+\}`)

// TestEveryLanguageIsWhole holds that no language lacks a sentence, has one too many, or lacks a place in one.
func TestEveryLanguageIsWhole(t *testing.T) {
	want := map[key]bool{}
	for _, name := range declared(t) {
		want[key(name)] = true
	}
	for _, v := range verb.Names() {
		want[verbKey(v)] = true
	}
	for s := threat.SeverityUnknown; s <= threat.SeverityFatal; s++ {
		want[severityKey(s)] = true
	}
	for _, k := range threatKeys {
		want[k] = true
	}
	for _, m := range threat.Modes {
		want[modeKey(m)], want[meansKey(m)] = true, true
	}
	for language, words := range catalogues {
		for k := range want {
			if words[k] == "" {
				t.Errorf("%s lacks %s", language, k)
			}
		}
		for k := range words {
			if !want[k] {
				t.Errorf("%s has %s, which nobody says", language, k)
			}
			have, wanted := placeName.FindAllString(words[k], -1), placeName.FindAllString(english[k], -1)
			slices.Sort(have)
			slices.Sort(wanted)
			if !slices.Equal(have, wanted) {
				t.Errorf("%s: %s has the places %v, want %v", language, k, have, wanted)
			}
		}
	}
	for _, m := range threat.Modes {
		require.NotEmpty(t, silenceKeys[m])
	}
}

// TestNoPlaceIsLeftOpen looks for a place that was not filled in.
func TestNoPlaceIsLeftOpen(t *testing.T) {
	f := facts()
	for state := range doneKeys {
		f.Responses = append(f.Responses, response(9, state, nil))
	}
	for _, m := range []Message{Attempt(f), Resolve(f)} {
		require.NotRegexp(t, placeName, m.Subject+m.Text)
	}
}

// declared reads the constants of type key from the sources.
func declared(t *testing.T) []string {
	t.Helper()
	var out []string
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, name := range files {
		src, err := os.ReadFile(name)
		require.NoError(t, err)
		file, err := parser.ParseFile(token.NewFileSet(), name, src, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.ValueSpec)
			if !ok || fmt.Sprint(s.Type) != "key" {
				return true
			}
			for _, v := range s.Values {
				text, err := strconv.Unquote(v.(*ast.BasicLit).Value)
				require.NoError(t, err)
				out = append(out, text)
			}
			return true
		})
	}
	require.Greater(t, len(out), 40)
	return out
}
