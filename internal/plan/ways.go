package plan

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// Place is where a way takes hold.
type Place string

const (
	OnHost       Place = "agent"      // on the host itself: its agent, or a shell on it
	AtFirewall   Place = "firewall"   // a device that the traffic passes
	AtSwitch     Place = "switch"     // the port to which the host is attached
	OnList       Place = "list"       // a list that devices fetch
	AtNeighbours Place = "neighbours" // managed hosts that refuse it
	AtService    Place = "service"    // a directory, mail, backup or cloud service
)

// Part is one action of a way: a verb on a target through connections, each of which has an outcome of its own.
type Part struct {
	Verb        string
	Target      threat.Target
	Connections []uuid.UUID // sorted
}

// Way is one manner of doing what is wanted. All of its parts are done; the next way is taken when it failed.
type Way struct {
	Place Place
	Parts []Part
	Why   string // why it is chosen, or comes where it comes
}

// Able tells whether an adapter can do a verb, and whether it only publishes a list that devices fetch.
type Able func(adapter, verb string) (polled, ok bool)

// Ways gives the manners in which a verb can be done to a target, the one to be taken first at the front, and the connections
// that could do it but are left out. On a managed host its agent comes first; for one without, the firewall, the switch, the
// lists and the neighbours, in that order. What stands on lists goes over every list and device at once, as one way. The
// target is canonical; no way at all means that nothing can do it.
func Ways(name string, target threat.Target, assets []threat.Asset, list []threat.Connection, able Able) ([]Way, []LeftOut) {
	v, ok := verb.Find(name)
	if !ok || !v.ActsOn(target.Kind) {
		return nil, nil
	}
	p := planner{list: list, able: able}
	id, on := target.Asset()
	if !on {
		ids := p.through(name, target, nil)
		if len(ids) == 0 {
			return nil, p.left
		}
		return []Way{{Place: placeOf(v, false), Parts: []Part{{name, target, ids}}, Why: "every connection that can"}}, p.left
	}
	asset := threat.Asset{ID: id}
	for _, a := range assets {
		if a.ID == id {
			asset = a
		}
	}
	if name == verb.IsolateHost {
		return p.isolate(asset, target), p.left
	}
	return p.each(v, asset, target, placeOf(v, false)), p.left
}

type planner struct {
	list []threat.Connection
	able Able
	left []LeftOut
}

// isolate cuts a host off by whatever can.
func (p *planner) isolate(a threat.Asset, target threat.Target) []Way {
	v, _ := verb.Find(verb.IsolateHost)
	agent := p.each(v, a, target, OnHost)
	around := p.around(a, target)
	if a.Managed {
		return append(agent, around...)
	}
	// A host that is known not to be managed has an agent only where it is pinned to one.
	pinned := slices.DeleteFunc(slices.Clone(agent), func(w Way) bool { return !p.pinned(a, w.Parts[0].Connections[0]) })
	return append(pinned, around...)
}

// around cuts a host off from the outside.
func (p *planner) around(a threat.Asset, target threat.Target) []Way {
	var out []Way
	add := func(place Place, why string, parts ...Part) {
		parts = slices.DeleteFunc(parts, func(x Part) bool { return len(x.Connections) == 0 })
		if len(parts) > 0 {
			out = append(out, Way{place, parts, why})
		}
	}
	blocks := func(polled bool) (parts []Part) {
		for _, text := range a.Addresses {
			t, ok := address(text, target)
			if ok {
				parts = append(parts, Part{verb.BlockIP, t, p.through(verb.BlockIP, t, &polled)})
			}
		}
		return parts
	}
	add(AtFirewall, "its addresses are blocked where its traffic passes", blocks(false)...)
	add(AtSwitch, "the port to which it is attached is quarantined",
		Part{verb.QuarantinePort, target, p.through(verb.QuarantinePort, target, nil)})
	add(OnList, "its addresses are put on the lists that firewalls fetch", blocks(true)...)
	add(AtNeighbours, "managed hosts refuse it",
		Part{verb.ContainFromNeighbours, target, p.through(verb.ContainFromNeighbours, target, nil)})
	return out
}

// address gives one of a host's addresses as a target that stays the host's.
func address(text string, of threat.Target) (threat.Target, bool) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return threat.Target{}, false
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if !p.IsSingleIP() { // a network of the asset's is not the host alone
		return threat.Target{}, false
	}
	id, _ := of.Asset()
	return threat.Target{Kind: threat.TargetIP, Value: p.Addr().Unmap().String(), AssetID: uuid.NullUUID{UUID: id, Valid: true}}, true
}

