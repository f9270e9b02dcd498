//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/ingest"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// answer is what came back from one call.
type answer struct {
	server  *Server
	status  int
	header  http.Header
	body    []byte
	problem wire.Problem
}

// send posts a body with a token and gives whatever comes back; the problem is read where it is one.
func (s *Server) send(path, token string, body []byte, header ...string) answer {
	s.t.Helper()
	r := must[*http.Request](s.t)(http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.URL+path, bytes.NewReader(body)))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res := must[*http.Response](s.t)(http.DefaultClient.Do(r))
	defer res.Body.Close()
	a := answer{server: s, status: res.StatusCode, header: res.Header, body: must[[]byte](s.t)(io.ReadAll(res.Body))}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") {
		if err := json.Unmarshal(a.body, &a.problem); err != nil {
			s.t.Errorf("a problem cannot be read: %v: %s", err, a.body)
		}
	}
	return a
}

// detections is where a customer's OCSF findings are posted.
func (c *Customer) detections() string { return "/v1/tenants/" + c.Slug + "/detections" }

// unavailable fails unless the answer is a 503 that says when to come back.
func (a answer) unavailable(t *testing.T, what string) {
	t.Helper()
	if a.status != http.StatusServiceUnavailable || a.problem.Kind != threat.Unavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("%s is answered %d, Retry-After %q: %s\n%s", what, a.status, a.header.Get("Retry-After"), a.body, a.log())
	}
}

// log gives what the server logged about a call.
func (a answer) log() string {
	var out strings.Builder
	for line := range strings.Lines(a.server.Output()) {
		if strings.Contains(line, a.header.Get("X-Request-ID")) {
			out.WriteString(line)
		}
	}
	return out.String()
}

// TestAFullDisk lets the disk of the data directory run full and frees it again. Nothing is accepted meanwhile and nothing is
// claimed, nothing that was accepted is lost, and everything goes on by itself.
func TestAFullDisk(t *testing.T) {
	needRoot(t)
	program(t, "mount", "mount")
	s := NewServer(t)
	if err := os.MkdirAll(s.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=48m,mode=0700", "firebreak-e2e", s.Data).CombinedOutput(); err != nil {
		t.Skipf("needs to mount a tmpfs: %s", out)
	}
	t.Cleanup(func() {
		s.Kill()
		if err := syscall.Unmount(s.Data, syscall.MNT_DETACH); err != nil {
			t.Errorf("the tmpfs stays behind: %v", err)
		}
	})
	s.Start()
	admin := s.SignIn(s.Link)
	set := hasty()
	set.BlockFor = tenant.In(10 * time.Minute)
	f := NewFront(admin, "full", threat.ModeCollaborate, set)
	const held, asked, late = "203.0.113.40", "203.0.113.41", "203.0.113.42"
	ids := f.post(s, attack("1", held), attack("2", asked))
	f.approve(f.Contact, held, 20*time.Second)
	f.about(held, 30*time.Second, threat.ResponseHeld)
	f.about(asked, 20*time.Second, threat.ResponseAsked)
	before := len(grants(t, f.Journal()))

	ballast := filepath.Join(s.Data, "ballast")
	fill(t, ballast)
	post := func(uid, address string) answer {
		return s.send(f.detections(), f.SensorToken, must[[]byte](t)(json.Marshal([]json.RawMessage{attack(uid, address)})))
	}
	var got answer
	n := 0
	Eventually(t, 30*time.Second, "the full disk is noticed", func() bool { // what is left in the log is used up first
		fill(t, ballast)
		n++
		if got = post(fmt.Sprintf("full-%d", n), late); got.status == http.StatusAccepted {
			ids = append(ids, receipt(t, got)...)
		}
		return got.status != http.StatusAccepted
	})
	t.Logf("%d findings were accepted before the disk was full", n-1)
	got.unavailable(t, "a finding on a full disk")
	q := f.Request(10 * time.Second)
	click := s.send("/v1/requests/"+q.ID.String()+"/verdicts", f.Contact.Secret, must[[]byte](t)(json.Marshal(wire.Verdict{
		Verdict: threat.VerdictApprove, Digest: q.Digest})))
	click.unavailable(t, "a click on a full disk")
	if s.Ended() {
		t.Fatalf("the server ended: %s", tail(s.Output(), 4000))
	}
	if now := len(grants(t, f.Journal())); now != before {
		t.Errorf("%d claims were granted on a full disk", now-before)
	}
	f.enforced(held, true, time.Second)

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	Eventually(t, 60*time.Second, "findings are accepted again", func() bool {
		got := post("after", "203.0.113.43")
		if got.status == http.StatusAccepted {
			ids = append(ids, receipt(t, got)...)
		}
		return got.status == http.StatusAccepted
	})
	if a := f.approve(f.Contact, asked, 60*time.Second); !a.Accepted {
		t.Errorf("the click is not taken: %+v", a)
	}
	f.enforced(asked, true, 2*time.Minute)
	Eventually(t, 60*time.Second, "the server is ready", func() bool { return s.status("/readyz") == http.StatusOK })
	for _, id := range ids {
		Eventually(t, time.Minute, "every accepted finding has its case", func() bool {
			var d wire.Detection
			f.Contact.get("/v1/detections/"+id.String(), &d)
			return d.State == threat.DetectionAssigned || d.State == threat.DetectionDuplicate
		})
	}
	f.sound(ids)
	s.proved()
}

