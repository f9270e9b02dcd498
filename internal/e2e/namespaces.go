//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Addresses of the network. Those of the attacker are documentation's (RFC 5737, RFC 3849), those of the victim private.
const (
	Attacker4 = "198.51.100.7"
	Attacker6 = "2001:db8:7::7"
	Victim4   = "10.77.0.10"
	Victim6   = "fd77::10"

	outside4, outside6 = "198.51.100.1", "2001:db8:7::1"
	inside4, inside6   = "10.77.0.1", "fd77::1"
)

// Network is an attacker and a victim, each in a network namespace of its own, with a router between them. What the
// router's nftables drops does not arrive.
type Network struct {
	Attacker, Router, Victim Namespace
}

// Namespace is one network namespace.
type Namespace struct {
	Name string
	t    testing.TB
}

var networks atomic.Int64

// NewNetwork makes the three namespaces and removes them when the test ends. It is skipped without root, ip or nft.
func NewNetwork(t testing.TB) Network {
	t.Helper()
	needRoot(t)
	program(t, "ip", "iproute2")
	program(t, "nft", "nftables")
	id := fmt.Sprintf("%d-%d", os.Getpid(), networks.Add(1))
	n := Network{Attacker: Namespace{"fbe2e-a-" + id, t}, Router: Namespace{"fbe2e-r-" + id, t}, Victim: Namespace{"fbe2e-v-" + id, t}}
	t.Cleanup(func() {
		for _, ns := range []Namespace{n.Attacker, n.Router, n.Victim} {
			if out, err := exec.Command("ip", "netns", "del", ns.Name).CombinedOutput(); err != nil {
				t.Errorf("a namespace stays behind: %s: %s", ns.Name, out)
			}
		}
	})
	a, r, v := n.Attacker.Name, n.Router.Name, n.Victim.Name
	for _, args := range []string{
		"netns add " + a, "netns add " + r, "netns add " + v,
		"-n " + a + " link add eth0 type veth peer name outside netns " + r,
		"-n " + v + " link add eth0 type veth peer name inside netns " + r,
		"-n " + a + " addr add " + Attacker4 + "/24 dev eth0", "-n " + a + " addr add " + Attacker6 + "/64 dev eth0 nodad",
		"-n " + v + " addr add " + Victim4 + "/24 dev eth0", "-n " + v + " addr add " + Victim6 + "/64 dev eth0 nodad",
		"-n " + r + " addr add " + outside4 + "/24 dev outside", "-n " + r + " addr add " + outside6 + "/64 dev outside nodad",
		"-n " + r + " addr add " + inside4 + "/24 dev inside", "-n " + r + " addr add " + inside6 + "/64 dev inside nodad",
		"-n " + a + " link set lo up", "-n " + r + " link set lo up", "-n " + v + " link set lo up",
		"-n " + a + " link set eth0 up", "-n " + v + " link set eth0 up",
		"-n " + r + " link set outside up", "-n " + r + " link set inside up",
		"-n " + a + " route add default via " + outside4, "-n " + a + " route add default via " + outside6,
		"-n " + v + " route add default via " + inside4, "-n " + v + " route add default via " + inside6,
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	if err := n.Router.Do(func() error {
		return errors.Join(os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644),
			os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0o644))
	}); err != nil {
		t.Fatalf("the router forwards nothing: %v", err)
	}
	return n
}

// Command is a program that will run in the namespace.
func (n Namespace) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", n.Name, name}, args...)...)
}

// Run runs a program in the namespace to its end and gives its output. The test fails when the program does.
func (n Namespace) Run(name string, args ...string) string {
	n.t.Helper()
	out, err := n.Command(n.t.Context(), name, args...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("%s %v in %s: %v: %s", name, args, n.Name, err, out)
	}
	return string(out)
}

// Do runs fn on a thread that is in the namespace; sockets made there stay there. The thread ends with it.
func (n Namespace) Do(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread
		f, err := os.Open("/run/netns/" + n.Name)
		if err != nil {
			done <- err
			return
		}
		defer f.Close()
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- fn()
	}()
	return <-done
}

// Listen listens on a TCP address of the namespace until the test ends.
func (n Namespace) Listen(address string) net.Listener {
	n.t.Helper()
	var l net.Listener
	if err := n.Do(func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
		return err
	}); err != nil {
		n.t.Fatalf("listen on %s in %s: %v", address, n.Name, err)
	}
	n.t.Cleanup(func() { _ = l.Close() }) // a server may have closed it
	return l
}

// Dial connects from the namespace to a TCP address. Names are not looked up.
func (n Namespace) Dial(address string, most time.Duration) (net.Conn, error) {
	var c net.Conn
	err := n.Do(func() (err error) {
		// One address: no second goroutine, which would be on a thread of another namespace.
		c, err = (&net.Dialer{Timeout: most, FallbackDelay: -1}).Dial("tcp", address)
		return err
	})
	return c, err
}

// probeTime is how long a packet may take through two veth pairs on a busy machine.
const probeTime = time.Second

// Echo answers on a TCP address of the namespace with what it is sent, until the test ends.
func (n Namespace) Echo(address string) {
	n.t.Helper()
	l := n.Listen(address)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }() // the other side ends it
		}
	}()
}

// Reaches reports whether a new connection from the namespace to an Echo is answered.
func (n Namespace) Reaches(address string) bool {
	l, err := n.Line(address)
	if err != nil {
		return false
	}
	defer l.Close()
	return l.Says("probe")
}

// Line is a connection to an Echo that stands.
type Line struct {
	net.Conn
	r *bufio.Reader
}

// Line opens a connection to an Echo.
func (n Namespace) Line(address string) (*Line, error) {
	c, err := n.Dial(address, probeTime)
	if err != nil {
		return nil, err
	}
	return &Line{c, bufio.NewReader(c)}, nil
}

// Says sends a line over the connection and reports whether it came back. Lines that were held up before it are passed over.
func (l *Line) Says(text string) bool {
	if err := l.SetDeadline(time.Now().Add(probeTime)); err != nil {
		return false
	}
	if _, err := io.WriteString(l, text+"\n"); err != nil {
		return false
	}
	for {
		got, err := l.r.ReadString('\n')
		if err != nil {
			return false
		}
		if got == text+"\n" {
			return true
		}
	}
}
