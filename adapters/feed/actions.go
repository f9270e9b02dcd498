package feed

import (
	"context"
	"fmt"
	"time"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

// entries gives a list's entries, those of one value, and its revision.
func (f *Feed) entries(ctx context.Context, o adapters.Order) (all, same []threat.FeedEntry, revision int64, err error) {
	now := f.now().UTC()
	all, revision, _, err = f.publisher.FeedEntries(ctx, f.connection, lists[o.Verb], now)
	if err != nil {
		return nil, nil, 0, err
	}
	for _, e := range all {
		if e.Value == o.Target.Value && now.Before(e.Until) {
			same = append(same, e)
		}
	}
	return all, same, revision, nil
}

// pick gives the entry that bears on an order: the newest of ours, else somebody else's.
func pick(o adapters.Order, same []threat.FeedEntry) (e threat.FeedEntry, there bool) {
	for _, x := range same {
		switch {
		case !there, o.Owns(x.Mark) && (!o.Owns(e.Mark) || x.Mark == o.Mark):
			e, there = x, true
		}
	}
	return e, there
}

// Read tells what is published, and how many of the firewalls that poll have fetched it. It is in force when all have.
func (f *Feed) Read(ctx context.Context, o adapters.Order) (adapters.Reading, error) {
	if err := shape(o); err != nil {
		return adapters.Reading{}, err
	}
	_, same, revision, err := f.entries(ctx, o)
	if err != nil {
		return adapters.Reading{}, unread(err)
	}
	fetches, err := f.publisher.Fetches(ctx, f.connection, lists[o.Verb])
	if err != nil {
		return adapters.Reading{}, unread(err)
	}
	now := f.now().UTC()
	r := adapters.Reading{Presence: adapters.Absent, At: now}
	e, there := pick(o, same)
	if !there {
		n := f.count(fetches, revision, now)
		r.Detail = fmt.Sprintf("not on the list at revision %d", revision)
		if n.polling > n.have {
			r.Detail += fmt.Sprintf("; %d of %d firewalls have not fetched that revision yet, and act on the copy they have",
				n.polling-n.have, n.polling)
		}
		return r, nil
	}
	r.Handle = lists[o.Verb] + "/" + e.Value
	ends := e.Until.UTC()
	r.DeviceEnds = &ends
	held, err := f.screen.open(ctx, lists[o.Verb])
	if err != nil {
		return adapters.Reading{}, err
	}
	ours := o.Owns(e.Mark)
	why := held(e.Value)
	n := f.count(fetches, e.Revision, now)
	r.InForce = why == "" && n.polling > 0 && n.have == n.polling
	switch {
	case !ours:
		r.Presence = adapters.Foreign
	case r.InForce:
		r.Presence = adapters.Ours
	default:
		r.Presence = adapters.Published
	}
	r.Detail = n.String(e.Revision)
	if why != "" {
		r.Detail = "listed, but held back when the list is served: " + why
	}
	return r, nil
}

// tally counts firewalls.
type tally struct{ polling, have, silent int }

// count looks at the firewalls that polled within three of their intervals, and at how many of them have a revision.
func (f *Feed) count(fetches []threat.FeedFetch, revision int64, now time.Time) tally {
	var n tally
	for _, x := range fetches {
		interval := x.Interval
		if interval <= 0 {
			interval = f.interval
		}
		if now.Sub(x.At) > 3*max(interval, time.Second) {
			n.silent++
			continue
		}
		n.polling++
		if x.Revision >= revision {
			n.have++
		}
	}
	return n
}

func (n tally) String(revision int64) string {
	s := fmt.Sprintf("%d of %d firewalls have fetched revision %d", n.have, n.polling, revision)
	if n.polling == 0 {
		s = fmt.Sprintf("published in revision %d; no firewall polls the list now", revision)
	}
	if n.silent > 0 {
		s += fmt.Sprintf("; %d polled earlier and no longer", n.silent)
	}
	return s
}

// Apply publishes. The list is full before it overflows: a firewall that drops the end of a list would do so in silence.
func (f *Feed) Apply(ctx context.Context, o adapters.Order) (adapters.Receipt, error) {
	if err := f.Validate(o); err != nil {
		return adapters.Receipt{}, err
	}
	held, err := f.screen.open(ctx, lists[o.Verb])
	if err != nil {
		return adapters.Receipt{}, err
	}
	if why := held(o.Target.Value); why != "" {
		return adapters.Receipt{}, forbidden(o, why)
	}
	all, same, _, err := f.entries(ctx, o)
	if err != nil {
		return adapters.Receipt{}, unread(err)
	}
	receipt := adapters.Receipt{Outcome: threat.OutcomeSuccess, Handle: lists[o.Verb] + "/" + o.Target.Value}
	var left []threat.FeedEntry
	for _, e := range same {
		switch {
		case o.Overtaken(e.Mark):
			return adapters.Receipt{}, overtaken()
		case !o.Owns(e.Mark):
			receipt.Adopted = true
			receipt.Detail = fmt.Sprintf("it was on the list already by an entry that is not ours (%q)", threat.Inert(e.Mark, 64))
		case e.Mark == o.Mark && e.Until.Equal(o.DeviceEnds):
			receipt.Detail = "it was on the list already under our mark"
			return receipt, nil
		case e.Mark != o.Mark:
			left = append(left, e)
		}
	}
	if receipt.Adopted {
		return receipt, nil
	}
	if limit := f.limits[lists[o.Verb]]; len(same) == 0 && distinct(all)+1 > limit {
		return adapters.Receipt{}, &threat.Fault{Kind: threat.TooLarge, Place: "/target/value",
			What: fmt.Sprintf("the list %s has its %d entries, all that %s firewalls take", lists[o.Verb], limit, f.model),
			Next: "release what is no longer needed, or raise max_entries if the firewalls take more"}
	}
	if err := f.put(ctx, o); err != nil {
		return adapters.Receipt{}, err
	}
	for _, e := range left { // what a lost release of an earlier generation left; the new entry stands beside it by now
		if _, err := f.publisher.RemoveFeedEntry(ctx, f.connection, e.List, e.Value, e.Mark); err != nil {
			return adapters.Receipt{}, after(err)
		}
	}
	receipt.Detail = "published until " + o.DeviceEnds.UTC().Format(time.RFC3339)
	return receipt, nil
}

func (f *Feed) put(ctx context.Context, o adapters.Order) error {
	adapters.HandedOver(ctx)
	return after(f.publisher.PutFeedEntry(ctx, threat.FeedEntry{ConnectionID: f.connection, TenantID: f.tenant, List: lists[o.Verb],
		Value: o.Target.Value, Mark: o.Mark, AddedAt: f.now().UTC(), Until: o.DeviceEnds.UTC()}))
}

// unread is the fault of a look at the list that failed: nothing was changed by it.
func unread(err error) error {
	if k := threat.KindOf(err); k != threat.Internal && k != threat.Unknown {
		return err
	}
	return &threat.Fault{Kind: threat.Unavailable, What: "the list could not be read; nothing was changed", Err: err}
}

// after gives a write that failed its kind. A database that went away may have committed first, so that Unavailable is
// Unknown here; a read settles it.
func after(err error) error {
	if err == nil {
		return nil
	}
	switch threat.KindOf(err) {
	case threat.Unavailable, threat.Internal:
		return &threat.Fault{Kind: threat.Unknown, What: "the list may have been written, and no answer came", Next: "read before repeating", Err: err}
	}
	return err
}

func overtaken() error {
	return &threat.Fault{Kind: threat.Conflict, What: "a later generation of this effect is on the list", Next: "read the effect again"}
}

func distinct(all []threat.FeedEntry) int {
	seen := make(map[string]struct{}, len(all))
	for _, e := range all {
		seen[e.Value] = struct{}{}
	}
	return len(seen)
}

// Renew sets the entry's end anew. Firewalls need not fetch for that.
func (f *Feed) Renew(ctx context.Context, o adapters.Order) (adapters.Receipt, error) {
	if err := f.Validate(o); err != nil {
		return adapters.Receipt{}, err
	}
	_, same, _, err := f.entries(ctx, o)
	if err != nil {
		return adapters.Receipt{}, unread(err)
	}
	e, there := pick(o, same)
	receipt := adapters.Receipt{Outcome: threat.OutcomeSuccess, Handle: lists[o.Verb] + "/" + o.Target.Value}
	switch {
	case !there:
		return adapters.Receipt{}, &threat.Fault{Kind: threat.NotFound, What: "the entry is not on the list any more",
			Next: "it is a drift, not a renewal: decide anew"}
	case o.Overtaken(e.Mark):
		return adapters.Receipt{}, overtaken()
	case !o.Owns(e.Mark):
		receipt.Adopted, receipt.Detail = true, "the entry is not ours, and was left as it is"
		return receipt, nil
	case e.Mark != o.Mark:
		return f.Apply(ctx, o) // an earlier generation's: taken over
	}
	if err := f.put(ctx, o); err != nil {
		return adapters.Receipt{}, err
	}
	receipt.Detail = "published until " + o.DeviceEnds.UTC().Format(time.RFC3339)
	return receipt, nil
}

// Remove takes away every entry of the value that is ours.
func (f *Feed) Remove(ctx context.Context, o adapters.Order) (adapters.Receipt, error) {
	if err := shape(o); err != nil {
		return adapters.Receipt{}, err
	}
	_, same, _, err := f.entries(ctx, o)
	if err != nil {
		return adapters.Receipt{}, unread(err)
	}
	receipt := adapters.Receipt{Outcome: threat.OutcomeDoesNotExist, Detail: "nothing of ours is on the list"}
	for _, e := range same {
		if !o.Owns(e.Mark) {
			continue
		}
		adapters.HandedOver(ctx)
		gone, err := f.publisher.RemoveFeedEntry(ctx, f.connection, e.List, e.Value, e.Mark)
		if err != nil {
			return adapters.Receipt{}, after(err)
		}
		if gone {
			receipt = adapters.Receipt{Outcome: threat.OutcomeSuccess, Handle: e.List + "/" + e.Value,
				Detail: "off the list; each firewall lets it through from its next fetch on"}
		}
	}
	return receipt, nil
}
