// Package feed blocks by publishing: it keeps the lists that firewalls poll. An entry on a list is published; it is in force
// only when every firewall that has been polling lately has fetched a revision with it. The lists lie in the store, and
// internal/feed serves them.
package feed

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// Publisher keeps the lists. Its errors are *threat.Fault.
type Publisher interface {
	// PutFeedEntry adds an entry, or sets Until of the one with the same list, value and mark. A change of what is served
	// raises the list's revision.
	PutFeedEntry(ctx context.Context, e threat.FeedEntry) error
	// RemoveFeedEntry takes away the entry that bears a mark, and reports whether there was one.
	RemoveFeedEntry(ctx context.Context, connection uuid.UUID, list, value, mark string) (bool, error)
	// FeedEntries gives the entries whose time is not over, in a stable order, with the list's revision and its time.
	FeedEntries(ctx context.Context, connection uuid.UUID, list string, now time.Time) ([]threat.FeedEntry, int64, time.Time, error)
	// Fetches gives the last fetch of every firewall that ever fetched the list.
	Fetches(ctx context.Context, connection uuid.UUID, list string) ([]threat.FeedFetch, error)
}

// NeverBlock gives a tenant's effective never-block list: addresses, ranges and domains.
type NeverBlock func(ctx context.Context, tenant uuid.UUID) ([]string, error)

// lists are the verbs' lists.
var lists = map[string]string{verb.BlockIP: threat.FeedIPs, verb.BlockDomain: threat.FeedDomains}

// Info describes the adapter.
var Info = adapters.Info{
	Name:  "feed",
	Title: "Threat feed",
	Verbs: []adapters.Ability{
		{Verb: verb.BlockIP, Sending: adapters.Natural, Settle: time.Second, DeviceEnds: true, Polled: true},
		{Verb: verb.BlockDomain, Sending: adapters.Natural, Settle: time.Second, DeviceEnds: true, Polled: true},
	},
	Settings: []adapters.Setting{
		{Name: "model", Meaning: "what polls it, which bounds the list: any, sophos, panos, fortigate, checkpoint or sonicwall", Default: "any"},
		{Name: "max_entries", Meaning: "the most entries that a list may have, where it is less than the model's"},
		{Name: "private", Meaning: "true publishes private addresses too (RFC 1918, RFC 4193, RFC 6598)", Default: "false"},
		{Name: "interval", Meaning: "seconds between polls of a firewall that has polled only once", Default: "300"},
	},
	Local: true,
}

// Model is what a kind of firewall can take.
type Model struct {
	Entries map[string]int // of each list
	IPv4    bool           // takes no IPv6 addresses
}

// Models are the smallest limits that the vendors' pages name, so that a list that fits is a list that is taken whole:
// Sophos Firewall 21 (no number told: ours), PAN-OS of the small models, FortiOS before 7.4.4 (131072 lines), Check Point
// before R81.20, SonicOS 8.
var Models = map[string]Model{
	"any":        {Entries: map[string]int{threat.FeedIPs: 50000, threat.FeedDomains: 50000}},
	"sophos":     {Entries: map[string]int{threat.FeedIPs: 50000, threat.FeedDomains: 50000}, IPv4: true},
	"panos":      {Entries: map[string]int{threat.FeedIPs: 50000, threat.FeedDomains: 50000}},
	"fortigate":  {Entries: map[string]int{threat.FeedIPs: 131000, threat.FeedDomains: 131000}},
	"checkpoint": {Entries: map[string]int{threat.FeedIPs: 100000, threat.FeedDomains: 100000}, IPv4: true},
	"sonicwall":  {Entries: map[string]int{threat.FeedIPs: 25000, threat.FeedDomains: 25000}},
}

// Options replace what the adapter reaches outside of itself.
type Options struct {
	Now func() time.Time // nil is time.Now
}

// Product is the registry's row.
func Product(p Publisher, never NeverBlock, o Options) adapters.Product {
	return adapters.Product{Info: Info, Open: func(c threat.Connection, _ string) (any, error) { return Open(c, p, never, o) }}
}

// Feed is the lists of one connection.
type Feed struct {
	connection, tenant uuid.UUID
	publisher          Publisher
	screen             screen
	limits             map[string]int
	model              string
	ipv4               bool
	interval           time.Duration
	now                func() time.Time
}

