package lab

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/internal/ocsf"
	"github.com/firebreak/firebreak/internal/threat"
)

const (
	c2Address = "203.0.113.66"
	c2Domain  = "c2.lab.example"
)

// TestTheDeviceScansUntilBlockedAndAgainAfterRelease walks one network by hand, a call at a time.
func TestTheDeviceScansUntilBlockedAndAgainAfterRelease(t *testing.T) {
	for _, c := range []struct{ name, list, value string }{
		{"by its address", threat.FeedIPs, c2Address},
		{"by its domain", threat.FeedDomains, c2Domain},
		{"by a domain above", threat.FeedDomains, "lab.example"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFirebreak(t)
			n := f.network(nil, Pace{})
			s := &story{}
			n.Firewall.Poll(t.Context())
			n.Infect(c2Address, c2Domain, s.tell)
			n.Beat()
			n.Beat()
			if x := n.Snapshot(); !x.Scanning || x.Orders != 2 || x.Scans != 2 || x.Blocked || x.C2.Asked != 2 {
				t.Fatalf("before the block: %+v", x)
			}
			f.block(c.list, c.value)
			n.Beat()
			if x := n.Snapshot(); !x.Scanning || x.Blocked {
				t.Fatal("the firewall obeys a list that it has not fetched")
			}
			n.Firewall.Poll(t.Context())
			n.Beat()
			n.Beat()
			x := n.Snapshot()
			if x.Scanning || !x.Blocked || x.Orders != 3 || x.Scans != 3 || x.Refused != 2 || x.C2.Asked != 3 {
				t.Fatalf("during the block: %+v", x)
			}
			if x.Hosts[0].Name != Infected || !strings.Contains(x.Hosts[0].State, "waits for orders") || x.Hosts[1].State != resting {
				t.Errorf("%+v", x.Hosts)
			}
			f.release(c.list, c.value)
			n.Beat()
			if !n.Snapshot().Blocked {
				t.Fatal("the block is gone before the firewall has fetched its end")
			}
			n.Firewall.Poll(t.Context())
			n.Beat()
			if x := n.Snapshot(); !x.Scanning || x.Blocked || x.Orders != 4 {
				t.Fatalf("after the release: %+v", x)
			}
			if got := n.Snapshot().Firewall.Changes; len(got) != 1 || got[c.value] != (Change{1, 1}) {
				t.Errorf("changes: %v", got)
			}
			n.LeaveC2()
			n.Beat()
			if x := n.Snapshot(); x.Scanning || x.Blocked || x.Orders != 4 {
				t.Fatalf("without a controller: %+v", x)
			}
			n.Heal()
			n.Beat()
			if !s.has("gets them: scan", "scans 4 neighbours", "drops nas-cam-01's call", "for want of orders", "flows again", "scans 4",
				"Nobody answers there") {
				t.Errorf("the story: %q", s.lines)
			}
		})
	}
}

func TestOtherTrafficIsLetThrough(t *testing.T) {
	f := newFirebreak(t)
	n := f.network(nil, Pace{})
	f.block(threat.FeedIPs, "2001:db8::66")
	f.block(threat.FeedDomains, "c2.lab.example")
	n.Firewall.Poll(t.Context())
	for _, c := range []struct{ address, domain, by string }{
		{"203.0.113.66", "", ""}, {"203.0.113.66", "lab.example", ""}, {"203.0.113.66", "xc2.lab.example", ""},
		{"2001:db8:0::66", "", "2001:db8::66"}, {"203.0.113.66", "C2.Lab.Example.", "c2.lab.example"},
		{"203.0.113.66", "a.b.c2.lab.example", "c2.lab.example"}, {"no address", "", ""},
	} {
		if by := n.Firewall.Drops(c.address, c.domain); by != c.by {
			t.Errorf("%s %s is dropped by %q; want %q", c.address, c.domain, by, c.by)
		}
	}
}

