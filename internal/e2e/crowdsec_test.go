//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

// service is what the attacker tries to get at.
const service = Victim4 + ":7777"

// line is a road between a sensor and Firebreak on which everything is counted and kept.
type line struct {
	*httptest.Server
	mu       sync.Mutex
	bodies   [][]byte
	statuses []int
}

// newLine forwards to an address below which sensors post.
func newLine(t *testing.T, to string) *line {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	l := &line{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	proxy.ModifyResponse = func(r *http.Response) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.statuses = append(l.statuses, r.StatusCode)
		return nil
	}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		l.mu.Lock()
		l.bodies = append(l.bodies, b)
		l.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(b))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(l.Close)
	return l
}

// posts gives what came along, and how it was answered.
func (l *line) posts() (bodies [][]byte, statuses []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.bodies), slices.Clone(l.statuses)
}

// siege is a customer whose victim is attacked: CrowdSec reads the victim's log, and the router is Firebreak's to tell.
type siege struct {
	Network
	*Customer
	server   *Server
	crowdSec *CrowdSec
	line     *line
	t        *testing.T
}

func newSiege(t *testing.T, s *Server, mode threat.Mode, block time.Duration) *siege {
	t.Helper()
	x := &siege{Network: NewNetwork(t), server: s, t: t}
	x.Victim.Echo(service)
	x.Customer = NewCustomer(s.SignIn(s.Link), "acme", mode, quick(block))
	router := x.Connect("nftables", "Router", map[string]string{"namespace": x.Router.Name})
	if err := x.Admin.TestConnection(t.Context(), "acme", router.ID); err != nil {
		t.Fatal(err)
	}
	x.line = newLine(t, s.URL)
	x.crowdSec = StartCrowdSec(t, x.line.URL+"/v1/tenants/acme/sensors/crowdsec", x.SensorToken)
	Eventually(t, 20*time.Second, "the attacker reaches the victim", x.flows)
	return x
}

func (x *siege) flows() bool { return x.Attacker.Reaches(service) }

// held reports whether the router's packet filter holds the attacker's address.
func (x *siege) held() bool {
	out, err := x.Router.Command(x.t.Context(), "nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		x.t.Fatalf("nft: %v: %s", err, out)
	}
	return strings.Contains(string(out), Attacker4+" ")
}

// attack has the attacker try passwords, and gives the case that opens.
func (x *siege) attack() string {
	x.t.Helper()
	x.crowdSec.BruteForce(Attacker4, 8)
	k := x.Case(time.Minute)
	if k.Threat == threat.ThreatSuspected || !strings.Contains(k.Title, Attacker4) {
		x.t.Errorf("%s %q is %s", k.Name, k.Title, k.Threat)
	}
	return k.Name
}

// again posts what CrowdSec posted once more, as a plugin does that did not get its answer: it is known.
func (x *siege) again() {
	x.t.Helper()
	bodies, _ := x.line.posts()
	if err := post(x.t.Context(), x.line.URL+"/v1/tenants/acme/sensors/crowdsec", x.SensorToken, bodies[0]); err != nil {
		x.t.Fatal(err)
	}
	Eventually(x.t, 20*time.Second, "what is posted again is known", func() bool {
		return x.Count(threat.EntryDetectionDuplicate) > 0
	})
}

// once checks that all that came over the line made one case, one response and one effect.
func (x *siege) once(name string) {
	x.t.Helper()
	bodies, statuses := x.line.posts()
	x.t.Logf("CrowdSec posted %d times and was answered %v", len(bodies), statuses)
	for _, status := range statuses {
		if status != http.StatusAccepted {
			x.t.Errorf("CrowdSec was answered %d", status)
		}
	}
	// Its plugin tries again when a connection fails, and never after an answer; 202 is none that it complains about.
	if strings.Contains(x.crowdSec.Output(), "non 200") {
		x.t.Errorf("CrowdSec complains:\n%s", tail(x.crowdSec.Output(), 2000))
	}
	if got := x.Count(threat.EntryCaseOpened); got != 1 {
		x.t.Errorf("%d cases were opened", got)
	}
	if got := x.Responses(name); len(got) != 1 {
		x.t.Errorf("%d responses: %+v", len(got), got)
	}
	acts, releases := 0, 0
	for _, e := range x.Journal() {
		if e.Kind == threat.EntryClaimGranted && strings.Contains(string(e.Payload), `"act"`) {
			acts++
		}
		if e.Kind == threat.EntryClaimGranted && strings.Contains(string(e.Payload), `"release"`) {
			releases++
		}
	}
	if acts != 1 || releases != 1 {
		x.t.Errorf("%d claims to act and %d to release instead of one each", acts, releases)
	}
}

// timeline reads a case as `firebreak case show` gives it, and checks that its rows come in order.
func (x *siege) timeline(name string) []threat.TimelineRow {
	x.t.Helper()
	var file struct {
		Timeline []threat.TimelineRow `json:"timeline"`
	}
	if err := json.Unmarshal([]byte(x.Contact.Say("case", "show", name, "--json")), &file); err != nil {
		x.t.Fatal(err)
	}
	if !slices.IsSortedFunc(file.Timeline, func(a, b threat.TimelineRow) int { return a.At.Compare(b.At) }) {
		x.t.Errorf("the timeline is not in order: %+v", file.Timeline)
	}
	if len(file.Timeline) == 0 || !slices.ContainsFunc(file.Timeline, func(r threat.TimelineRow) bool {
		return r.Kind == threat.RowAdversary && r.Tactic == "T1110"
	}) {
		x.t.Errorf("the timeline tells of no adversary: %+v", file.Timeline)
	}
	return file.Timeline
}

