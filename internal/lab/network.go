package lab

import (
	"context"
	"log/slog"
	"net/http"
	"sort"
	"sync"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
)

// Host is one machine of the simulated network.
type Host struct {
	Name    string           `json:"name"`
	Address string           `json:"address"`
	Role    threat.AssetRole `json:"role"`
	Kind    string           `json:"kind"`    // of the asset: host or device
	Managed bool             `json:"managed"` // an agent runs on it
	Guarded bool             `json:"guarded"` // a protected asset
	State   string           `json:"state"`   // in words: what it does right now
}

// Infected is the host that takes orders: a network storage with a camera recorder on it, which no agent can run on.
const Infected = "nas-cam-01"

// hosts are the machines of every simulated network.
var hosts = []Host{
	{Name: Infected, Address: "192.168.77.20", Role: threat.RoleUnknownAsset, Kind: "device"},
	{Name: "ws-lea", Address: "192.168.77.31", Role: threat.RoleWorkstation, Kind: "host", Managed: true},
	{Name: "ws-tom", Address: "192.168.77.32", Role: threat.RoleWorkstation, Kind: "host", Managed: true},
	{Name: "dc-01", Address: "192.168.77.10", Role: threat.RoleDomainController, Kind: "host", Managed: true, Guarded: true},
	{Name: "print-01", Address: "192.168.77.40", Role: threat.RoleServer, Kind: "host"},
}

// resting is what a host does when nothing happens.
const resting = "at rest"

// NetworkOptions are what one network is made of. SensorURL and at least one Feed are required.
type NetworkOptions struct {
	SensorURL   string   // where the sensor posts EVE records
	SensorToken string   // its bearer token
	Feed        []string // where the firewall finds ips.txt and domains.txt: ".../feeds/<token>", one for each Firebreak
	Client      *http.Client
	Now         func() time.Time
	Pace        Pace
	Log         *slog.Logger
}

// Network is one simulated network: its hosts, its firewall, its sensor, and the controller outside. It is safe for
// concurrent use.
type Network struct {
	Firewall *Firewall
	Sensor   *Sensor

	now  func() time.Time
	pace Pace
	tell func(text string) // a step of the play; never nil

	mu       sync.Mutex
	c2       controller
	infected bool
	scanning bool
	scans    int
	refused  int  // calls for orders that the firewall dropped
	got      int  // orders received
	blocked  bool // the last call was dropped
	states   map[string]string
}

// controller is the command-and-control server. It answers only what reaches it.
type controller struct {
	address, domain string
	present         bool // it is there and gives orders
	asked           int  // calls that reached it
}

// NewNetwork makes a network in which nothing is infected. Invalid for missing addresses.
func NewNetwork(o NetworkOptions) (*Network, error) {
	if o.SensorURL == "" || len(o.Feed) == 0 {
		return nil, threat.Faultf(threat.Invalid, "a simulated network needs the addresses of a sensor's inbox and of a feed")
	}
	if o.Client == nil {
		o.Client = &http.Client{Timeout: 10 * time.Second}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Pace = o.Pace.filled()
	n := &Network{now: o.Now, pace: o.Pace, tell: func(string) {}, states: map[string]string{}}
	n.Firewall = newFirewall(o)
	n.Sensor = newSensor(o)
	for _, h := range hosts {
		n.states[h.Name] = resting
	}
	return n, nil
}

// Run lets the firewall poll, the sensor post and the device call for orders until ctx ends.
func (n *Network) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, loop := range []func(context.Context){
		func(ctx context.Context) { every(ctx, n.pace.Poll, func() { n.Firewall.Poll(ctx) }) },
		func(ctx context.Context) { every(ctx, n.pace.Beat, n.Beat) },
		n.Sensor.run,
	} {
		wg.Add(1)
		go func() { defer wg.Done(); loop(ctx) }()
	}
	wg.Wait()
}

// every calls fn at once and then at an interval, until ctx ends.
func every(ctx context.Context, d time.Duration, fn func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		fn()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Infect puts the device under a controller, which is there from now on. Steps of what follows are told to tell.
func (n *Network) Infect(address, domain string, tell func(text string)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.c2 = controller{address: address, domain: domain, present: true}
	n.infected, n.scanning, n.blocked, n.scans, n.refused, n.got = true, false, false, 0, 0, 0
	n.tell = tell
	if tell == nil {
		n.tell = func(string) {}
	}
}

// Heal ends the infection: the device calls nobody any more.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.infected, n.scanning, n.tell = false, false, func(string) {}
	for name := range n.states {
		n.states[name] = resting
	}
}

// LeaveC2 takes the controller off the net: whoever reaches its address finds nobody there.
func (n *Network) LeaveC2() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.c2.present = false
}

// Snapshot is what one network looks like at one moment.
type Snapshot struct {
	At       time.Time    `json:"at"`
	Hosts    []Host       `json:"hosts"`
	Firewall FirewallView `json:"firewall"`
	C2       C2View       `json:"c2"`
	Scanning bool         `json:"scanning"`
	Blocked  bool         `json:"blocked"` // the device's last call for orders was dropped
	Orders   int          `json:"orders"`  // that the device received in this play
	Refused  int          `json:"refused"` // calls for orders that the firewall dropped in this play
	Scans    int          `json:"scans"`   // rounds over the neighbours in this play
	Sensor   SensorView   `json:"sensor"`
}

// C2View is the controller at one moment.
type C2View struct {
	Address string `json:"address"`
	Domain  string `json:"domain"`
	Present bool   `json:"present"`
	Asked   int    `json:"asked"` // calls that reached it
}

// Snapshot gives the network as it is now.
func (n *Network) Snapshot() Snapshot {
	firewall, sensor := n.Firewall.View(), n.Sensor.View()
	n.mu.Lock()
	defer n.mu.Unlock()
	s := Snapshot{At: n.now().UTC(), Firewall: firewall, Sensor: sensor, Scanning: n.scanning, Blocked: n.blocked, Orders: n.got,
		Refused: n.refused, Scans: n.scans, C2: C2View{n.c2.address, n.c2.domain, n.c2.present, n.c2.asked}}
	for _, h := range hosts {
		h.State = n.states[h.Name]
		s.Hosts = append(s.Hosts, h)
	}
	sort.SliceStable(s.Hosts, func(i, j int) bool { return s.Hosts[i].Name == Infected && s.Hosts[j].Name != Infected })
	return s
}