func TestUnchangedListsAreAskedForByTheirTag(t *testing.T) {
	f := newFirebreak(t)
	n := f.network(nil, Pace{})
	f.block(threat.FeedIPs, c2Address)
	for range 3 {
		n.Firewall.Poll(t.Context())
	}
	v := n.Firewall.View()
	var status []int
	for _, x := range v.Fetches {
		if x.List == threat.FeedIPs {
			status = append(status, x.Status)
			if x.Revision != 1 {
				t.Errorf("%+v", x)
			}
		}
	}
	if !slices.Equal(status, []int{200, 304, 304}) || !slices.Equal(v.Enforced, []string{c2Address}) || v.Revision != 1 {
		t.Fatalf("%v %+v", status, v)
	}
	if f.asked[0] != "" || f.asked[2] == "" || f.asked[2] != f.asked[4] {
		t.Errorf("If-None-Match: %q", f.asked)
	}
	if v.Changes[c2Address] != (Change{1, 0}) {
		t.Errorf("%+v", v.Changes)
	}
	f.release(threat.FeedIPs, c2Address)
	n.Firewall.Poll(t.Context())
	f.block(threat.FeedIPs, c2Address)
	n.Firewall.Poll(t.Context())
	if v := n.Firewall.View(); v.Changes[c2Address] != (Change{2, 1}) || v.Revision != 3 {
		t.Errorf("%+v", v)
	}
}

func TestALongListIsReadPacked(t *testing.T) {
	f := newFirebreak(t)
	n := f.network(nil, Pace{})
	for i := range 200 {
		f.block(threat.FeedDomains, "d"+strings.Repeat("x", 10)+string(rune('a'+i%26))+string(rune('a'+i/26))+".example")
	}
	for range 2 {
		n.Firewall.Poll(t.Context())
	}
	v := n.Firewall.View()
	if len(v.Enforced) != 200 || v.Fetches[1].Entries != 200 || v.Fetches[3].Status != 304 {
		t.Fatalf("%d enforced, %+v", len(v.Enforced), v.Fetches)
	}
}

func TestFaultsOfTheFirewall(t *testing.T) {
	f := newFirebreak(t)
	n := f.network(nil, Pace{})
	enforces := func(want bool, when string) {
		t.Helper()
		if got := n.Firewall.Drops(c2Address, "") != ""; got != want {
			t.Fatalf("%s the firewall enforces it: %v", when, got)
		}
	}
	f.block(threat.FeedIPs, c2Address)
	n.Firewall.SetFault(Fault{Stop: true})
	n.Firewall.Poll(t.Context())
	if len(f.asked) != 0 {
		t.Fatal("a firewall that polls no more has polled")
	}
	n.Firewall.SetFault(Fault{Drop: true})
	n.Firewall.Poll(t.Context())
	enforces(false, "after it lost what it fetched,")
	if len(f.asked) != 2 {
		t.Fatalf("%d fetches", len(f.asked))
	}
	n.Firewall.SetFault(Fault{Slow: time.Millisecond})
	n.Firewall.Poll(t.Context())
	enforces(true, "mended,")
	f.set(func() { f.down = true })
	n.Firewall.Poll(t.Context())
	enforces(true, "while the feed cannot be read,")
	f.Close()
	n.Firewall.Poll(t.Context())
	enforces(true, "while the feed is gone,")
	for _, x := range n.Firewall.View().Fetches {
		if strings.Contains(x.Error, feedToken) {
			t.Errorf("the token is in %q", x.Error)
		}
	}
	slow, cancel := context.WithCancel(t.Context())
	n.Firewall.SetFault(Fault{Slow: time.Hour})
	done := make(chan struct{})
	go func() { defer close(done); n.Firewall.Poll(slow) }()
	cancel()
	<-done
}

// TestAListOfAnotherKindIsRefusedWhole serves what is no list.
func TestAListOfAnotherKindIsRefusedWhole(t *testing.T) {
	f := newFirebreak(t)
	n := f.network(nil, Pace{})
	f.block(threat.FeedIPs, c2Address)
	n.Firewall.Poll(t.Context())
	n.Firewall.client = &http.Client{Transport: page("198.51.100.1\n<html>\n")}
	n.Firewall.Poll(t.Context())
	if v := n.Firewall.View(); !slices.Equal(v.Enforced, []string{c2Address}) || v.Fetches[len(v.Fetches)-1].Error == "" {
		t.Fatalf("%+v", v)
	}
}

