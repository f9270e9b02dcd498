package nftables_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/adapters/adaptertest"
	"github.com/firebreak/firebreak/adapters/nftables"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// wire is an attacker's namespace and a host's, with a veth pair between them.
type wire struct {
	t              *testing.T
	attacker, host string
}

const (
	attacker4, host4 = "198.51.100.7", "198.51.100.1"
	attacker6, host6 = "2001:db8:7::7", "2001:db8:7::1"
)

var wires atomic.Int64

// needKernel skips, by name and reason, where packets cannot be filtered for real.
func needKernel(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces and nftables")
	}
	for _, program := range []string{"nft", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			if _, err := exec.LookPath("/usr/sbin/" + program); err != nil {
				t.Skipf("needs the program %s (Debian: nftables, iproute2)", program)
			}
		}
	}
}

func stretch(t *testing.T) wire {
	t.Helper()
	needKernel(t)
	n := fmt.Sprintf("%d-%d", os.Getpid(), wires.Add(1))
	w := wire{t: t, attacker: "fbtest-a-" + n, host: "fbtest-h-" + n}
	t.Cleanup(func() {
		for _, ns := range []string{w.attacker, w.host} {
			if out, err := exec.Command("ip", "netns", "del", ns).CombinedOutput(); err != nil {
				t.Errorf("a namespace stays behind: %s: %s", ns, out)
			}
		}
	})
	for _, args := range []string{
		"netns add " + w.attacker, "netns add " + w.host,
		"-n " + w.attacker + " link add eth0 type veth peer name eth0 netns " + w.host,
		"-n " + w.attacker + " addr add " + attacker4 + "/24 dev eth0",
		"-n " + w.attacker + " addr add " + attacker6 + "/64 dev eth0 nodad",
		"-n " + w.host + " addr add " + host4 + "/24 dev eth0",
		"-n " + w.host + " addr add " + host6 + "/64 dev eth0 nodad",
		"-n " + w.attacker + " link set eth0 up", "-n " + w.host + " link set eth0 up",
		"-n " + w.attacker + " link set lo up", "-n " + w.host + " link set lo up",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	return w
}

// within runs fn on a thread that is in a namespace; sockets made there stay there. The thread ends with it.
func within(ns string, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread
		f, err := os.Open("/run/netns/" + ns)
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

// echo answers on the host's side for as long as the test runs.
func (w wire) echo(address string) {
	w.t.Helper()
	var l net.Listener
	err := within(w.host, func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(w.t.Context(), "tcp", net.JoinHostPort(address, "7777"))
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
}

func (w wire) dial(address string) (net.Conn, error) {
	var c net.Conn
	err := within(w.attacker, func() (err error) {
		// One address: no second goroutine, which would be on a thread of another namespace.
		c, err = (&net.Dialer{Timeout: 700 * time.Millisecond, FallbackDelay: -1}).Dial("tcp", net.JoinHostPort(address, "7777"))
		return err
	})
	return c, err
}

// says sends a line over a connection that stands, and reports whether it came back.
func says(c net.Conn, r *bufio.Reader, line string) bool {
	if err := c.SetDeadline(time.Now().Add(700 * time.Millisecond)); err != nil {
		return false
	}
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return false
	}
	for {
		got, err := r.ReadString('\n')
		if err != nil {
			return false
		}
		if got == line+"\n" {
			return true
		}
	}
}

func (w wire) reaches(address string) bool {
	c, err := w.dial(address)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// pings sends one echo request from the host to the attacker.
func (w wire) pings(address string) bool {
	if _, err := exec.LookPath("ping"); err != nil {
		w.t.Log("ping is not installed; TCP alone shows it")
		return false
	}
	return exec.Command("ip", "netns", "exec", w.host, "ping", "-c1", "-W1", "-n", address).Run() == nil
}

func (w wire) firewall(settings map[string]string) *adapters.Device {
	w.t.Helper()
	m := map[string]string{"namespace": w.host}
	for k, v := range settings {
		m[k] = v
	}
	fw, err := nftables.Open(m, nftables.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	return adapters.Wrap(fw, nftables.Info, adapters.Options{})
}

func (w wire) nft(args ...string) string {
	w.t.Helper()
	out, err := exec.Command("ip", append([]string{"netns", "exec", w.host, "nft"}, args...)...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("nft %v: %v: %s", args, err, out)
	}
	return string(out)
}

func realOrder(target string, until, deviceEnds time.Duration) adapters.Order {
	o := order(&clock{time.Now()}, target, "both", 1)
	o.Until, o.DeviceEnds = time.Now().Add(until), time.Now().Add(deviceEnds)
	return o
}

// TestTrafficStopsAndFlowsAgain shows it with packets: new connections and those that stand, both families, after a removal
// and after the device's own end.
func TestTrafficStopsAndFlowsAgain(t *testing.T) {
	for _, c := range []struct{ name, attacker, host string }{{"IPv4", attacker4, host4}, {"IPv6", attacker6, host6}} {
		t.Run(c.name, func(t *testing.T) {
			w := stretch(t)
			// A filter of somebody else's that lets everything pass which stands: ours comes before it, and stays apart.
			w.nft("add table inet theirs")
			w.nft("add chain inet theirs input { type filter hook input priority 0; policy accept; }")
			w.nft("add rule inet theirs input ct state established,related accept")
			theirs := w.nft("list table inet theirs")
			w.echo(c.host)
			for begun := time.Now(); !w.reaches(c.host); { // neighbours take a moment to find each other
				if time.Since(begun) > 10*time.Second {
					t.Fatal("nothing flows before the block")
				}
			}
			conn, err := w.dial(c.host)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			r := bufio.NewReader(conn)
			if !says(conn, r, "before") {
				t.Fatal("nothing flows before the block")
			}
			d := w.firewall(nil)
			if err := d.Test(t.Context()); err != nil {
				t.Fatal(err)
			}
			o := realOrder(c.attacker, time.Minute, 2*time.Minute)
			if r, err := d.Apply(t.Context(), o); err != nil || r.Outcome != threat.OutcomeSuccess {
				t.Fatal(r, err)
			}
			if says(conn, r, "during") {
				t.Error("a connection that stands goes on through the block")
			}
			if w.reaches(c.host) {
				t.Error("a new connection gets through the block")
			}
			if w.pings(c.attacker) {
				t.Error("the host still reaches the blocked address")
			}
			if got, err := d.Read(t.Context(), o); err != nil || got.Presence != adapters.Ours || !got.InForce {
				t.Fatalf("%+v %v", got, err)
			}
			if r, err := d.Remove(t.Context(), o); err != nil || r.Outcome != threat.OutcomeSuccess {
				t.Fatal(r, err)
			}
			if !w.reaches(c.host) {
				t.Error("nothing flows after the removal")
			}

			o = realOrder(c.attacker, time.Second, 2*time.Second)
			if _, err := d.Apply(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			if w.reaches(c.host) {
				t.Error("the second block does not hold")
			}
			time.Sleep(time.Until(o.DeviceEnds) + 1500*time.Millisecond)
			if !w.reaches(c.host) {
				t.Error("nothing flows after the device's own end")
			}
			if got, err := d.Read(t.Context(), o); err != nil || got.Presence != adapters.Absent {
				t.Fatalf("%+v %v", got, err)
			}
			if now := w.nft("list table inet theirs"); now != theirs {
				t.Errorf("another table was touched:\n%s", now)
			}
		})
	}
}

// TestDirections blocks one way only: what the host asks of the address, or what the address asks of the host. One way is
// enough to stop a TCP handshake, so the counters of the other side tell which packets came through.
func TestDirections(t *testing.T) {
	for _, c := range []struct {
		direction string
		arrives   bool // the host's ping at the attacker
	}{{"in", true}, {"out", false}} {
		t.Run(c.direction, func(t *testing.T) {
			w := stretch(t)
			count := func(args ...string) string {
				t.Helper()
				out, err := exec.Command("ip", append([]string{"netns", "exec", w.attacker, "nft"}, args...)...).CombinedOutput()
				if err != nil {
					t.Fatalf("nft %v: %v: %s", args, err, out)
				}
				return string(out)
			}
			count("add table inet seen")
			count("add chain inet seen input { type filter hook input priority 0; }")
			count("add rule inet seen input icmp type echo-request counter")
			d := w.firewall(nil)
			o := realOrder(attacker4, time.Minute, 2*time.Minute)
			o.Params = map[string]string{"direction": c.direction}
			if _, err := d.Apply(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			if got, err := d.Read(t.Context(), o); err != nil || !got.InForce || got.Presence != adapters.Ours {
				t.Fatalf("%+v %v", got, err)
			}
			if _, err := exec.LookPath("ping"); err != nil {
				t.Skip("needs the program ping")
			}
			if w.pings(attacker4) {
				t.Error("a ping comes back")
			}
			if arrived := !strings.Contains(count("list", "table", "inet", "seen"), "packets 0 "); arrived != c.arrives {
				t.Errorf("the host's ping arrived: %v; want %v", arrived, c.arrives)
			}
		})
	}
}

// TestWhatIsNotInForceIsNotCalledSo takes the rules away from under an element, and puts the table to sleep.
func TestWhatIsNotInForceIsNotCalledSo(t *testing.T) {
	w := stretch(t)
	d := w.firewall(nil)
	w.echo(host4)
	for _, harm := range [][]string{
		{"flush", "chain", "inet", "firebreak", "before_input"},
		{"add", "table", "inet", "firebreak", "{ flags dormant; }"},
		{"insert", "rule", "inet", "firebreak", "early_prerouting", "accept"},
	} {
		o := realOrder(attacker4, time.Minute, 2*time.Minute)
		if _, err := d.Apply(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		w.nft(harm...)
		got, err := d.Read(t.Context(), o)
		if err != nil || got.InForce || got.Presence != adapters.Ours {
			t.Fatalf("after nft %v: %+v %v", harm, got, err)
		}
		if _, err := d.Apply(t.Context(), o); err != nil { // the same request again mends it
			t.Fatal(err)
		}
		if got, err := d.Read(t.Context(), o); err != nil || !got.InForce {
			t.Fatalf("after nft %v and a repair: %+v %v", harm, got, err)
		}
		if w.reaches(host4) {
			t.Fatalf("after nft %v and a repair, traffic flows", harm)
		}
		if _, err := d.Remove(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRealFailures asks the real programs for what they cannot do.
func TestRealFailures(t *testing.T) {
	needKernel(t)
	o := realOrder(attacker4, time.Minute, 2*time.Minute)
	for _, settings := range []map[string]string{{"namespace": "fbtest-no-such-namespace"}, {"nft": "/no/such/nft"}} {
		fw, err := nftables.Open(settings, nftables.Options{})
		if err != nil {
			t.Fatal(err)
		}
		d := adapters.Wrap(fw, nftables.Info, adapters.Options{})
		if _, err := d.Apply(t.Context(), o); !threat.Is(err, threat.Unavailable) {
			t.Errorf("%v: apply answered %v", settings, err)
		}
		if _, err := d.Read(t.Context(), o); !threat.Is(err, threat.Unavailable) {
			t.Errorf("%v: read answered %v", settings, err)
		}
	}
}

// TestConformanceReal runs the suite on the kernel. Faults are put between the adapter and the real nft.
func TestConformanceReal(t *testing.T) {
	needKernel(t)
	adaptertest.Run(t, adaptertest.Harness{
		Info: nftables.Info,
		Targets: map[string][2]threat.Target{verb.BlockIP: {{Kind: threat.TargetIP, Value: attacker4},
			{Kind: threat.TargetIP, Value: "2001:db8:7::9"}}},
		Excuse:   notHere,
		CallTime: time.Second,
		Open: func(t *testing.T) *adaptertest.Bench {
			w := stretch(t)
			r := &troubled{armed: map[bool][]adaptertest.Fault{}}
			fw, err := nftables.Open(map[string]string{"namespace": w.host}, nftables.Options{
				Runner: func(s nftables.Settings) nftables.Runner { r.real = nftables.Exec(s); return r }})
			if err != nil {
				t.Fatal(err)
			}
			return &adaptertest.Bench{
				Actor: fw,
				State: func() string { return w.nft("list", "ruleset") },
				Sends: r.sends,
				Holds: func(o adapters.Order) bool { // nft's own words, in its own format, not the adapter's reader
					for _, line := range strings.Split(w.nft("list", "ruleset"), "\n") {
						if strings.Contains(line, o.Target.Value+" ") {
							return true
						}
					}
					return false
				},
				Plant: func(o adapters.Order) {
					seed := realOrder("192.0.2.250", time.Minute, 2*time.Minute)
					for _, step := range []func(context.Context, adapters.Order) (adapters.Receipt, error){fw.Apply, fw.Remove} {
						if _, err := step(t.Context(), seed); err != nil {
							t.Fatal(err)
						}
					}
					set := "blocked4"
					if netip.MustParseAddr(o.Target.Value).Is6() {
						set = "blocked6"
					}
					w.nft("add", "element", "inet", "firebreak", set, "{ "+o.Target.Value+" comment \"by hand\" }")
				},
				Arm: func(f adaptertest.Fault, op adaptertest.Op) {
					n := 1
					if f == adaptertest.Status404 && op != adaptertest.OpRead || f == adaptertest.Status409 && op == adaptertest.OpApply {
						n = 2 // it looks again once
					}
					for range n {
						r.arm(f, op != adaptertest.OpRead)
					}
				},
			}
		},
	})
}

// troubled is the real nft, with faults before and after it.
type troubled struct {
	real  nftables.Runner
	mu    sync.Mutex
	n     int
	armed map[bool][]adaptertest.Fault
}

func (r *troubled) arm(f adaptertest.Fault, change bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.armed[change] = append(r.armed[change], f)
}

func (r *troubled) sends() int { r.mu.Lock(); defer r.mu.Unlock(); return r.n }

func (r *troubled) Run(ctx context.Context, args []string, stdin []byte) (nftables.Output, error) {
	change := bytes.Equal([]byte(strings.Join(args, " ")), []byte("-j -f -"))
	r.mu.Lock()
	if change {
		r.n++
	}
	var f adaptertest.Fault
	if q := r.armed[change]; len(q) > 0 {
		f, r.armed[change] = q[0], q[1:]
	}
	r.mu.Unlock()
	x := troubles[f]
	if f == "" || x.Effect {
		out, err := r.real.Run(ctx, args, stdin)
		if f == "" || err != nil {
			return out, err
		}
	}
	switch {
	case x.Hang:
		<-ctx.Done()
		return nftables.Output{Code: -1}, ctx.Err()
	case x.NotStarted:
		return nftables.Output{}, threat.Faultf(threat.Unavailable, "nft could not be started")
	case x.Signal:
		return nftables.Output{Code: -1}, nil
	case x.Quiet:
		return nftables.Output{}, nil
	}
	return nftables.Output{Code: 1, Stderr: []byte("Error: Could not process rule: " + x.Stderr)}, nil
}