// tells checks that rows with some texts come in this order.
func tells(t *testing.T, rows []threat.TimelineRow, texts ...string) {
	t.Helper()
	at := 0
	for _, text := range texts {
		i := slices.IndexFunc(rows[at:], func(r threat.TimelineRow) bool { return strings.Contains(r.Text, text) })
		if i < 0 {
			t.Errorf("after its row %d the timeline does not say %q:\n%s", at, text, spell(rows))
			return
		}
		at += i
	}
}

func spell(rows []threat.TimelineRow) string {
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(r.At.Format(time.TimeOnly) + " " + string(r.Kind) + " " + r.Text + " " + r.Tactic + "\n")
	}
	return b.String()
}

// TestBruteForceIsContainedOnConsent is the main job: a real detection, a real consent in a real browser, real packets.
func TestBruteForceIsContainedOnConsent(t *testing.T) {
	s := StartServer(t)
	x := newSiege(t, s, threat.ModeCollaborate, 30*time.Second)
	page := s.NewPage(5 * time.Minute)
	standing, err := x.Attacker.Line(service)
	if err != nil {
		t.Fatal(err)
	}
	defer standing.Close()

	name := x.attack()
	x.Response(name, 30*time.Second, threat.ResponseAsked)
	if !x.flows() || x.held() {
		t.Fatal("something was done before anybody consented")
	}

	page.SignIn(x.Link(x.ContactID))
	page.Shows(pageTime, "#mine", "Block an address", Attacker4, name)
	page.Picture("1-queue")
	page.Click("#mine .card a.button.primary")
	page.Shows(pageTime, "#ask", "Block an address "+Attacker4, "Router", "ssh-bf", "30 s")
	page.Picture("2-request")
	page.Click("#approve")
	page.Shows(pageTime, "main", "Approved: it is being done")

	Eventually(t, 20*time.Second, "the router holds the address", x.held)
	if x.flows() || standing.Says("are you there?") {
		t.Error("traffic goes through the block")
	}
	page.Open("/cases/" + name)
	page.Shows(20*time.Second, "#head", "Contained")
	page.Shows(pageTime, "#responses", "In force", "Enforced", "Router")
	page.Picture("3-contained")
	if r := x.Response(name, 20*time.Second, threat.ResponseHeld); r.Basis != threat.BasisApproval || r.HoldUntil == nil {
		t.Errorf("it rests on %q until %v", r.Basis, r.HoldUntil)
	}

	x.again()

	Eventually(t, time.Minute, "traffic flows again", x.flows)
	x.Response(name, 30*time.Second, threat.ResponseReleased)
	if x.held() {
		t.Error("the router still holds the address")
	}
	page.Shows(pageTime, "#responses", "Released") // the page is live: nobody reloaded it
	page.Picture("4-released")

	rows := x.timeline(name)
	t.Logf("the timeline:\n%s", x.Contact.Say("case", "show", name))
	tells(t, rows, "ssh-bf", "opened", contactName, "released")
	x.once(name)
	s.VerifyJournal()
	s.Stop()
	s.VerifyJournal()
}

// TestBruteForceIsContainedAtOnce is the same attack on a customer who has consented beforehand: nobody is asked, and the
// contact hears of it afterwards.
func TestBruteForceIsContainedAtOnce(t *testing.T) {
	s := StartServer(t)
	x := newSiege(t, s, threat.ModeAuthorize, 15*time.Second)
	mails := newMailbox(t)
	server := x.Connect("smtp", "Mail", mails.settings())
	x.Contacts(wire.Contact{PersonID: &x.ContactID, Authorise: []string{"*"}, ChangeMode: true, Methods: []wire.ContactMethod{
		{Channel: "smtp", ConnectionID: &server.ID, Address: "carla@acme.example", Verified: true}}})
	if err := x.Admin.TestConnection(t.Context(), "acme", server.ID); err != nil {
		t.Fatal(err)
	}
	name := x.attack()
	Eventually(t, 30*time.Second, "the router holds the address", x.held)
	if x.flows() {
		t.Error("traffic goes through the block")
	}
	x.Threat(name, threat.ThreatContained, 20*time.Second)
	if x.Count(threat.EntryRequestOpened) != 0 {
		t.Error("people were asked")
	}
	x.again()
	Eventually(t, time.Minute, "traffic flows again", x.flows)
	if r := x.Response(name, 30*time.Second, threat.ResponseReleased); r.Basis != threat.BasisMode {
		t.Errorf("it rests on %q", r.Basis)
	}
	told := mails.wait(20 * time.Second)
	t.Logf("the contact is told:\n%s", told)
	for _, text := range []string{"carla@acme.example", name, Attacker4, s.URL + "/ack/"} {
		if !strings.Contains(told, text) {
			t.Errorf("the mail does not say %q", text)
		}
	}

	// A mail program that opens the link acknowledges nothing; the contact, who presses its button, does.
	page := s.NewPage(2 * time.Minute)
	page.Open(regexp.MustCompile(`http\S+/ack/[\w-]+`).FindString(told))
	page.Shows(pageTime, "main", "Are you on it?", name)
	if x.Count(threat.EntryAcknowledged) != 0 {
		t.Error("to open the link acknowledges")
	}
	page.Click("#ack")
	page.Shows(pageTime, "main", "Acknowledged: "+name)
	if k := must[wire.Case](t)(x.Contact.Case(t.Context(), name)); k.Contact != threat.ContactAcknowledged {
		t.Errorf("the contact is %q", k.Contact)
	}
	t.Logf("the timeline:\n%s", x.Contact.Say("case", "show", name))
	tells(t, x.timeline(name), "ssh-bf", "authorize", "released")
	x.once(name)
	s.VerifyJournal()
}