func TestDetectionsAreWhatADecoderExpects(t *testing.T) {
	f := newFirebreak(t)
	at := time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC)
	n := f.network(func() time.Time { return at }, Pace{Repeat: time.Minute})
	n.Infect(c2Address, c2Domain, nil)
	n.Sensor.Noise()
	for range 3 {
		n.Beat()
	}
	if more, ok := n.Sensor.post(t.Context()); more || !ok {
		t.Fatal("not everything was posted")
	}
	found := f.findings()
	if len(found) != 4 {
		t.Fatalf("%d findings; want noise, a name, orders and a scan", len(found))
	}
	uids := map[string]bool{}
	for _, x := range found {
		uids[x.UID] = true
		if !x.At.Equal(at) || !strings.Contains(x.Title, "(simulated)") {
			t.Errorf("%+v", x)
		}
	}
	if len(uids) != 4 {
		t.Errorf("ids repeat: %v", uids)
	}
	noise, name, orders, scan := found[0], found[1], found[2], found[3]
	if noise.Severity != threat.SeverityInformational || len(noise.Techniques) != 0 {
		t.Errorf("noise: %+v", noise)
	}
	has := func(k threat.ObservableKind, v string, b threat.Bearing) bool {
		return slices.Contains(orders.Observables, threat.Observable{Kind: k, Value: v, Bearing: b})
	}
	if !has(threat.ObservableIP, c2Address, threat.BearingAdversary) || !has(threat.ObservableDomain, c2Domain, threat.BearingAdversary) ||
		!has(threat.ObservableIP, "192.168.77.20", threat.BearingVictim) || !slices.Equal(orders.Techniques, []string{"T1071.001"}) ||
		orders.Severity != threat.SeverityHigh || ocsf.ReachOf(c2Address) != ocsf.Public {
		t.Errorf("orders: %+v", orders)
	}
	if !slices.Contains(name.Observables, threat.Observable{Kind: threat.ObservableDomain, Value: c2Domain, Bearing: threat.BearingAdversary}) {
		t.Errorf("name: %+v", name)
	}
	if !slices.Equal(scan.Techniques, []string{"T1046"}) {
		t.Errorf("scan: %+v", scan)
	}
	for _, o := range scan.Observables {
		if o.Bearing == threat.BearingAdversary {
			t.Errorf("an internal address is called the adversary's: %+v", o)
		}
	}
	if v := n.Sensor.View(); v.Made != 4 || len(v.Accepted) != 4 || v.Queued != 0 || v.Lost != 0 {
		t.Errorf("%+v", v)
	}
	at = at.Add(time.Minute)
	n.Beat()
	if v := n.Sensor.View(); v.Made != 7 {
		t.Errorf("after a minute the sensor has told %d times", v.Made)
	}
}

func TestTheSensorPostsAgainUntilItIsAccepted(t *testing.T) {
	f := newFirebreak(t)
	n := f.network(nil, Pace{})
	n.Infect(c2Address, c2Domain, nil)
	n.Beat()
	for _, status := range []int{503, 401, 404, 500} {
		f.set(func() { f.refuse = status })
		if _, ok := n.Sensor.post(t.Context()); ok {
			t.Fatalf("after %d the sensor is done", status)
		}
	}
	if v := n.Sensor.View(); v.Queued != 3 || v.Lost != 0 || !strings.Contains(v.Trouble, "500") {
		t.Fatalf("%+v", v)
	}
	f.set(func() { f.refuse = 0 })
	if more, ok := n.Sensor.post(t.Context()); more || !ok {
		t.Fatal("it was not accepted")
	}
	if v := n.Sensor.View(); v.Queued != 0 || len(v.Accepted) != 3 || v.Posts != 5 || v.Trouble != "" {
		t.Fatalf("%+v", v)
	}
	n.Sensor.Noise()
	f.set(func() { f.refuse = 400 })
	if _, ok := n.Sensor.post(t.Context()); !ok {
		t.Fatal("what is refused for good is kept")
	}
	if v := n.Sensor.View(); v.Queued != 0 || v.Lost != 1 {
		t.Fatalf("%+v", v)
	}
}

// page answers every request with a body.
type page string

func (p page) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(p))), Request: r}, nil
}
