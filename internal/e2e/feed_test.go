//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

// controller is the name under which the victim calls for orders.
const controller = "c2.lab.example"

// gateway is a firewall that polls lists as many do: curl with ETags, and nft loads what came.
type gateway struct {
	Namespace
	feed string // ".../feeds/<token>"
	curl string
	dir  string
	t    *testing.T
}

func newGateway(t *testing.T, n Namespace, feed string) *gateway {
	t.Helper()
	g := &gateway{Namespace: n, feed: feed, curl: program(t, "curl", "curl"), dir: t.TempDir(), t: t}
	g.Run("nft", "add table inet polled; add set inet polled blocked { type ipv4_addr; }; "+
		"add chain inet polled f { type filter hook forward priority 0; }; "+
		"add rule inet polled f ip daddr @blocked drop; add rule inet polled f ip saddr @blocked drop")
	return g
}

// poll fetches a list as it changed since the last time. It gives the status and the list that the gateway has now.
func (g *gateway) poll(list string) (status string, values []string) {
	g.t.Helper()
	file, tag := filepath.Join(g.dir, list), filepath.Join(g.dir, list+".etag")
	out, err := exec.CommandContext(g.t.Context(), g.curl, "-sS", "--max-time", "20", "-o", file+".new", "--etag-compare", tag,
		"--etag-save", tag, "-w", "%{http_code}", g.feed+"/"+list+".txt").CombinedOutput()
	if err != nil {
		g.t.Fatalf("curl: %v: %s", err, out)
	}
	status = string(out)
	if status == "200" {
		if err := os.Rename(file+".new", file); err != nil {
			g.t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		g.t.Fatal(err)
	}
	values = strings.Fields(string(b))
	if status == "200" && list == threat.FeedIPs {
		load := "flush set inet polled blocked"
		if len(values) > 0 {
			load += "; add element inet polled blocked { " + strings.Join(values, ", ") + " }"
		}
		g.Run("nft", load)
	}
	return status, values
}

// orders reports whether the victim gets orders from the controller.
func orders(n Network) bool {
	conn, err := n.Victim.Dial(Attacker4+":80", probeTime)
	if err != nil {
		return false
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return false
	}
	if _, err := fmt.Fprintf(conn, "GET /orders HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", controller); err != nil {
		return false
	}
	b, err := io.ReadAll(conn)
	return err == nil && strings.HasSuffix(string(b), "scan")
}

// TestAListIsEnforcedOnceItWasFetched has a real Suricata see a call for orders, and a gateway that polls the lists: what is
// published is not called contained before the gateway has fetched it.
func TestAListIsEnforcedOnceItWasFetched(t *testing.T) {
	n := NewNetwork(t)
	s := StartServer(t)
	c := NewCustomer(s.SignIn(s.Link), "acme", threat.ModeAuthorize, quick(10*time.Minute))
	feed := c.Connect("feed", "Gateway's list", map[string]string{"interval": "2"})
	token := c.Token(wire.NewToken{Org: "acme", Role: threat.Firewall, Name: "gateway", ConnectionID: &feed.ID})
	g := newGateway(t, n.Router, s.URL+"/feeds/"+token)
	show := func() string { return c.Admin.Say("feed", "show", feed.ID.String()) }
	if got := show(); !strings.Contains(got, "only published") {
		t.Errorf("before any fetch:\n%s", got)
	}

	suricata := StartSuricata(t, n.Router, "inside", `alert http $HOME_NET any -> $EXTERNAL_NET any `+
		`(msg:"LOCAL MALWARE lab orders"; flow:established,to_server; http.uri; content:"/orders"; classtype:command-and-control; sid:9000001; rev:1; `+
		`metadata:mitre_technique_id T1071.001, signature_severity Major;)`)
	suricata.Ship(c.Sensor("suricata"), c.SensorToken)
	l := n.Attacker.Listen(Attacker4 + ":80")
	c2 := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "scan") })}
	go func() { _ = c2.Serve(l) }() // it ends with the listener
	t.Cleanup(func() { _ = c2.Close() })
	Eventually(t, time.Minute, "the victim gets orders", func() bool { return orders(n) })
	k := c.Case(time.Minute)

	published := func() int {
		held := 0
		for _, r := range c.Responses(k.Name) {
			if len(r.Holders) == 1 && r.Holders[0].Effect != nil && r.Holders[0].Effect.Published && r.State == threat.ResponseActing {
				held++
			}
		}
		return held
	}
	Eventually(t, 30*time.Second, "address and name are published, and no more", func() bool { return published() == 2 })
	if k = must[wire.Case](t)(c.Contact.Case(t.Context(), k.Name)); k.Threat != threat.ThreatActive {
		t.Errorf("before anybody fetched the list the threat is %s", k.Threat)
	}
	if !orders(n) {
		t.Error("a list that nobody fetched stops traffic")
	}

	if status, got := g.poll(threat.FeedIPs); status != "200" || !slices.Equal(got, []string{Attacker4}) {
		t.Errorf("the list of addresses: %s %q", status, got)
	}
	if status, got := g.poll(threat.FeedDomains); status != "200" || !slices.Equal(got, []string{controller}) {
		t.Errorf("the list of domains: %s %q", status, got)
	}
	for _, list := range []string{threat.FeedIPs, threat.FeedDomains} {
		if status, _ := g.poll(list); status != "304" {
			t.Errorf("a list that did not change was answered %s", status)
		}
	}
	if orders(n) {
		t.Error("the gateway has the list and lets traffic pass")
	}
	c.Threat(k.Name, threat.ThreatContained, 30*time.Second)
	if got := show(); strings.Contains(got, "only published") || !strings.Contains(got, "gateway") || !strings.Contains(got, "yes") {
		t.Errorf("after the fetch:\n%s", got)
	}
	t.Logf("feed show:\n%s", show())

	for _, r := range c.Responses(k.Name) {
		c.Contact.Say("action", "release", r.ID.String(), "--why", "the device was cleaned")
	}
	Eventually(t, time.Minute, "the gateway lets the victim pass", func() bool {
		g.poll(threat.FeedIPs)
		_, names := g.poll(threat.FeedDomains)
		return len(names) == 0 && orders(n)
	})
	for _, r := range c.Responses(k.Name) {
		Eventually(t, time.Minute, "it is released", func() bool {
			a, err := c.Contact.Action(t.Context(), r.ID.String())
			return err == nil && a.Response.State == threat.ResponseReleased
		})
	}
	t.Logf("the timeline:\n%s", c.Contact.Say("case", "show", k.Name))

	for _, k := range must[[]threat.Token](t)(c.Admin.Tokens(t.Context(), "acme")) {
		if k.Name == "gateway" {
			c.Admin.Say("token", "revoke", k.ID.String())
		}
	}
	out, err := exec.CommandContext(t.Context(), g.curl, "-sS", "-o", os.DevNull, "-w", "%{http_code}",
		g.feed+"/ips.txt").CombinedOutput()
	if err != nil || string(out) != "403" {
		t.Errorf("a revoked token fetches: %v %s", err, out)
	}
	s.VerifyJournal()
}
