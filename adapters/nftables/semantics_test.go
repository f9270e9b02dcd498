package nftables_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/adapters/nftables"
	"github.com/firebreak/firebreak/adapters/nftables/nftsim"
	"github.com/firebreak/firebreak/internal/threat"
)

var bad = netip.MustParseAddr("198.51.100.7")

// All of these run on a simulation of nft, and say nothing about the kernel.

func must(t *testing.T, what string, r adapters.Receipt, err error) adapters.Receipt {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return r
}

func TestSimulatedDirections(t *testing.T) {
	for direction, want := range map[string][2]bool{"": {false, false}, "both": {false, false}, "in": {false, true}, "out": {true, false}} {
		fw, sim, c := simulated(t, nil)
		r, err := fw.Apply(t.Context(), order(c, bad.String(), direction, 1))
		must(t, "apply", r, err)
		if from, to := sim.Passes("input", bad, here), sim.Passes("output", here, bad); from != want[0] || to != want[1] {
			t.Errorf("%q: from it passes %v, to it passes %v; want %v", direction, from, to, want)
		}
		if !sim.Passes("input", netip.MustParseAddr("198.51.100.9"), here) {
			t.Errorf("%q: another address is stopped", direction)
		}
	}
}

// TestSimulatedNarrowedDirection moves an entry of ours between sets with the next generation, and leaves nothing behind.
func TestSimulatedNarrowedDirection(t *testing.T) {
	fw, sim, c := simulated(t, nil)
	r, err := fw.Apply(t.Context(), order(c, bad.String(), "both", 1))
	must(t, "apply", r, err)
	r, err = fw.Apply(t.Context(), order(c, bad.String(), "in", 2))
	if must(t, "apply narrower", r, err).Adopted {
		t.Error("our own entry was adopted")
	}
	if !sim.Passes("output", here, bad) || sim.Passes("input", bad, here) {
		t.Error("the narrower block is not what holds")
	}
	r, err = fw.Remove(t.Context(), order(c, bad.String(), "in", 2))
	must(t, "remove", r, err)
	if !sim.Passes("input", bad, here) {
		t.Error("something stays behind")
	}
}

// TestSimulatedForeignBlockCoversADirection adopts a block of both ways for an order of one.
func TestSimulatedForeignBlockCoversADirection(t *testing.T) {
	fw, sim, c := simulated(t, nil)
	r, err := fw.Apply(t.Context(), order(c, "192.0.2.1", "", 1))
	must(t, "seed", r, err)
	sim.Plant("firebreak", "blocked4", bad, "")
	r, err = fw.Apply(t.Context(), order(c, bad.String(), "in", 1))
	if !must(t, "apply", r, err).Adopted {
		t.Errorf("%+v", r)
	}
}

// between runs something between the adapter's look and its change.
type between struct {
	*nftsim.Sim
	once func()
}

func (b *between) Run(ctx context.Context, args []string, stdin []byte) (nftables.Output, error) {
	if strings.Join(args, " ") == "-j -f -" && b.once != nil {
		fn := b.once
		b.once = nil
		fn()
	}
	return b.Sim.Run(ctx, args, stdin)
}

// TestSimulatedRace has somebody else block the address between our look and our change: it is adopted, not taken over.
func TestSimulatedRace(t *testing.T) {
	c := newClock()
	b := &between{Sim: nftsim.New(c.now)}
	fw, err := nftables.Open(nil, nftables.Options{Now: c.now, Runner: func(nftables.Settings) nftables.Runner { return b }})
	if err != nil {
		t.Fatal(err)
	}
	r, err := fw.Apply(t.Context(), order(c, "192.0.2.1", "", 1))
	must(t, "seed", r, err)
	b.once = func() { b.Plant("firebreak", "blocked4", bad, "theirs") }
	o := order(c, bad.String(), "", 1)
	r, err = fw.Apply(t.Context(), o)
	if !must(t, "apply", r, err).Adopted {
		t.Errorf("%+v", r)
	}
	if !strings.Contains(b.State(), `"theirs"`) {
		t.Errorf("theirs is gone:\n%s", b.State())
	}
	// And an entry of ours leaves by itself just before we delete it.
	o = order(c, "198.51.100.8", "", 1)
	r, err = fw.Apply(t.Context(), o)
	must(t, "apply", r, err)
	b.once = func() { c.t = c.t.Add(time.Hour) }
	r, err = fw.Remove(t.Context(), o)
	if must(t, "remove", r, err).Outcome != threat.OutcomeDoesNotExist {
		t.Errorf("%+v", r)
	}
}

// TestSimulatedRenewalOnOldKernels renews on kernels that pass over an element which is there, and on those that do not.
func TestSimulatedRenewalOnOldKernels(t *testing.T) {
	for _, old := range []bool{true, false} {
		fw, sim, c := simulated(t, nil)
		sim.OldKernel = old
		o := order(c, bad.String(), "", 1)
		r, err := fw.Apply(t.Context(), o)
		must(t, "apply", r, err)
		c.t = c.t.Add(time.Minute)
		o.DeviceEnds = c.t.Add(time.Hour)
		o.Until = o.DeviceEnds
		before := sim.Changes()
		r, err = fw.Renew(t.Context(), o)
		must(t, "renew", r, err)
		if n := sim.Changes() - before; n != 1 {
			t.Errorf("old kernel %v: %d transactions; one leaves no gap", old, n)
		}
		c.t = c.t.Add(59 * time.Minute)
		if sim.Passes("input", bad, here) {
			t.Errorf("old kernel %v: the renewed entry is gone", old)
		}
		c.t = c.t.Add(time.Minute)
		if !sim.Passes("input", bad, here) {
			t.Errorf("old kernel %v: the entry does not end", old)
		}
	}
}

func TestSimulatedHooksAndTable(t *testing.T) {
	fw, sim, c := simulated(t, map[string]string{"hook": "forward", "table": "guard2"})
	o := order(c, bad.String(), "", 1)
	r, err := fw.Apply(t.Context(), o)
	must(t, "apply", r, err)
	if sim.Passes("forward", bad, here) || !sim.Passes("input", bad, here) || !sim.Passes("prerouting", bad, here) || !sim.Passes("output", here, bad) {
		t.Errorf("other hooks than forward are touched:\n%s", sim.State())
	}
	if !strings.HasPrefix(sim.State(), "table guard2 ") || strings.Count(sim.State(), "table ") != 1 {
		t.Errorf("other tables than our own:\n%s", sim.State())
	}
	got, err := fw.Read(t.Context(), o)
	if err != nil || !got.InForce {
		t.Errorf("%+v %v", got, err)
	}
	sim.Sleep("guard2", true)
	if got, err := fw.Read(t.Context(), o); err != nil || got.InForce {
		t.Errorf("a sleeping table is in force: %+v %v", got, err)
	}
}
