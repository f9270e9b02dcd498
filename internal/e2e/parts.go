//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// PartsEnv names the folder under which .ci/parts has unpacked Debian packages, one folder each.
const PartsEnv = "FIREBREAK_PARTS"

// part gives the root of an unpacked package, or skips by its name.
func part(t testing.TB, name string) string {
	t.Helper()
	root := os.Getenv(PartsEnv)
	if root == "" {
		root = filepath.Join(checkout(t), ".lab", "parts")
	}
	p := filepath.Join(root, name)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("needs %s unpacked (make parts)", name)
	}
	return p
}

// program gives the path of a program of this machine, or skips by its name and the Debian package that has it.
func program(t testing.TB, name, debian string) string {
	t.Helper()
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/sbin/" + name} {
		if p, err := exec.LookPath(candidate); err == nil {
			return p
		}
	}
	t.Skipf("needs the program %s (Debian: %s)", name, debian)
	return ""
}

// checkout gives the root of the source tree.
func checkout(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("go.mod was not found above the test")
		}
		dir = up
	}
}

// needRoot skips where namespaces and packet filters cannot be made.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces, nftables, other users")
	}
}

// Eventually calls ok until it says yes, for at most the given time. Then the test fails with what was waited for.
func Eventually(t testing.TB, most time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(most)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain: %s", most, what)
		}
		time.Sleep(pause)
	}
}

// FreePort gives a TCP port of loopback on which nobody listens now.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Process is a program that runs beside the test, with what it has written.
type Process struct {
	cmd  *exec.Cmd
	name string
	done chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
	err error
}

// Start runs a program until the test ends, and shows the end of its output when the test has failed. It gets a process
// group of its own, so that its children end with it.
func Start(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{cmd: cmd, name: name, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p, p
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, tail(p.Output(), 8<<10))
		}
	})
	return p
}

// Write takes what the program writes.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

// Output gives all that the program has written.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// Pid is the process's id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends a signal to the program alone. One that has ended gets none.
func (p *Process) Signal(s syscall.Signal) error {
	if p.Ended() {
		return nil
	}
	return p.cmd.Process.Signal(s)
}

// Kill ends the program and its children by SIGKILL, and waits until it is gone.
func (p *Process) Kill() {
	if !p.Ended() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it may have ended since
	}
	<-p.done
}

// Ended reports whether the program is gone.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Wait waits until the program is gone, for at most the given time, and gives its error as os/exec tells it.
func (p *Process) Wait(most time.Duration) error {
	select {
	case <-p.done:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.err
	case <-time.After(most):
		return fmt.Errorf("%s still runs after %s", p.name, most)
	}
}

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "..." + s[len(s)-n:]
}
