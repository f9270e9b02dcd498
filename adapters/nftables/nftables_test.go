package nftables_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/adapters/adaptertest"
	"github.com/firebreak/firebreak/adapters/nftables"
	"github.com/firebreak/firebreak/adapters/nftables/nftsim"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// clock is a test's own.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func newClock() *clock { return &clock{time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)} }

var here = netip.MustParseAddr("203.0.113.1")
var here6 = netip.MustParseAddr("2001:db8:1::1")

func hereFor(a netip.Addr) netip.Addr {
	if a.Is4() {
		return here
	}
	return here6
}

// simulated opens the adapter on a simulation of nft.
func simulated(t *testing.T, settings map[string]string) (*nftables.Firewall, *nftsim.Sim, *clock) {
	t.Helper()
	c := newClock()
	sim := nftsim.New(c.now)
	fw, err := nftables.Open(settings, nftables.Options{Now: c.now, Runner: func(nftables.Settings) nftables.Runner { return sim }})
	if err != nil {
		t.Fatal(err)
	}
	return fw, sim, c
}

func order(c *clock, target, direction string, generation int64) adapters.Order {
	key := threat.EffectKey{Verb: verb.BlockIP, Target: threat.Target{Kind: threat.TargetIP, Value: target}}
	o := adapters.Order{EffectID: key.ID(), Generation: generation, Verb: key.Verb, Target: key.Target, Key: "k",
		Mark: adapters.MarkFor(key.ID(), generation), Until: c.t.Add(time.Minute), DeviceEnds: c.t.Add(2 * time.Minute)}
	if direction != "" {
		o.Params = map[string]string{"direction": direction}
	}
	return o
}

// notHere are the faults that cannot befall a program that is run.
var notHere = map[adaptertest.Fault]string{
	adaptertest.Status401: "nft asks for no credential: the kernel looks at capabilities",
	adaptertest.Status429: "netlink limits no rate",
}

// troubles are the matrix's faults in nft's words.
var troubles = map[adaptertest.Fault]nftsim.Trouble{
	adaptertest.TimeoutBefore: {Hang: true},
	adaptertest.TimeoutAfter:  {Hang: true, Effect: true},
	adaptertest.Cut:           {Signal: true, Effect: true},
	adaptertest.Refused:       {NotStarted: true},
	adaptertest.Status403:     {Stderr: "Operation not permitted"},
	adaptertest.Status404:     {Stderr: "No such file or directory"},
	adaptertest.Status409:     {Stderr: "File exists"},
	adaptertest.Status500:     {Signal: true},
	adaptertest.Status503:     {Stderr: "Device or resource busy"},
	adaptertest.LyingSuccess:  {Quiet: true},
}

// TestConformanceSimulated runs the suite on a simulation of nft; TestConformanceReal runs it on the kernel.
func TestConformanceSimulated(t *testing.T) {
	for name, targets := range map[string][2]threat.Target{
		"IPv4": {{Kind: threat.TargetIP, Value: "198.51.100.7"}, {Kind: threat.TargetIP, Value: "198.51.100.8"}},
		"IPv6": {{Kind: threat.TargetIP, Value: "2001:db8::7"}, {Kind: threat.TargetIP, Value: "2001:db8::8"}},
	} {
		t.Run(name, func(t *testing.T) {
			adaptertest.Run(t, adaptertest.Harness{
				Info:    nftables.Info,
				Targets: map[string][2]threat.Target{verb.BlockIP: targets},
				Params:  map[string]map[string]string{verb.BlockIP: {"direction": "both"}},
				Invalid: map[string]func(o *adapters.Order){
					"a direction that is none": func(o *adapters.Order) { o.Params["direction"] = "sideways" },
					"a parameter that is none": func(o *adapters.Order) { o.Params["colour"] = "red" },
					"a domain":                 func(o *adapters.Order) { o.Target = threat.Target{Kind: threat.TargetDomain, Value: "example.com"} },
				},
				Excuse: notHere,
				Open: func(t *testing.T) *adaptertest.Bench {
					fw, sim, c := simulated(t, nil)
					return &adaptertest.Bench{
						Actor: fw, Now: c.now, Advance: func(d time.Duration) { c.t = c.t.Add(d) },
						State: sim.State, Sends: sim.Changes,
						Holds: func(o adapters.Order) bool {
							a := netip.MustParseAddr(o.Target.Value)
							return !sim.Passes("input", a, hereFor(a)) && !sim.Passes("output", hereFor(a), a)
						},
						Plant: func(o adapters.Order) {
							seed := order(c, "192.0.2.250", "", 1) // makes the table, as an earlier block would have
							if _, err := fw.Apply(t.Context(), seed); err != nil {
								t.Fatal(err)
							}
							if _, err := fw.Remove(t.Context(), seed); err != nil {
								t.Fatal(err)
							}
							a := netip.MustParseAddr(o.Target.Value)
							set := "blocked4"
							if a.Is6() {
								set = "blocked6"
							}
							sim.Plant("firebreak", set, a, "by hand")
						},
						Arm: func(f adaptertest.Fault, op adaptertest.Op) {
							x := troubles[f]
							x.Change = op != adaptertest.OpRead
							sim.Arm(x)
							if f == adaptertest.Status404 && x.Change || f == adaptertest.Status409 && op == adaptertest.OpApply { // it looks again once
								sim.Arm(x)
							}
						},
					}
				},
			})
		})
	}
}
