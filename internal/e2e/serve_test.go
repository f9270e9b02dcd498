//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
)

// refuses runs `firebreak serve`, which has to end at once with a code and words.
func (s *Server) refuses(code int, words ...string) {
	s.t.Helper()
	out, complaint, got := s.Run(nil, s.ServeArgs()...)
	if got != code {
		s.t.Errorf("firebreak %v ended with %d instead of %d: %s%s", s.ServeArgs(), got, code, out, complaint)
	}
	for _, w := range words {
		if !strings.Contains(complaint, w) {
			s.t.Errorf("it does not say %q: %s", w, complaint)
		}
	}
	if strings.Contains(complaint, "goroutine ") {
		s.t.Errorf("it crashed: %s", complaint)
	}
}

// taken listens on ports until the test ends.
func taken(t *testing.T, first, n int) {
	t.Helper()
	for port := first; port < first+n; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() }) // nothing was sent
	}
}

func TestWhatCannotStartSaysWhy(t *testing.T) {
	t.Run("an unknown flag", func(t *testing.T) { NewServer(t, "--listne", "x").refuses(2, "unknown flag: --listne") })
	t.Run("an argument too many", func(t *testing.T) { NewServer(t, "now").refuses(2, "now") })
	t.Run("an unknown format", func(t *testing.T) {
		NewServer(t, "--log-format", "xml").refuses(2, "(--log-format)", "text or json")
	})
	t.Run("a database of another kind", func(t *testing.T) {
		NewServer(t, "--database-url", "mysql://root@127.0.0.1/x").refuses(2, "postgres")
	})
	t.Run("a database that is away", func(t *testing.T) {
		address := fmt.Sprintf("postgres://fb:s3cret@127.0.0.1:%d/x?sslmode=disable&connect_timeout=2", FreePort(t))
		s := NewServer(t, "--database-url", address)
		s.refuses(5)
		if _, complaint, _ := s.Run(nil, s.ServeArgs()...); strings.Contains(complaint, "s3cret") {
			t.Errorf("the password is told: %s", complaint)
		}
	})
	t.Run("a port that is taken", func(t *testing.T) {
		s := NewServer(t)
		taken(t, s.ports, 1)
		s.refuses(3, "(--listen)", "cannot be listened on", "give another one")
	})
	t.Run("Temporal's ports that are taken", func(t *testing.T) {
		s := NewServer(t)
		taken(t, s.ports+1, 10)
		s.refuses(3, "free for Temporal", "--temporal-port")
	})
	t.Run("rules that are none", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "respond.rego"), []byte("package firebreak.respond\nanswer := "), 0o600); err != nil {
			t.Fatal(err)
		}
		NewServer(t, "--policy-dir", dir).refuses(2, "respond.rego")
	})
	t.Run("a data directory that is a file", func(t *testing.T) {
		s := NewServer(t)
		if err := os.WriteFile(s.Data, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s.refuses(5, "(--data)")
	})
	t.Run("a key file in the data", func(t *testing.T) {
		s := NewServer(t)
		s.Flags = []string{"--key-file", filepath.Join(s.Data, "key")}
		s.refuses(2, "key")
	})
}

// TestTwoProcessesOnOneDirectory starts a second program on the data of the first.
func TestTwoProcessesOnOneDirectory(t *testing.T) {
	s := StartServer(t)
	second := NewServer(t)
	second.Data, second.home = s.Data, s.home
	second.refuses(3, "another firebreak runs on this data directory (--data)", "--database-url")
	if res, err := http.Get(s.URL + "/healthz"); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("the first is gone: %v", err)
	}
	s.Kill() // a lock that a killed process held is free
	s.Start()
	s.Stop()
}

// TestAnInterruptDrainsAndTheNextStartGoesOn stops the program while people are asked, and again while a block is held.
func TestAnInterruptDrainsAndTheNextStartGoesOn(t *testing.T) {
	n := NewNetwork(t)
	s := StartServer(t)
	first := s.Link
	c := NewCustomer(s.SignIn(s.Link), "acme", threat.ModeCollaborate, quick(25*time.Second))
	c.Connect("nftables", "Router", map[string]string{"namespace": n.Router.Name})
	held := func() bool {
		out, err := n.Router.Command(t.Context(), "nft", "list", "ruleset").CombinedOutput()
		if err != nil {
			t.Fatalf("nft: %v: %s", err, out)
		}
		return strings.Contains(string(out), Attacker4+" ")
	}
	c.attackFrom(Attacker4)
	q := c.asked(Attacker4)
	s.Stop()
	if !strings.Contains(s.Output(), "Draining") {
		t.Errorf("it does not say that it drains: %s", tail(s.Output(), 500))
	}
	s.VerifyJournal()

	s.Start()
	if s.Link != "" || first == "" {
		t.Errorf("sign-in links: %q, then %q", first, s.Link)
	}
	if got := c.asked(Attacker4); got.ID != q.ID || got.Digest != q.Digest {
		t.Errorf("people are asked something else: %+v, before %+v", got, q)
	}
	c.Contact.Say("approve", q.ID.String(), "--yes", "--digest", q.Digest)
	Eventually(t, 20*time.Second, "the router holds the address", held)
	s.Stop()
	if !held() {
		t.Error("the block went with the program")
	}
	s.Start()
	c.Response(q.Case, time.Minute, threat.ResponseReleased)
	if held() {
		t.Error("the router still holds the address")
	}
	claims := c.Count(threat.EntryClaimGranted)
	if claims != 2 {
		t.Errorf("%d claims instead of one to act and one to release", claims)
	}
	s.Stop()
	s.VerifyJournal()

	for path, want := range map[string]os.FileMode{s.Data: 0o700, filepath.Join(s.home, "firebreak", "key"): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v", path, info, err)
		}
	}
	s.home = t.TempDir() // another key
	s.refuses(2, "key")
}
