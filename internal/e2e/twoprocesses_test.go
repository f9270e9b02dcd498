//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// Temporal is an outside cluster of the test's own: the engine in a process of its own. It keeps its file and its port when
// it is started anew.
type Temporal struct {
	*Process
	Address string
	KeyFile string // with the credential that it asks for
	dir     string
	port    int
	t       testing.TB
}

var buildTemporal = sync.OnceValues(func() (string, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("go list: %w", err)
	}
	bin := filepath.Join(strings.TrimSpace(string(root)), "bin", "e2e-temporal")
	if out, err := exec.Command("go", "build", "-o", bin, "./testdata/temporal").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return bin, nil
})

// StartTemporal starts one with nothing in it.
func StartTemporal(t testing.TB) *Temporal {
	t.Helper()
	dir := t.TempDir()
	x := &Temporal{KeyFile: filepath.Join(dir, "api-key"), dir: dir, port: freeRange(t, 10), t: t}
	x.Address = fmt.Sprintf("127.0.0.1:%d", x.port)
	if err := os.WriteFile(x.KeyFile, []byte(uuid.NewString()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	x.Start()
	return x
}

// Start starts it, anew after Kill, and waits until it answers.
func (x *Temporal) Start() {
	x.t.Helper()
	bin := must[string](x.t)(buildTemporal())
	x.Process = Start(x.t, "temporal", exec.Command(bin, "-file", filepath.Join(x.dir, "temporal.db"), "-port", fmt.Sprint(x.port),
		"-api-key-file", x.KeyFile))
	Eventually(x.t, startTime, "Temporal runs", func() bool {
		if x.Ended() {
			x.t.Fatalf("Temporal ended: %v\n%s", x.Wait(0), tail(x.Output(), 4000))
		}
		return strings.Contains(x.Output(), "Temporal runs at")
	})
}

// Flags are those of serve by which a server uses it.
func (x *Temporal) Flags() []string {
	return []string{"--temporal-address", x.Address, "--temporal-api-key-file", x.KeyFile}
}

// status gives what a path of the server answers: 0 for nobody.
func (s *Server) status(path string) int {
	res, err := http.Get(s.URL + path)
	if err != nil {
		return 0
	}
	_ = res.Body.Close() // only its status is looked at
	return res.StatusCode
}

// lasting are hasty settings under which a block stands until somebody ends it.
func lasting() tenant.Settings {
	set := hasty()
	set.BlockFor = tenant.In(20 * time.Minute)
	return set
}

// letGo has the contact release whatever is held, and waits until everything has come to rest.
func (f *Front) letGo() {
	f.t.Helper()
	for _, k := range f.AllCases() {
		for _, r := range f.Responses(k.Name) {
			if r.State != threat.ResponseHeld {
				continue
			}
			if _, err := f.Contact.Release(f.t.Context(), r.ID.String(), "the test is over"); err != nil {
				f.t.Errorf("%s cannot be released: %v", r.Target.Value, err)
			}
		}
	}
	f.settled(2 * time.Minute)
}

// came fails unless so many blocks came into force, each once. A claim that went down with its process before anything was
// sent makes way for the next generation's.
func (f *Front) came(n tally, blocks int) {
	f.t.Helper()
	if n.appear != blocks || n.acts < blocks {
		f.t.Errorf("%d claims and %d blocks instead of %d", n.acts, n.appear, blocks)
	}
}

// TestTwoProcesses runs two servers on one PostgreSQL and one outside Temporal. Detections go to both, and the firewall
// polls both. One is killed in the middle of it: the other carries on, and nothing is done twice.
func TestTwoProcesses(t *testing.T) {
	rng := seeded(t)
	pg, temporal := StartPostgres(t), StartTemporal(t)
	shared := append([]string{"--database-url", pg.Database("two"), "--key-file", filepath.Join(t.TempDir(), "key")}, temporal.Flags()...)
	one := StartServer(t, shared...)
	two := StartServer(t, shared...)
	admin := two.SignIn(one.Link) // either serves it: both read one store
	f := NewFront(admin, "both", threat.ModeAuthorize, lasting(), one, two)
	var ids []uuid.UUID
	serial := 0
	send := func(s *Server) string {
		serial++
		address := fmt.Sprintf("198.51.100.%d", serial)
		ids = append(ids, f.post(s, attack(fmt.Sprint(serial), address))...)
		return address
	}
	f.enforced(send(one), true, 30*time.Second)
	f.enforced(send(two), true, 30*time.Second)
	// Both work when one of them ends: which part of what is under it at that moment is chance.
	var last []string
	for range 6 {
		last = append(last, send(one), send(two))
		time.Sleep(time.Duration(rng.Int64N(int64(150 * time.Millisecond)))) // chance, and no wait for anything
	}
	one.Kill()
	for range 2 {
		last = append(last, send(two))
	}
	for _, address := range last {
		f.about(address, 100*time.Second, threat.ResponseHeld)
	}
	f.letGo()
	if list := f.list(two); list != "" {
		t.Errorf("the feed still lists %q", list)
	}
	one.Start() // the firewall kept its last copy of this one's feed
	f.released()
	f.came(f.sound(ids), serial)
	f.about(send(one), 60*time.Second, threat.ResponseHeld)
	f.letGo()
	f.released()
	f.came(f.sound(ids), serial)
	two.proved()
}

// TestAFrozenProcess freezes one of two servers again and again, as a machine does that runs out of memory or is moved: what it
// has begun is settled by the other, and what it goes on with when it comes back does nothing twice.
func TestAFrozenProcess(t *testing.T) { frozen(t, 1) }

func frozen(t *testing.T, rounds int) {
	t.Helper()
	rng := seeded(t)
	pg, temporal := StartPostgres(t), StartTemporal(t)
	shared := append([]string{"--database-url", pg.Database("frozen"), "--key-file", filepath.Join(t.TempDir(), "key")}, temporal.Flags()...)
	one := StartServer(t, shared...)
	two := StartServer(t, shared...)
	f := NewFront(two.SignIn(one.Link), "frozen", threat.ModeAuthorize, lasting(), two)
	var ids []uuid.UUID
	serial := 0
	for range rounds {
		var sent []string
		for range 4 {
			serial++
			sent = append(sent, fmt.Sprintf("198.51.100.%d", serial))
			ids = append(ids, f.post(one, attack(fmt.Sprint(serial), sent[len(sent)-1]))...)
		}
		time.Sleep(time.Duration(rng.Int64N(int64(120 * time.Millisecond)))) // chance, and no wait for anything
		if err := one.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for _, address := range sent {
			f.about(address, 120*time.Second, threat.ResponseHeld)
		}
		t.Logf("the other carried on within %s", time.Since(began).Round(time.Second))
		if err := one.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	f.letGo()
	f.released()
	f.came(f.sound(ids), serial)
	two.proved()
}

// TestTwoProcessesNeedOneTemporal starts a second server on a PostgreSQL beside which the first has its own Temporal: it is
// refused, and told what to do. The first goes on.
func TestTwoProcessesNeedOneTemporal(t *testing.T) {
	pg := StartPostgres(t)
	shared := []string{"--database-url", pg.Database("alone"), "--key-file", filepath.Join(t.TempDir(), "key")}
	one := StartServer(t, shared...)
	two := NewServer(t, shared...)
	two.Begin()
	if err := two.Wait(startTime); err == nil {
		t.Error("the second server ended as if nothing were wrong")
	}
	for _, part := range []string{"another process runs Temporal on this database", "--temporal-address"} {
		if !strings.Contains(two.Output(), part) {
			t.Errorf("%q is not said: %s", part, two.Output())
		}
	}
	if got := one.status("/readyz"); got != http.StatusOK {
		t.Errorf("the first server's /readyz answers %d", got)
	}
	three := NewServer(t, "--key-file", filepath.Join(t.TempDir(), "key"))
	three.Data = StartServer(t).Data
	three.Begin()
	if err := three.Wait(startTime); err == nil || !strings.Contains(three.Output(), "another firebreak runs on this data directory") {
		t.Errorf("%v: %s", err, three.Output())
	}
}
