//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/firebreak/firebreak/internal/api/client"
)

// BinEnv names the built program. Without it the tests build bin/firebreak.
const BinEnv = "FIREBREAK_BIN"

// How long the program may take on a busy machine: to come up with new databases, to drain, and for one command.
const (
	startTime   = 2 * time.Minute
	linkTime    = 5 * time.Second // for its first words to be read
	stopTime    = 45 * time.Second
	commandTime = time.Minute
)

var build = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("go list: %w", err)
	}
	bin := filepath.Join(string(bytes.TrimSpace(out)), "bin", "firebreak")
	cmd := exec.Command("go", "build", "-trimpath", "-o", bin, "github.com/firebreak/firebreak/cmd/firebreak")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return bin, nil
})

// binary gives the path of the built program.
func binary(t testing.TB) string {
	t.Helper()
	if bin := os.Getenv(BinEnv); bin != "" {
		return bin
	}
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// Server is the built program as people run it: `firebreak serve` with a home, a key file, a data directory and ports of
// its own, all of which it keeps when it is started anew.
type Server struct {
	*Process
	URL   string   // of API, console and feed
	Data  string   // the data directory
	Link  string   // the first administrator's sign-in link; empty once somebody has signed in
	Flags []string // beyond those for data and ports
	home  string
	ports int // the first of eleven

	signedIn bool // somebody has, so that no link is written any more
	t        testing.TB
}

// NewServer makes the folders and finds ports. Nothing runs before Start.
func NewServer(t testing.TB, flags ...string) *Server {
	t.Helper()
	dir := t.TempDir()
	s := &Server{Data: filepath.Join(dir, "data"), Flags: flags, home: filepath.Join(dir, "home"), ports: freeRange(t, 11), t: t}
	s.URL = fmt.Sprintf("http://127.0.0.1:%d", s.ports)
	if err := os.Mkdir(s.home, 0o700); err != nil {
		t.Fatal(err)
	}
	return s
}

// StartServer makes a server and starts it.
func StartServer(t testing.TB, flags ...string) *Server {
	t.Helper()
	s := NewServer(t, flags...)
	s.Start()
	return s
}

// freeRange gives the first of n ports of loopback on which nobody listens now. They lie below those that outgoing
// connections take, so that they are free as well when the program comes back.
func freeRange(t testing.TB, n int) int {
	t.Helper()
	for range 200 {
		first := 10000 + rand.IntN(9900)
		if free(first, n) {
			return first
		}
	}
	t.Fatalf("no %d free ports in a row", n)
	return 0
}

func free(first, n int) bool {
	for port := first; port < first+n; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false
		}
		if l.Close() != nil {
			return false
		}
	}
	return true
}

// Env is the environment of the program, and of commands that belong to it: nothing of the test's own reaches it.
func (s *Server) Env() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(), "HOME=" + s.home, "XDG_CONFIG_HOME=" + s.home,
		"FIREBREAK_SERVER=" + s.URL}
}

// Command is a command line of the program.
func (s *Server) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary(s.t), args...)
	cmd.Env = s.Env()
	return cmd
}

// ServeArgs is the command line of Start.
func (s *Server) ServeArgs() []string {
	return append([]string{"serve", "--data", s.Data, "--listen", fmt.Sprintf("127.0.0.1:%d", s.ports), "--metrics-listen", "off",
		"--temporal-port", fmt.Sprint(s.ports + 1)}, s.Flags...)
}

var signInLink = regexp.MustCompile(`sign in once within 15 minutes: (http\S+)`)

// Start starts the program, anew after Stop or Kill, and waits until it is ready.
func (s *Server) Start() {
	s.t.Helper()
	s.Begin()
	s.Ready()
}

// Begin starts the program and does not wait.
func (s *Server) Begin() {
	s.t.Helper()
	s.Process = Start(s.t, "firebreak serve", s.Command(context.Background(), s.ServeArgs()...))
}

// Ready waits until the program says that it is ready, and reads its sign-in link.
func (s *Server) Ready() {
	s.t.Helper()
	Eventually(s.t, startTime, "firebreak is ready", func() bool {
		if s.Ended() {
			s.t.Fatalf("firebreak ended before it was ready: %v\n%s", s.Wait(0), tail(s.Output(), 2000))
		}
		res, err := http.Get(s.URL + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	s.Link = ""
	// What it wrote before it answered may still be on its way to us.
	for deadline := time.Now().Add(linkTime); s.Link == "" && !s.signedIn && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if m := signInLink.FindStringSubmatch(s.Output()); m != nil {
			s.Link = m[1]
		}
	}
}

// Stop interrupts the program, as Ctrl-C does, and waits until it has drained: it then ends with 0.
func (s *Server) Stop() {
	s.t.Helper()
	if err := s.Signal(syscall.SIGINT); err != nil {
		s.t.Fatal(err)
	}
	if err := s.Wait(stopTime); err != nil {
		s.t.Fatalf("firebreak did not drain: %v\n%s", err, tail(s.Output(), 4000))
	}
}

// Client calls the API with a token or a session's secret.
func (s *Server) Client(secret string) *client.Client {
	s.t.Helper()
	c, err := client.New(client.Options{Server: s.URL, Token: secret, Version: "e2e"})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// SignIn uses a sign-in link up, as `firebreak login` does.
func (s *Server) SignIn(link string) *User {
	s.t.Helper()
	ses, err := s.Client("").SignIn(s.t.Context(), link)
	if err != nil {
		s.t.Fatalf("sign in: %v", err)
	}
	s.signedIn = true
	return &User{Client: s.Client(ses.Secret), Secret: ses.Secret, server: s}
}

// User is a signed-in person at a terminal.
type User struct {
	*client.Client
	Secret string
	server *Server
}

// Run runs a command line of the program as the person, and gives what it writes and its exit code.
func (u *User) Run(args ...string) (stdout, stderr string, code int) {
	u.server.t.Helper()
	return u.server.Run([]string{"FIREBREAK_TOKEN=" + u.Secret}, args...)
}

// Say runs a command line that has to succeed, and gives what it writes.
func (u *User) Say(args ...string) string {
	u.server.t.Helper()
	out, complaint, code := u.Run(args...)
	if code != 0 {
		u.server.t.Fatalf("firebreak %v ended with %d: %s%s", args, code, out, complaint)
	}
	return out
}

// Run runs a command line of the program with more variables in its environment.
func (s *Server) Run(env []string, args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), commandTime)
	defer cancel()
	cmd := s.Command(ctx, args...)
	cmd.Env = append(cmd.Env, env...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		s.t.Fatalf("firebreak %v: %v", args, errors.Join(err, ctx.Err()))
	}
	return out.String(), complaint.String(), cmd.ProcessState.ExitCode()
}

// VerifyJournal checks the journal with the program's own command, beside the running server or after it.
func (s *Server) VerifyJournal(flags ...string) {
	s.t.Helper()
	out, complaint, code := s.Run(nil, append([]string{"journal", "verify", "--data", s.Data}, flags...)...)
	if code != 0 {
		s.t.Errorf("journal verify ended with %d: %s%s", code, out, complaint)
	}
}

// get reads one JSON answer of the API that the client has no call for.
func (u *User) get(path string, into any) {
	t := u.server.t
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u.server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+u.Secret)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %d %v %s", path, res.StatusCode, err, b)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("GET %s: %v in %s", path, err, b)
	}
}