// each makes every connection that can a way of its own: a host is another's after the first, and one agent knows it. Those
// to which the asset is pinned come first.
func (p *planner) each(v verb.Verb, a threat.Asset, target threat.Target, place Place) []Way {
	ids := p.through(v.Name, target, nil)
	slices.SortStableFunc(ids, func(x, y uuid.UUID) int { return rank(p.pinned(a, x)) - rank(p.pinned(a, y)) })
	var out []Way
	for _, id := range ids {
		why := "a connection that can"
		if p.pinned(a, id) {
			why = "the asset is known to it by its own id"
		}
		out = append(out, Way{place, []Part{{v.Name, target, []uuid.UUID{id}}}, why})
	}
	return out
}

func rank(first bool) int {
	if first {
		return 0
	}
	return 1
}

// pinned reports whether an asset bears the id that a connection's product has for it, as a tag "adapter:id".
func (p *planner) pinned(a threat.Asset, connection uuid.UUID) bool {
	for _, c := range p.list {
		if c.ID == connection {
			return slices.ContainsFunc(a.Tags, func(t string) bool { return strings.HasPrefix(t, c.Adapter+":") })
		}
	}
	return false
}

// through gives the connections that can do a verb to a target, sorted: all, or those that only publish, or those that do not.
func (p *planner) through(name string, target threat.Target, polled *bool) []uuid.UUID {
	ids, left := Connections(name, target, p.list, func(adapter, verb string) bool {
		is, ok := p.able(adapter, verb)
		return ok && (polled == nil || is == *polled)
	})
	for _, l := range left {
		if !slices.ContainsFunc(p.left, func(o LeftOut) bool { return o.Connection.ID == l.Connection.ID }) {
			p.left = append(p.left, l)
		}
	}
	slices.SortFunc(p.left, func(a, b LeftOut) int { return bytes.Compare(a.Connection.ID[:], b.Connection.ID[:]) })
	return ids
}

// placeOf gives where a verb takes hold.
func placeOf(v verb.Verb, polled bool) Place {
	switch v.Name {
	case verb.BlockIP, verb.BlockRange, verb.BlockDomain, verb.BlockURL:
		if polled {
			return OnList
		}
		return AtFirewall
	case verb.QuarantinePort:
		return AtSwitch
	case verb.ContainFromNeighbours:
		return AtNeighbours
	}
	for _, k := range v.Targets {
		if k == threat.TargetAsset || k.OnAsset() || k == threat.TargetHash {
			return OnHost
		}
	}
	return AtService
}

// WayStep names the step of the n-th way (from 1) of doing a verb for a plan's step: what was wanted and how far it went can
// be read from it again.
func WayStep(step, name string, n int) string { return step + "/" + name + "/" + strconv.Itoa(n) }

// ParseWay reads WayStep's answer; false for a step that is none.
func ParseWay(text string) (step, name string, n int, ok bool) {
	i := strings.LastIndexByte(text, '/')
	if i < 0 {
		return "", "", 0, false
	}
	j := strings.LastIndexByte(text[:i], '/')
	if j < 0 {
		return "", "", 0, false
	}
	n, err := strconv.Atoi(text[i+1:])
	if _, known := verb.Find(text[j+1 : i]); err != nil || n < 1 || !known {
		return "", "", 0, false
	}
	return text[:j], text[j+1 : i], n, true
}

// Next gives the next way that is to be tried for what failed: the number of it, and false when a later one was begun already
// or r is not a failed way. Among are the case's responses.
func Next(r threat.Response, among []threat.Response) (n int, ok bool) {
	step, name, n, ok := ParseWay(r.Step)
	if !ok || r.State != threat.ResponseFailed {
		return 0, false
	}
	for _, o := range among {
		s, v, m, is := ParseWay(o.Step)
		if is && s == step && v == name && Wanted(v, o.Target).String() == Wanted(name, r.Target).String() && m > n && !o.CreatedAt.Before(r.CreatedAt) {
			return 0, false
		}
	}
	return n + 1, true
}

// Overtaken reports whether a way failed and a later one was begun in its place: it is not what the case waits for.
func Overtaken(r threat.Response, among []threat.Response) bool {
	_, _, _, way := ParseWay(r.Step)
	if !way || r.State != threat.ResponseFailed {
		return false
	}
	_, next := Next(r, among)
	return !next
}

// Wanted gives the target that a verb was wanted on, from one that a way of it acts on: of a host, the host.
func Wanted(name string, acted threat.Target) threat.Target {
	if name == verb.IsolateHost && acted.AssetID.Valid {
		return threat.Target{Kind: threat.TargetAsset, Value: acted.AssetID.UUID.String(), AssetID: acted.AssetID}
	}
	return acted
}

// UnderWay reports whether some way of doing a verb for a step on a target goes on already. Among are the case's responses.
func UnderWay(step, name string, target threat.Target, among []threat.Response) bool {
	for _, r := range among {
		s, v, _, ok := ParseWay(r.Step)
		if ok && s == step && v == name && r.EndedAt == nil && Wanted(name, r.Target).String() == target.String() {
			return true
		}
	}
	return false
}
