package feed_test

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/adapters/adaptertest"
	"github.com/firebreak/firebreak/adapters/feed"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// lists is a Publisher in memory, with the faults that a store can have.
type lists struct {
	mu       sync.Mutex
	now      time.Time
	entries  []threat.FeedEntry
	revision map[string]int64
	fetches  map[string][]threat.FeedFetch
	changes  int
	never    []string
	armed    map[bool]adaptertest.Fault // by whether the call changes
	fetchBad error
}

func newLists() *lists {
	return &lists{now: time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC), revision: map[string]int64{},
		fetches: map[string][]threat.FeedFetch{}, armed: map[bool]adaptertest.Fault{}}
}

func (l *lists) clock() time.Time { l.mu.Lock(); defer l.mu.Unlock(); return l.now }

// serve runs one call under the fault that is armed for it.
func (l *lists) serve(ctx context.Context, change bool, fn func()) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if change {
		l.changes++
	}
	f := l.armed[change]
	delete(l.armed, change)
	if f == "" || f == adaptertest.TimeoutAfter || f == adaptertest.Cut {
		fn()
	}
	switch f {
	case adaptertest.TimeoutBefore, adaptertest.TimeoutAfter:
		l.mu.Unlock()
		<-ctx.Done()
		l.mu.Lock()
		return ctx.Err()
	case adaptertest.Cut:
		return errors.New("driver: bad connection")
	case adaptertest.Refused, adaptertest.Status503:
		return threat.Faultf(threat.Unavailable, "the database does not answer")
	case adaptertest.Status409:
		return threat.Faultf(threat.Conflict, "the row moved on")
	}
	return nil
}

func (l *lists) PutFeedEntry(ctx context.Context, e threat.FeedEntry) error {
	return l.serve(ctx, true, func() {
		for i, x := range l.entries {
			if x.List == e.List && x.Value == e.Value && x.Mark == e.Mark {
				l.entries[i].Until = e.Until
				return
			}
		}
		l.revision[e.List]++
		e.Revision = l.revision[e.List]
		l.entries = append(l.entries, e)
	})
}

func (l *lists) RemoveFeedEntry(ctx context.Context, c uuid.UUID, list, value, mark string) (gone bool, err error) {
	gone = true
	err = l.serve(ctx, true, func() {
		gone = false
		for i, x := range l.entries {
			if x.ConnectionID == c && x.List == list && x.Value == value && x.Mark == mark {
				l.entries = append(l.entries[:i:i], l.entries[i+1:]...)
				l.revision[list]++
				gone = true
				return
			}
		}
	})
	return gone, err
}

func (l *lists) FeedEntries(ctx context.Context, c uuid.UUID, list string, now time.Time) (out []threat.FeedEntry, rev int64, changed time.Time, err error) {
	err = l.serve(ctx, false, func() {
		for _, x := range l.entries {
			if x.ConnectionID == c && x.List == list && now.Before(x.Until) {
				out = append(out, x)
			}
		}
		rev = l.revision[list]
	})
	return out, rev, changed, err
}

func (l *lists) Fetches(_ context.Context, _ uuid.UUID, list string) ([]threat.FeedFetch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]threat.FeedFetch(nil), l.fetches[list]...), l.fetchBad
}

// fetch is what a firewall does.
func (l *lists) fetch(list, firewall string, interval time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := threat.FeedFetch{List: list, Firewall: firewall, Revision: l.revision[list], At: l.now, Interval: interval}
	for i, x := range l.fetches[list] {
		if x.Firewall == firewall {
			l.fetches[list][i] = f
			return
		}
	}
	l.fetches[list] = append(l.fetches[list], f)
}

