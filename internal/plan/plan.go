// Package plan says which connections an action goes through, and whether a step may act on a target again. It is pure.
package plan

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// LeftOut is a connection that an action does not go through, and why.
type LeftOut struct {
	Connection threat.Connection
	Why        string
}

// Connections gives those of a tenant's connections through which a verb reaches a target, sorted by id, and those that
// could do it but are left out. Able says whether an adapter can do a verb. Only what this server reaches itself is
// planned. A verb that is not in the table, or cannot act on the target's kind, goes through none.
func Connections(name string, target threat.Target, list []threat.Connection, able func(adapter, verb string) bool) (
	ids []uuid.UUID, left []LeftOut) {
	v, ok := verb.Find(name)
	if !ok || !slices.Contains(v.Targets, target.Kind) {
		return nil, nil
	}
	for _, c := range list {
		switch {
		case !able(c.Adapter, name):
		case !c.Enabled:
			left = append(left, LeftOut{c, "it is disabled"})
		case c.ReachedFrom != threat.ReachedFromServer:
			left = append(left, LeftOut{c, "it is not reached from this server"})
		default:
			ids = append(ids, c.ID)
		}
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	ids = slices.Compact(ids)
	slices.SortFunc(left, func(a, b LeftOut) int { return bytes.Compare(a.Connection.ID[:], b.Connection.ID[:]) })
	return ids, left
}

// Told gives what was left out in a line for people; "" when nothing was. Names are shown inert.
func Told(left []LeftOut) string {
	if len(left) == 0 {
		return ""
	}
	parts := make([]string, len(left))
	for i, l := range left {
		parts[i] = threat.Inert(l.Connection.Name, 64) + " (" + l.Why + ")"
	}
	return "not through " + strings.Join(parts, ", ")
}

// Complete gives a proposed action with its target canonical and its parameters complete. Its duration stays zero: policy
// decides it. Faults are verb.Check's: Unsupported for an unknown verb, Invalid with the place for the rest.
func Complete(a threat.Action) (threat.Action, error) {
	v, ok := verb.Find(a.Verb)
	if ok {
		a.Duration = v.MinDuration
	}
	a, err := verb.Check(a)
	a.Duration = 0
	return a, err
}

// Round gives the round in which a step may act on a target for a detection that was received at a time: 1 for the first,
// one more when the last one is over and the detection came after its end. Zero means not now, and why. A customer who said
// no is not asked again for as long as an acknowledgement holds (ackFor).
//
// Among are the case's responses; those of other steps and targets are passed over.
func Round(step string, target threat.Target, received time.Time, among []threat.Response, ackFor time.Duration) (int, string) {
	last, there := Newest(step, target, among)
	switch {
	case !there:
		return 1, ""
	case last.EndedAt == nil:
		return 0, "it is under way already"
	case !received.After(*last.EndedAt):
		return 0, "the detection is older than the last one's end"
	case last.State == threat.ResponseDenied && received.Before(last.EndedAt.Add(ackFor)):
		return 0, "it was denied a short while ago"
	}
	return last.Round + 1, ""
}

// Newest gives the response of the last round of a step on a target.
func Newest(step string, target threat.Target, among []threat.Response) (newest threat.Response, there bool) {
	for _, r := range among {
		if r.Step != step || r.Target.String() != target.String() {
			continue
		}
		if !there || r.Round > newest.Round {
			newest, there = r, true
		}
	}
	return newest, there
}

// LastRounds gives the newest response of each step and target, in the order in which they first came.
func LastRounds(among []threat.Response) []threat.Response {
	var out []threat.Response
	for _, r := range among {
		i := slices.IndexFunc(out, func(o threat.Response) bool { return o.Step == r.Step && o.Target.String() == r.Target.String() })
		switch {
		case i < 0:
			out = append(out, r)
		case r.Round > out[i].Round:
			out[i] = r
		}
	}
	return out
}
