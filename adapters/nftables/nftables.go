// Package nftables blocks addresses in a Linux packet filter: in a table of its own, with named sets whose elements end by
// themselves, and drop rules in chains that come before everybody else's. It touches no other table. Commands go through
// `nft -j` (libnftables-json(5)), here or in a network namespace.
//
// A drop in a base chain is final, whatever other tables accept, so that connections that stand stop as well. What a
// flowtable has offloaded passes by every chain and is not stopped.
package nftables

import (
	"net/netip"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// Info describes the adapter.
var Info = adapters.Info{
	Name:  "nftables",
	Title: "nftables",
	Verbs: []adapters.Ability{{Verb: verb.BlockIP, Sending: adapters.Natural, Settle: time.Second, DeviceEnds: true}},
	Settings: []adapters.Setting{
		{Name: "namespace", Meaning: "the network namespace to work in (see ip-netns(8)); empty is the one this program runs in"},
		{Name: "hook", Meaning: "which traffic is looked at, of input, forward and output, with commas between", Default: "input,forward,output"},
		{Name: "table", Meaning: "the name of our own table in the family inet", Default: "firebreak"},
		{Name: "nft", Meaning: "the path of the nft program", Default: "nft"},
		{Name: "ip", Meaning: "the path of the ip program, which a namespace needs", Default: "ip"},
	},
}

// Options replace what the adapter reaches outside of itself. The zero Options are the real ones.
type Options struct {
	// Runner gives the runner for a connection; nil is Exec.
	Runner func(s Settings) Runner
	// Now is nil for time.Now.
	Now func() time.Time
}

// Product is the registry's row.
func Product() adapters.Product { return ProductWith(Options{}) }

// ProductWith is Product with parts of it replaced.
func ProductWith(o Options) adapters.Product {
	return adapters.Product{Info: Info, Open: func(c threat.Connection, _ string) (any, error) { return Open(c.Settings, o) }}
}

// Settings are a connection's, read and checked.
type Settings struct {
	Namespace string
	Hooks     []string // sorted
	Table     string
	Nft, IP   string
}

var (
	namespaceName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)
	tableName     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,30}$`)
)

// ReadSettings checks a connection's settings. Faults are Invalid with the place: a namespace, table or program whose name
// could be read as something else on a command line is refused.
func ReadSettings(m map[string]string) (Settings, error) {
	s := Settings{Namespace: m["namespace"], Table: or(m["table"], "firebreak"), Nft: or(m["nft"], "nft"), IP: or(m["ip"], "ip")}
	bad := func(name, what string) (Settings, error) {
		return s, &threat.Fault{Kind: threat.Invalid, What: what, Place: "/settings/" + name}
	}
	if s.Namespace != "" && (!namespaceName.MatchString(s.Namespace) || strings.Contains(s.Namespace, "..")) {
		return bad("namespace", "not the name of a network namespace")
	}
	if !tableName.MatchString(s.Table) {
		return bad("table", "not the name of a table: a letter, then letters, digits and underscores, 31 in all")
	}
	if s.Nft != "nft" && (!filepath.IsAbs(s.Nft) || filepath.Clean(s.Nft) != s.Nft) {
		return bad("nft", "not an absolute path")
	}
	if s.IP != "ip" && (!filepath.IsAbs(s.IP) || filepath.Clean(s.IP) != s.IP) {
		return bad("ip", "not an absolute path")
	}
	seen := map[string]bool{}
	for _, h := range strings.Split(or(m["hook"], "input,forward,output"), ",") {
		h = strings.TrimSpace(h)
		if _, ok := hookChains[h]; !ok {
			return bad("hook", "a hook that is none of input, forward and output")
		}
		if !seen[h] {
			seen[h] = true
			s.Hooks = append(s.Hooks, h)
		}
	}
	sort.Strings(s.Hooks)
	return s, nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Firewall is one packet filter.
type Firewall struct {
	settings Settings
	runner   Runner
	now      func() time.Time
	mu       sync.Mutex // our own looks and changes do not cross within this process
}

var (
	_ adapters.Actor   = (*Firewall)(nil)
	_ adapters.Renewer = (*Firewall)(nil)
	_ adapters.Planner = (*Firewall)(nil)
	_ adapters.Tester  = (*Firewall)(nil)
)

// Open makes the adapter from a connection's settings. Faults are ReadSettings'.
func Open(settings map[string]string, o Options) (*Firewall, error) {
	s, err := ReadSettings(settings)
	if err != nil {
		return nil, err
	}
	f := &Firewall{settings: s, now: o.Now}
	if f.now == nil {
		f.now = time.Now
	}
	if o.Runner != nil {
		f.runner = o.Runner(s)
	} else {
		f.runner = Exec(s)
	}
	return f, nil
}

// Direction of a block: which packets of the address are dropped.
const (
	both = "both"
	in   = "in"  // those that come from it
	out  = "out" // those that go to it
)

// Validate refuses a target that is no address and parameters that are not block_ip's.
func (f *Firewall) Validate(o adapters.Order) error {
	_, err := f.element(o)
	return err
}

// element is an order as this adapter works on it.
type element struct {
	addr      netip.Addr
	direction string
	set       string
}

func (f *Firewall) element(o adapters.Order) (element, error) {
	bad := func(place, what string) (element, error) {
		return element{}, &threat.Fault{Kind: threat.Invalid, What: what, Place: place}
	}
	if o.Target.Kind != threat.TargetIP {
		return bad("/target/kind", "nftables blocks addresses only")
	}
	a, err := netip.ParseAddr(o.Target.Value)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return bad("/target/value", "not an address in canonical form")
	}
	e := element{addr: a, direction: or(o.Params["direction"], both)}
	for name := range o.Params {
		if name != "direction" {
			return bad("/params", "block_ip has only the parameter direction")
		}
	}
	switch e.direction {
	case both, in, out:
	default:
		return bad("/params/direction", "a direction is both, in or out")
	}
	e.set = setName(e.direction, a)
	return e, nil
}

// setName is the set for a direction and an address's family.
func setName(direction string, a netip.Addr) string {
	name := "blocked6"
	if a.Is4() {
		name = "blocked4"
	}
	if direction != both {
		name += "_" + direction
	}
	return name
}

// Plan says what would be sent.
func (f *Firewall) Plan(o adapters.Order) (string, error) {
	e, err := f.element(o)
	if err != nil {
		return "", err
	}
	where := "here"
	if f.settings.Namespace != "" {
		where = "in the namespace " + f.settings.Namespace
	}
	return "add element inet " + f.settings.Table + " " + e.set + " { " + e.addr.String() + " timeout " +
		f.timeout(o).String() + " comment \"" + o.Mark + "\" } " + where + "; traffic " + words[e.direction] + " is dropped at " +
		strings.Join(f.settings.Hooks, ", "), nil
}

var words = map[string]string{both: "from and to it", in: "from it", out: "to it"}

// timeout is how long the element lives by itself, in whole seconds, rounded up.
func (f *Firewall) timeout(o adapters.Order) time.Duration {
	end := o.DeviceEnds
	if end.IsZero() {
		end = o.Until
	}
	return max(end.Sub(f.now())+time.Second-1, time.Second).Truncate(time.Second)
}
