//go:build e2e

package e2e

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/adapters/crowdsec"
	"github.com/firebreak/firebreak/adapters/suricata"
	"github.com/firebreak/firebreak/internal/threat"
)

// inbox is a server that takes what sensors post and answers as Firebreak does.
type inbox struct {
	*httptest.Server
	mu     sync.Mutex
	bodies [][]byte
	auth   []string
	bad    int // how many requests are answered 503 first
}

func newInbox(t *testing.T) *inbox {
	in := &inbox{}
	in.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		in.mu.Lock()
		defer in.mu.Unlock()
		if in.bad > 0 {
			in.bad--
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		in.bodies, in.auth = append(in.bodies, b), append(in.auth, r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(in.Close)
	return in
}

// findings reads everything that was posted with a product's own decoder.
func (in *inbox) findings(t *testing.T, d adapters.Detector) []adapters.Finding {
	t.Helper()
	in.mu.Lock()
	defer in.mu.Unlock()
	var out []adapters.Finding
	for i, b := range in.bodies {
		if in.auth[i] != "Bearer sensor-token" {
			t.Fatalf("posted with %q", in.auth[i])
		}
		found, err := d.Detect(b)
		if err != nil {
			t.Fatalf("%v in %s", err, b)
		}
		for _, f := range found {
			if f.Unreadable != nil {
				t.Fatalf("%v in %s", f.Unreadable, f.Raw)
			}
			if f.Skip == "" {
				out = append(out, f)
			}
		}
	}
	return out
}

func names(fs []adapters.Finding, kind threat.ObservableKind, value string, b threat.Bearing) bool {
	for _, f := range fs {
		for _, o := range f.Observables {
			if o.Kind == kind && o.Value == value && o.Bearing == b {
				return true
			}
		}
	}
	return false
}

func TestNamespacesCarryTrafficUntilTheRouterDropsIt(t *testing.T) {
	n := NewNetwork(t)
	n.Victim.Echo(Victim4 + ":7777")
	n.Victim.Echo("[" + Victim6 + "]:7777")
	for _, address := range []string{Victim4 + ":7777", "[" + Victim6 + "]:7777"} {
		Eventually(t, 20*time.Second, "the attacker reaches "+address, func() bool { return n.Attacker.Reaches(address) })
	}
	line, err := n.Attacker.Line(Victim4 + ":7777")
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	if !line.Says("before") {
		t.Fatal("a connection that stands carries nothing")
	}
	n.Router.Run("nft", "add table inet t")
	n.Router.Run("nft", "add chain inet t f { type filter hook forward priority 0; policy accept; }")
	n.Router.Run("nft", "add rule inet t f ip saddr "+Attacker4+" drop")
	if n.Attacker.Reaches(Victim4+":7777") || line.Says("during") {
		t.Error("the attacker gets through the drop")
	}
	if !n.Attacker.Reaches("[" + Victim6 + "]:7777") {
		t.Error("another address was dropped too")
	}
	n.Router.Run("nft", "delete table inet t")
	Eventually(t, 20*time.Second, "traffic flows again", func() bool { return n.Attacker.Reaches(Victim4 + ":7777") })
}

func TestCrowdSecPostsAlertsOfABruteForceAttack(t *testing.T) {
	in := newInbox(t)
	c := StartCrowdSec(t, in.URL+"/v1/tenants/acme/sensors/crowdsec", "sensor-token")
	c.BruteForce(Attacker4, 8)
	Eventually(t, time.Minute, "CrowdSec posts its alert", func() bool {
		return names(in.findings(t, crowdsec.Adapter{}), threat.ObservableIP, Attacker4, threat.BearingAdversary)
	})
	for _, f := range in.findings(t, crowdsec.Adapter{}) {
		if len(f.Techniques) == 0 || !strings.HasPrefix(f.Title, "crowdsecurity/ssh-bf") {
			t.Errorf("%q with the techniques %v", f.Title, f.Techniques)
		}
	}
}

func TestSuricataTellsOfTrafficToAController(t *testing.T) {
	n := NewNetwork(t)
	in := newInbox(t)
	in.bad = 1
	s := StartSuricata(t, n.Router, "inside", `alert http $HOME_NET any -> $EXTERNAL_NET any (msg:"LOCAL MALWARE lab orders"; `+
		`flow:established,to_server; http.uri; content:"/orders"; classtype:command-and-control; sid:9000001; rev:1; `+
		`metadata:mitre_technique_id T1071.001, signature_severity Major;)`)
	s.Ship(in.URL, "sensor-token")
	l := n.Attacker.Listen(Attacker4 + ":80")
	c2 := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "scan") })}
	go func() { _ = c2.Serve(l) }() // it ends with the listener
	t.Cleanup(func() { _ = c2.Close() })
	Eventually(t, time.Minute, "the alert arrives", func() bool {
		conn, err := n.Victim.Dial(Attacker4+":80", probeTime)
		if err != nil {
			return false
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /orders HTTP/1.1\r\nHost: c2.lab.example\r\nConnection: close\r\n\r\n")
		if _, err := io.ReadAll(conn); err != nil {
			return false
		}
		return names(in.findings(t, suricata.Adapter{}), threat.ObservableIP, Attacker4, threat.BearingAdversary)
	})
	found := in.findings(t, suricata.Adapter{})
	if !names(found, threat.ObservableDomain, "c2.lab.example", threat.BearingAdversary) ||
		!names(found, threat.ObservableIP, Victim4, threat.BearingVictim) {
		t.Errorf("%+v", found)
	}
	if len(found[0].Techniques) != 1 || found[0].Techniques[0] != "T1071.001" || found[0].Severity != threat.SeverityHigh {
		t.Errorf("%+v", found[0])
	}
	if len(s.Alerts()) == 0 {
		t.Error("no alert in its own file")
	}
}

func TestChromiumClicks(t *testing.T) {
	clicked := make(chan string, 1)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			clicked <- r.FormValue("verdict")
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<!doctype html><title>Approve</title><h1>block_ip</h1>
			<form method="post"><button name="verdict" value="approve">Approve</button></form>`)
	}))
	t.Cleanup(page.Close)
	ctx := Browser(t, 2*time.Minute)
	if err := chromedp.Do(ctx, chromedp.Navigate(page.URL), chromedp.Click(`button[value=approve]`)); err != nil {
		t.Fatal(err)
	}
	if got := <-clicked; got != "approve" {
		t.Fatalf("the button sent %q", got)
	}
	title, err := chromedp.Run(ctx, chromedp.Title())
	if err != nil || title != "Approve" {
		t.Fatalf("%q %v", title, err)
	}
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(90))
	if err != nil || len(picture) == 0 {
		t.Fatalf("no picture: %v", err)
	}
}

func TestPostgresComesBackWithItsData(t *testing.T) {
	p := StartPostgres(t)
	address := p.Database("firebreak")
	db, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)`); err != nil {
		t.Fatal(err)
	}
	p.Halt()
	if err := db.Ping(); err == nil {
		t.Fatal("a server that was halted answers")
	}
	p.Start()
	var n int
	if err := db.QueryRow(`SELECT n FROM kept`).Scan(&n); err != nil || n != 7 {
		t.Fatalf("%d %v", n, err)
	}
	if _, err := os.Stat(p.dir); err != nil {
		t.Fatal(err)
	}
}
