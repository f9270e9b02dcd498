package console

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
)

// feedAdapter is the adapter whose connections hold lists that firewalls poll.
const feedAdapter = "feed"

// defaultInterval is how far apart a firewall's fetches are taken to be until it has been seen twice, where the connection
// does not say.
const defaultInterval = 5 * time.Minute

// intervalOf gives a feed's setting of that name, as adapters/feed reads it.
func intervalOf(c threat.Connection) time.Duration {
	if n, err := strconv.Atoi(c.Settings["interval"]); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	return defaultInterval
}

// entriesShown is how many entries of a list the page shows.
const entriesShown = 200

type feedsPage struct {
	frame
	Feeds []feedRow
}

type feedRow struct {
	Name, Tenant, Slug string
	Enabled, Simulated bool
	Lists              []listRow
}

type listRow struct {
	Name      string
	Revision  int64
	Changed   *moment
	Entries   []entryRow
	More      int
	Firewalls []firewallRow
	State     word
}

type entryRow struct {
	Value    string
	Added    moment
	Until    moment
	Revision int64
	Enforced word
}

type firewallRow struct {
	Name     string
	Revision int64
	At       moment
	Interval string
	State    word
}

func showFeeds(k *call) error {
	tenants, _, err := k.tenants("feed.read")
	if err != nil {
		return err
	}
	if len(tenants) == 0 && !k.mayAnywhere("feed.read") {
		if err := k.deps.Access.Allow(k.ctx(), k.caller, "feed.read", k.caller.OrgID); err != nil {
			return err
		}
	}
	p := &feedsPage{frame: k.frame("Feeds", "/feeds")}
	p.live("")
	for _, t := range tenants {
		list, err := k.deps.Store.Connections(k.ctx(), t.ID)
		if err != nil {
			return err
		}
		for _, c := range list {
			if c.Adapter != feedAdapter {
				continue
			}
			row := feedRow{Name: threat.Inert(c.Name, maxName), Tenant: threat.Inert(t.Name, maxName), Slug: t.Slug,
				Enabled:   c.Enabled,
				Simulated: t.Simulated}
			if row.Lists, err = p.lists(k, c); err != nil {
				return err
			}
			p.Feeds = append(p.Feeds, row)
		}
	}
	return k.render(http.StatusOK, "feeds", p)
}

var listNames = map[string]string{threat.FeedIPs: "Addresses", threat.FeedDomains: "Domains"}

func (p *feedsPage) lists(k *call, c threat.Connection) ([]listRow, error) {
	once := intervalOf(c)
	known, err := k.deps.Store.FeedLists(k.ctx(), c.ID)
	if err != nil {
		return nil, err
	}
	changed := map[string]time.Time{}
	for _, l := range known {
		if !l.ChangedAt.IsZero() {
			changed[l.List] = l.ChangedAt
		}
	}
	var out []listRow
	for _, name := range threat.FeedLists {
		entries, revision, _, err := k.deps.Store.FeedEntries(k.ctx(), c.ID, name, k.now)
		if err != nil {
			return nil, err
		}
		fetches, err := k.deps.Store.Fetches(k.ctx(), c.ID, name)
		if err != nil {
			return nil, err
		}
		row := listRow{Name: listNames[name], Revision: revision, State: enforcement(fetches, revision, k.now, once),
			More: max(len(entries)-entriesShown, 0)}
		if at, ok := changed[name]; ok {
			row.Changed = p.when(&at)
		}
		for _, e := range entries[:min(len(entries), entriesShown)] {
			row.Entries = append(row.Entries, entryRow{Value: threat.Inert(e.Value, 260), Added: p.When(e.AddedAt),
				Until:    p.When(e.Until),
				Revision: e.Revision, Enforced: enforcement(fetches, e.Revision, k.now, once)})
		}
		for _, f := range fetches {
			row.Firewalls = append(row.Firewalls, p.firewall(f, revision, once))
		}
		out = append(out, row)
	}
	return out, nil
}

func (p *feedsPage) firewall(f threat.FeedFetch, revision int64, once time.Duration) firewallRow {
	row := firewallRow{Name: threat.Inert(f.Firewall, maxName), Revision: f.Revision, At: p.When(f.At), Interval: "seen once"}
	if f.Interval > 0 {
		row.Interval = "every " + durationWords(max(f.Interval, time.Second))
	}
	switch {
	case silent(f, p.Now, once):
		row.State = word{"Silent", "it has missed three fetches, and is not counted", toneBad}
	case f.Revision < revision:
		row.State = word{"Behind", fmt.Sprintf("the newest is %d", revision), toneWarn}
	default:
		row.State = word{"Up to date", "", toneGood}
	}
	return row
}

// silent reports whether a firewall has not fetched within three of its intervals; once is the interval of one that was seen
// once.
func silent(f threat.FeedFetch, now time.Time, once time.Duration) bool {
	interval := f.Interval
	if interval <= 0 {
		interval = once
	}
	return now.Sub(f.At) > 3*max(interval, time.Second)
}

// enforcement tells published and enforced apart: enforced means that every firewall seen within three of its intervals has
// fetched the revision.
func enforcement(fetches []threat.FeedFetch, revision int64, now time.Time, once time.Duration) word {
	var polling, have int
	for _, f := range fetches {
		if silent(f, now, once) {
			continue
		}
		polling++
		if f.Revision >= revision {
			have++
		}
	}
	counted := fmt.Sprintf("%d of %s", have, strings.Replace(fmt.Sprintf("%d firewalls", polling), "1 firewalls",
		"1 firewall", 1))
	switch {
	case polling == 0:
		return word{"Published only", "no firewall polls the list", toneWarn}
	case have == polling:
		return word{"Enforced", counted, toneGood}
	case have == 0:
		return word{"Published", counted, toneWarn}
	}
	return word{"Partly enforced", counted, toneWarn}
}