// fill takes all that is left of a disk.
func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return // not even that is left
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 1 << 12} {
		for {
			if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func receipt(t *testing.T, a answer) []uuid.UUID {
	t.Helper()
	var r ingest.Receipt
	if err := json.Unmarshal(a.body, &r); err != nil {
		t.Fatalf("a receipt cannot be read: %v: %s", err, a.body)
	}
	return r.IDs
}

// TestADatabaseThatGoesAway halts PostgreSQL, beside which the server's own Temporal lies, and starts it again.
func TestADatabaseThatGoesAway(t *testing.T) {
	pg := StartPostgres(t)
	s := StartServer(t, "--database-url", pg.Database("away"))
	admin := s.SignIn(s.Link)
	set := hasty()
	set.BlockFor = tenant.In(20 * time.Second)
	f := NewFront(admin, "away", threat.ModeCollaborate, set)
	const held, asked = "203.0.113.50", "203.0.113.51"
	ids := f.post(s, attack("1", held), attack("2", asked))
	f.approve(f.Contact, held, 20*time.Second)
	f.about(held, 30*time.Second, threat.ResponseHeld)
	f.about(asked, 20*time.Second, threat.ResponseAsked)
	pg.Halt()
	got := s.send(f.detections(), f.SensorToken, attack("3", "203.0.113.52"))
	got.unavailable(t, "a finding without a database")
	if s.status("/readyz") != http.StatusServiceUnavailable || s.status("/healthz") != http.StatusOK {
		t.Errorf("/readyz answers %d, /healthz %d", s.status("/readyz"), s.status("/healthz"))
	}
	f.enforced(held, true, time.Second) // the firewall keeps its copy
	if strings.Contains(string(got.body), "postgres://") {
		t.Errorf("the answer tells the database's address: %s", got.body)
	}
	pg.Start()
	Eventually(t, 90*time.Second, "the server is ready again", func() bool {
		if s.Ended() {
			t.Fatalf("the server ended: %s", tail(s.Output(), 4000))
		}
		return s.status("/readyz") == http.StatusOK
	})
	ids = append(ids, f.post(s, attack("4", "203.0.113.53"))...)
	f.about("203.0.113.53", 90*time.Second, threat.ResponseAsked)
	if a := f.approve(f.Contact, asked, 30*time.Second); !a.Accepted {
		t.Errorf("the click is not taken: %+v", a)
	}
	f.enforced(asked, true, 90*time.Second)
	f.enforced(held, false, 2*time.Minute)
	f.about(held, 30*time.Second, threat.ResponseReleased)
	for _, id := range ids {
		var d wire.Detection
		f.Contact.get("/v1/detections/"+id.String(), &d)
		if d.State != threat.DetectionAssigned {
			t.Errorf("detection %s is %s", id, d.State)
		}
	}
	s.proved()
}

// TestTemporalGoesAway kills an outside Temporal: findings are accepted and triaged meanwhile, and acted on once it is back.
func TestTemporalGoesAway(t *testing.T) {
	temporal := StartTemporal(t)
	s := StartServer(t, temporal.Flags()...)
	admin := s.SignIn(s.Link)
	set := hasty()
	set.BlockFor = tenant.In(15 * time.Second)
	f := NewFront(admin, "alone", threat.ModeAuthorize, set)
	const first, second = "203.0.113.60", "203.0.113.61"
	ids := f.post(s, attack("1", first))
	f.about(first, 30*time.Second, threat.ResponseHeld)
	temporal.Kill()
	ids = append(ids, f.post(s, attack("2", second))...)
	Eventually(t, 30*time.Second, "the finding has a case, without Temporal", func() bool {
		var d wire.Detection
		f.Contact.get("/v1/detections/"+ids[1].String(), &d)
		return d.State == threat.DetectionAssigned
	})
	Eventually(t, 30*time.Second, "/readyz says that Temporal is away", func() bool {
		res, err := http.Get(s.URL + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		return err == nil && res.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(b), "temporal (unavailable)") &&
			!strings.Contains(string(b), "database")
	})
	temporal.Start()
	f.enforced(second, true, 2*time.Minute)
	f.enforced(first, false, 2*time.Minute)
	f.settled(2 * time.Minute)
	f.released()
	once(t, f.sound(ids), 2)
	Eventually(t, time.Minute, "the server is ready", func() bool { return s.status("/readyz") == http.StatusOK })
	s.proved()
}

// endless is a rule that counts for longer than anybody lives.
const endless = `package firebreak.respond

import data.firebreak.rule

# METADATA
# title: It takes for ever
# labels:
#   id: respond.deny.endless
deny contains rule.label(rego.metadata.rule(), "it took for ever") if not counted

counted if {
	count([x | some x in numbers.range(1, 30000); some y in numbers.range(1, 30000); x * y == input.settings.request_seconds]) > 0
}
`

// TestRulesThatCannotBeUsed puts a broken rule and one that takes for ever into the policy directory of a running server. The
// last good rules stay in force, or their safe answers do, and everybody who looks is told.
func TestRulesThatCannotBeUsed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "rules")
	s := NewServer(t, "--policy-dir", dir)
	if out, complaint, code := s.Run(nil, "policy", "export", dir); code != 0 {
		t.Fatalf("policy export: %s%s", out, complaint)
	}
	s.Start()
	admin := s.SignIn(s.Link)
	set := hasty()
	set.BlockFor = tenant.In(10 * time.Minute)
	f := NewFront(admin, "ruled", threat.ModeAuthorize, set)
	ids := f.post(s, attack("1", "203.0.113.70"))
	f.about("203.0.113.70", 30*time.Second, threat.ResponseHeld)
	good := must[wire.Policy](t)(admin.Policy(t.Context()))
	rule := filepath.Join(dir, "respond", "zz_mine.rego")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(rule, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, text := range []string{
		"package firebreak.respond\n\ndeny contains x if {\n",                                      // cut off
		"package firebreak.respond\n\nround := round2\n\nround2 := round\n\ndeny contains round\n", // turns in a circle
	} {
		write(text)
		Eventually(t, 30*time.Second, "the API tells of rules that were not taken", func() bool {
			p := must[wire.Policy](t)(admin.Policy(t.Context()))
			return p.Stale && p.Error != "" && p.Revision == good.Revision
		})
		if out := admin.Say("policy", "status"); !strings.Contains(out, "zz_mine.rego") {
			t.Errorf("policy status does not name the file: %s", out)
		}
		if res := s.status("/readyz"); res != http.StatusOK {
			t.Errorf("a server whose last good rules are in force answers /readyz with %d", res)
		}
		address := fmt.Sprintf("203.0.113.%d", 71+i)
		ids = append(ids, f.post(s, attack(fmt.Sprint("stale-", i), address))...)
		f.about(address, 30*time.Second, threat.ResponseHeld)
		if err := os.Remove(rule); err != nil {
			t.Fatal(err)
		}
		Eventually(t, 30*time.Second, "the rules are good again", func() bool { return !must[wire.Policy](t)(admin.Policy(t.Context())).Stale })
	}
	write(endless)
	Eventually(t, 30*time.Second, "the endless rule is in force", func() bool {
		p := must[wire.Policy](t)(admin.Policy(t.Context()))
		if p.Stale {
			t.Fatalf("the endless rule is not taken: %s", p.Error)
		}
		return p.Revision != good.Revision
	})
	ids = append(ids, f.post(s, attack("endless", "203.0.113.75"))...)
	f.about("203.0.113.75", 60*time.Second, threat.ResponseAsked) // respond's safe answer
	Eventually(t, 30*time.Second, "the provider's people are called", func() bool {
		for _, e := range must[wire.JournalPage](t)(admin.Journal(t.Context(), "provider", 0, 500)).Items {
			if e.Kind == threat.EntryPage && strings.Contains(string(e.Payload), "timeout") {
				return true
			}
		}
		return false
	})
	if err := os.Remove(rule); err != nil {
		t.Fatal(err)
	}
	Eventually(t, 30*time.Second, "the first rules are in force", func() bool {
		p := must[wire.Policy](t)(admin.Policy(t.Context()))
		return !p.Stale && p.Revision == good.Revision
	})
	ids = append(ids, f.post(s, attack("good", "203.0.113.76"))...)
	f.about("203.0.113.76", 30*time.Second, threat.ResponseHeld)
	f.sound(ids)
	s.proved()
}