var (
	_ adapters.Actor   = (*Feed)(nil)
	_ adapters.Renewer = (*Feed)(nil)
	_ adapters.Planner = (*Feed)(nil)
	_ adapters.Tester  = (*Feed)(nil)
)

// Open makes the adapter for a connection. Faults are Invalid with the place of the setting.
func Open(c threat.Connection, p Publisher, never NeverBlock, o Options) (*Feed, error) {
	bad := func(name, what string) (*Feed, error) {
		return nil, &threat.Fault{Kind: threat.Invalid, What: what, Place: "/settings/" + name}
	}
	f := &Feed{connection: c.ID, tenant: c.TenantID, publisher: p, model: c.Settings["model"], interval: 5 * time.Minute, now: o.Now,
		limits: map[string]int{}}
	if f.now == nil {
		f.now = time.Now
	}
	if f.model == "" {
		f.model = "any"
	}
	m, ok := Models[f.model]
	if !ok {
		return bad("model", "a model that is not known")
	}
	f.ipv4 = m.IPv4
	for list, n := range m.Entries {
		f.limits[list] = n
	}
	if v := c.Settings["max_entries"]; v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return bad("max_entries", "not a number of entries")
		}
		for list := range f.limits {
			f.limits[list] = min(f.limits[list], n)
		}
	}
	if v := c.Settings["interval"]; v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 7*24*3600 {
			return bad("interval", "not a number of seconds between one and a week's")
		}
		f.interval = time.Duration(n) * time.Second
	}
	private, err := readPrivate(c)
	if err != nil {
		return nil, err
	}
	f.screen = screen{tenant: c.TenantID, private: private, never: never}
	return f, nil
}

// kinds are what the verbs act on.
var kinds = map[string]threat.TargetKind{verb.BlockIP: threat.TargetIP, verb.BlockDomain: threat.TargetDomain}

// shape refuses an order that is about no entry of a list.
func shape(o adapters.Order) error {
	if want, ok := kinds[o.Verb]; !ok || o.Target.Kind != want {
		return &threat.Fault{Kind: threat.Invalid, What: "a list cannot hold a target of this kind for " + threat.Inert(o.Verb, 32),
			Place: "/target/kind"}
	}
	if o.Verb == verb.BlockIP {
		_, err := address(o.Target.Value)
		return err
	}
	return nil
}

// Validate refuses what the list or its model cannot take, without looking at the store.
func (f *Feed) Validate(o adapters.Order) error {
	if err := shape(o); err != nil {
		return err
	}
	if len(o.Params) > 0 && o.Verb != verb.BlockIP {
		return &threat.Fault{Kind: threat.Invalid, What: o.Verb + " has no parameters", Place: "/params"}
	}
	if o.Verb == verb.BlockIP {
		for name, v := range o.Params {
			if name != "direction" {
				return &threat.Fault{Kind: threat.Invalid, What: "block_ip has only the parameter direction", Place: "/params"}
			}
			if v != "both" && v != "" {
				return &threat.Fault{Kind: threat.Unsupported, Place: "/params/direction",
					What: "a list does not tell firewalls a direction", Next: "block both, or use a connection that acts itself"}
			}
		}
	}
	if o.Verb == verb.BlockIP {
		a, err := address(o.Target.Value)
		if err != nil {
			return err
		}
		if f.ipv4 && !a.Is4() {
			return &threat.Fault{Kind: threat.Unsupported, What: "lists for " + f.model + " take IPv4 addresses only", Place: "/target/value"}
		}
		if !f.screen.private && private(a) {
			return &threat.Fault{Kind: threat.Forbidden, What: a.String() + " is a private address, and this connection does not publish those",
				Place: "/target/value", Next: "set private to true on the connection to allow it"}
		}
	}
	return nil
}

// Plan says what would be published.
func (f *Feed) Plan(o adapters.Order) (string, error) {
	if err := f.Validate(o); err != nil {
		return "", err
	}
	return fmt.Sprintf("publish %s on the list %s until %s; each firewall blocks it from its next fetch on", o.Target.Value,
		lists[o.Verb], o.DeviceEnds.UTC().Format(time.RFC3339)), nil
}

// Test reads the lists.
func (f *Feed) Test(ctx context.Context) error {
	for _, list := range threat.FeedLists {
		if _, _, _, err := f.publisher.FeedEntries(ctx, f.connection, list, f.now().UTC()); err != nil {
			return err
		}
	}
	return nil
}