func (l *lists) state() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for _, e := range l.entries {
		if l.now.Before(e.Until) {
			lines = append(lines, fmt.Sprintf("%s %s %s %s", e.List, e.Value, e.Mark, e.Until.Format(time.RFC3339)))
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

func (l *lists) pass(d time.Duration) { l.mu.Lock(); l.now = l.now.Add(d); l.mu.Unlock() }

func (l *lists) neverBlock(context.Context, uuid.UUID) ([]string, error) { return l.never, nil }

func open(t *testing.T, l *lists, settings map[string]string) *feed.Feed {
	t.Helper()
	f, err := feed.Open(adaptertest.Connection("feed", settings), l, l.neverBlock, feed.Options{Now: l.clock})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func target(kind threat.TargetKind, v string) threat.Target {
	return threat.Target{Kind: kind, Value: v}
}

func TestConformance(t *testing.T) {
	const noHTTP = "the lists lie in our own store, which speaks no HTTP"
	adaptertest.Run(t, adaptertest.Harness{
		Info: feed.Info,
		Targets: map[string][2]threat.Target{
			verb.BlockIP:     {target(threat.TargetIP, "198.51.100.7"), target(threat.TargetIP, "2001:db8::7")},
			verb.BlockDomain: {target(threat.TargetDomain, "c2.example.com"), target(threat.TargetDomain, "drop.example.net")},
		},
		Invalid: map[string]func(o *adapters.Order){
			"one direction only": func(o *adapters.Order) { o.Params["direction"] = "in" },
			"a private address":  func(o *adapters.Order) { o.Verb, o.Target = verb.BlockIP, target(threat.TargetIP, "10.0.0.1") },
			"another kind": func(o *adapters.Order) {
				o.Verb, o.Target = verb.BlockIP, target(threat.TargetDomain, "example.com")
			},
		},
		Excuse: map[adaptertest.Fault]string{adaptertest.Status401: noHTTP, adaptertest.Status403: noHTTP, adaptertest.Status404: noHTTP,
			adaptertest.Status429: noHTTP, adaptertest.Status500: noHTTP},
		// A database that went away may have committed first.
		Kinds: map[adaptertest.Fault]threat.FaultKind{adaptertest.Refused: threat.Unknown, adaptertest.Status503: threat.Unknown},
		Open: func(t *testing.T) *adaptertest.Bench {
			l := newLists()
			l.fetch(threat.FeedIPs, "edge-1", time.Minute)
			l.fetch(threat.FeedDomains, "edge-1", time.Minute)
			list := map[string]string{verb.BlockIP: threat.FeedIPs, verb.BlockDomain: threat.FeedDomains}
			return &adaptertest.Bench{
				Actor: open(t, l, nil), Now: l.clock, Advance: l.pass, State: l.state,
				Sends: func() int { l.mu.Lock(); defer l.mu.Unlock(); return l.changes },
				Holds: func(o adapters.Order) bool {
					return strings.Contains("\n"+l.state(), "\n"+list[o.Verb]+" "+o.Target.Value+" ")
				},
				Plant: func(o adapters.Order) {
					l.mu.Lock()
					defer l.mu.Unlock()
					l.revision[list[o.Verb]]++
					l.entries = append(l.entries, threat.FeedEntry{ConnectionID: adaptertest.Connection("feed", nil).ID, List: list[o.Verb],
						Value: o.Target.Value, Mark: "by hand", Revision: l.revision[list[o.Verb]], Until: l.now.Add(24 * time.Hour)})
				},
				Arm: func(f adaptertest.Fault, op adaptertest.Op) {
					l.mu.Lock()
					defer l.mu.Unlock()
					l.armed[op != adaptertest.OpRead] = f
				},
				Fetched: func() {
					l.fetch(threat.FeedIPs, "edge-1", time.Minute)
					l.fetch(threat.FeedDomains, "edge-1", time.Minute)
				},
			}
		},
	})
}

func order(l *lists, v, value string) adapters.Order {
	kind := threat.TargetIP
	if v == verb.BlockDomain {
		kind = threat.TargetDomain
	}
	id := threat.DerivedID("effect", v, value)
	return adapters.Order{EffectID: id, Generation: 1, Verb: v, Target: target(kind, value), Key: "k", Mark: adapters.MarkFor(id, 1),
		Until: l.clock().Add(4 * time.Hour), DeviceEnds: l.clock().Add(6 * time.Hour)}
}

func apply(t *testing.T, f *feed.Feed, o adapters.Order) {
	t.Helper()
	if r, err := f.Apply(t.Context(), o); err != nil || r.Outcome != threat.OutcomeSuccess {
		t.Fatalf("apply answered %+v, %v", r, err)
	}
}

// TestPublishedBecomesEnforced tells published and enforced apart by who fetched which revision.
func TestPublishedBecomesEnforced(t *testing.T) {
	l := newLists()
	f := open(t, l, map[string]string{"interval": "60"})
	o := order(l, verb.BlockIP, "198.51.100.7")
	want := func(presence adapters.Presence, inForce bool, words string) {
		t.Helper()
		r, err := f.Read(t.Context(), o)
		if err != nil || r.Presence != presence || r.InForce != inForce || !strings.Contains(r.Detail, words) {
			t.Fatalf("read answered %q, in force %v, %q (%v); want %q, %v, %q", r.Presence, r.InForce, r.Detail, err, presence, inForce, words)
		}
	}
	for _, firewall := range []string{"a", "b", "c"} {
		l.fetch(threat.FeedIPs, firewall, time.Minute)
	}
	want(adapters.Absent, false, "not on the list")
	apply(t, f, o)
	want(adapters.Published, false, "0 of 3 firewalls have fetched revision 1")
	l.fetch(threat.FeedIPs, "a", time.Minute)
	l.fetch(threat.FeedIPs, "b", time.Minute)
	want(adapters.Published, false, "2 of 3 firewalls have fetched revision 1")
	apply(t, f, order(l, verb.BlockIP, "198.51.100.8")) // a later revision takes nothing away from this one
	l.fetch(threat.FeedIPs, "c", time.Minute)
	want(adapters.Ours, true, "3 of 3 firewalls have fetched revision 1")

	// A firewall that falls silent counts for three of its intervals, and no longer.
	l.pass(3 * time.Minute)
	l.fetch(threat.FeedIPs, "a", time.Minute)
	want(adapters.Ours, true, "3 of 3")
	l.pass(time.Second)
	want(adapters.Ours, true, "1 of 1 firewalls have fetched revision 1; 2 polled earlier and no longer")
	l.pass(3 * time.Minute)
	want(adapters.Published, false, "no firewall polls the list now")

	// One that polled once has no interval yet: the connection's counts.
	l.fetch(threat.FeedIPs, "d", 0)
	l.pass(3 * time.Minute)
	want(adapters.Ours, true, "1 of 1")
	l.pass(time.Second)
	want(adapters.Published, false, "no firewall polls")

	// The removal is told of with those who have not fetched it.
	l.fetch(threat.FeedIPs, "d", 0)
	if r, err := f.Remove(t.Context(), o); err != nil || r.Outcome != threat.OutcomeSuccess {
		t.Fatal(r, err)
	}
	want(adapters.Absent, false, "1 of 1 firewalls have not fetched that revision yet")
	l.fetch(threat.FeedIPs, "d", 0)
	r, err := f.Read(t.Context(), o)
	if err != nil || strings.Contains(r.Detail, "have not fetched") {
		t.Fatal(r.Detail, err)
	}
	l.fetchBad = threat.Faultf(threat.Unavailable, "gone")
	if _, err := f.Read(t.Context(), o); !threat.Is(err, threat.Unavailable) {
		t.Fatalf("a read without the fetches answered %v", err)
	}
}

func TestNeverBlockAndPrivateAddresses(t *testing.T) {
	l := newLists()
	l.never = []string{"203.0.113.0/24", "update.example.org"}
	f := open(t, l, nil)
	for _, c := range []struct{ verb, value string }{
		{verb.BlockIP, "203.0.113.9"}, {verb.BlockIP, "10.1.2.3"}, {verb.BlockIP, "fd00::1"}, {verb.BlockIP, "127.0.0.1"}, {verb.BlockIP, "0.0.0.0"},
		{verb.BlockIP, "ff02::1"}, {verb.BlockDomain, "update.example.org"}, {verb.BlockDomain, "example.org"},
	} {
		if r, err := f.Apply(t.Context(), order(l, c.verb, c.value)); !threat.Is(err, threat.Forbidden) {
			t.Errorf("%s answered %+v, %v; want forbidden", c.value, r, err)
		}
	}
	if l.changes != 0 {
		t.Fatalf("%d changes went out", l.changes)
	}
	apply(t, f, order(l, verb.BlockDomain, "evil.update.example.org"))
	apply(t, open(t, l, map[string]string{"private": "true"}), order(l, verb.BlockIP, "10.1.2.3"))

	// An address that is allowed later is held back when it is served, and the read says so.
	o := order(l, verb.BlockIP, "198.51.100.7")
	apply(t, f, o)
	l.fetch(threat.FeedIPs, "a", time.Minute)
	l.never = append(l.never, "198.51.100.7")
	r, err := f.Read(t.Context(), o)
	if err != nil || r.InForce || r.Presence != adapters.Published || !strings.Contains(r.Detail, "held back") {
		t.Fatalf("read answered %+v, %v", r, err)
	}
	values := []string{"10.1.2.3", "198.51.100.6", "198.51.100.7", "203.0.113.9", "not an address"}
	got, err := feed.Screen(l.neverBlock)(t.Context(), adaptertest.Connection("feed", nil), threat.FeedIPs, values)
	if err != nil || strings.Join(got, " ") != "198.51.100.6" {
		t.Fatalf("the screen let through %q, %v", got, err)
	}
	broken := func(context.Context, uuid.UUID) ([]string, error) { return nil, errors.New("gone") }
	if got, err := feed.Screen(broken)(t.Context(), adaptertest.Connection("feed", nil), threat.FeedIPs, values); !threat.Is(err, threat.Unavailable) {
		t.Fatalf("without the never-block list the screen answered %q, %v", got, err)
	}
	// What is private now can still be seen and taken away.
	if r, err := f.Remove(t.Context(), order(l, verb.BlockIP, "10.1.2.3")); err != nil || r.Outcome != threat.OutcomeSuccess {
		t.Fatal(r, err)
	}
}

func TestTheListIsFullBeforeItOverflows(t *testing.T) {
	l := newLists()
	f := open(t, l, map[string]string{"max_entries": "2"})
	apply(t, f, order(l, verb.BlockIP, "198.51.100.1"))
	apply(t, f, order(l, verb.BlockIP, "198.51.100.2"))
	if _, err := f.Apply(t.Context(), order(l, verb.BlockIP, "198.51.100.3")); !threat.Is(err, threat.TooLarge) {
		t.Fatalf("the third of two answered %v", err)
	}
	apply(t, f, order(l, verb.BlockIP, "198.51.100.2")) // what is on it already needs no room
	apply(t, f, order(l, verb.BlockDomain, "c2.example.com"))
	l.pass(6 * time.Hour)
	apply(t, f, order(l, verb.BlockIP, "198.51.100.3")) // what is over needs none either
}

func TestSettings(t *testing.T) {
	l := newLists()
	for _, settings := range []map[string]string{{"model": "abacus"}, {"max_entries": "0"}, {"max_entries": "many"}, {"private": "yes"},
		{"interval": "-1"}, {"interval": "99999999999999999999"}} {
		if _, err := feed.Open(adaptertest.Connection("feed", settings), l, nil, feed.Options{}); !threat.Is(err, threat.Invalid) {
			t.Errorf("%v: %v", settings, err)
		}
	}
	sophos := open(t, l, map[string]string{"model": "sophos"})
	if err := sophos.Validate(order(l, verb.BlockIP, "2001:db8::1")); !threat.Is(err, threat.Unsupported) {
		t.Errorf("an IPv6 address for an IPv4 list: %v", err)
	}
	for name, m := range feed.Models {
		for _, list := range threat.FeedLists {
			if m.Entries[list] < 1 {
				t.Errorf("%s has no limit for %s", name, list)
			}
		}
	}
	registry, err := adapters.NewRegistry(feed.Product(l, l.neverBlock, feed.Options{Now: l.clock}))
	if err != nil {
		t.Fatal(err)
	}
	opened, err := registry.Open(adaptertest.Connection("feed", map[string]string{"model": "panos"}), "", adapters.Options{Now: l.clock})
	if err != nil || opened.Device == nil {
		t.Fatal(err)
	}
	if err := opened.Device.Test(t.Context()); err != nil {
		t.Error(err)
	}
}
