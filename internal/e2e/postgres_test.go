//go:build e2e

package e2e

import (
	"database/sql"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
)

// TestBruteForceOnPostgres is the main job with store and Temporal on PostgreSQL, approved at the terminal. The program is
// stopped and started while the block is held, and the database crashes once.
func TestBruteForceOnPostgres(t *testing.T) {
	db := StartPostgres(t)
	address := db.Database("firebreak")
	s := StartServer(t, "--database-url", address)
	x := newSiege(t, s, threat.ModeCollaborate, 45*time.Second)
	name := x.attack()
	q := x.Request(30 * time.Second)
	if x.held() || !x.flows() {
		t.Error("something was done before anybody consented")
	}
	out := x.Contact.Say("approve", q.ID.String(), "--yes", "--digest", q.Digest, "--reason", "known attacker")
	if !strings.Contains(out, "approved") {
		t.Errorf("approve says %s", out)
	}
	Eventually(t, 20*time.Second, "the router holds the address", x.held)
	if x.flows() {
		t.Error("traffic goes through the block")
	}
	x.Threat(name, threat.ThreatContained, 20*time.Second)
	x.again()

	s.Stop()
	if !x.held() {
		t.Error("the block went with the program")
	}
	s.Start()
	if s.Link != "" {
		t.Error("a second start prints a sign-in link")
	}
	db.Halt()
	Eventually(t, 30*time.Second, "the program says that its database is away", func() bool {
		res, err := http.Get(s.URL + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusServiceUnavailable
	})
	err := post(t.Context(), x.Sensor("crowdsec"), x.SensorToken, alert(Attacker4))
	if err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("without a database a detection was answered %v", err)
	}
	db.Start()
	Eventually(t, time.Minute, "the program is ready again", func() bool {
		res, err := http.Get(s.URL + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	x.Response(name, 2*time.Minute, threat.ResponseReleased)
	Eventually(t, 20*time.Second, "traffic flows again", x.flows)
	t.Logf("the timeline:\n%s", x.Contact.Say("case", "show", name))
	tells(t, x.timeline(name), "ssh-bf", contactName, "released")
	x.once(name)
	s.VerifyJournal("--database-url", address)

	siblings, err := sql.Open("pgx", db.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer siblings.Close()
	var n int
	if err := siblings.QueryRow(`SELECT count(*) FROM pg_database WHERE datname LIKE 'firebreak\_%'`).Scan(&n); err != nil || n != 2 {
		t.Errorf("Temporal has %d sibling databases: %v", n, err)
	}
	s.Stop()
}
