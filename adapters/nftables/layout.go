package nftables

import (
	"encoding/json"
	"net/netip"
	"sort"
)

// chain is one base chain of ours.
type chain struct {
	name, hook string
	prio       int
}

// Priorities of the hooks (nft(8)): before connection tracking, and just before the filters of other tables.
const (
	prioRaw    = -300
	prioBefore = -10
)

// hookChains are the chains that each hook of the settings asks for.
var hookChains = map[string][]chain{
	"input":   {{"before_input", "input", prioBefore}},
	"forward": {{"before_forward", "forward", prioBefore}},
	"output":  {{"early_output", "output", prioRaw}, {"before_output", "output", prioBefore}},
}

// chains gives those of the settings, sorted by name. Prerouting sees what comes in before its address is rewritten and
// before a connection is tracked, for us and for others; so it is ours only when both are to be looked at.
func (s Settings) chains() []chain {
	var out []chain
	has := map[string]bool{}
	for _, h := range s.Hooks {
		has[h] = true
		out = append(out, hookChains[h]...)
	}
	if has["input"] && has["forward"] {
		out = append(out, chain{"early_prerouting", "prerouting", prioRaw})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].name < out[j].name })
	return out
}

// drop is one rule: packets whose field is in the set go no further.
type drop struct{ protocol, field, set string }

// drops are the rules of every chain, in order.
var drops = func() []drop {
	var out []drop
	for _, f := range []struct{ protocol, version string }{{"ip", "4"}, {"ip6", "6"}} {
		name := "blocked" + f.version
		out = append(out, drop{f.protocol, "saddr", name}, drop{f.protocol, "saddr", name + "_in"},
			drop{f.protocol, "daddr", name}, drop{f.protocol, "daddr", name + "_out"})
	}
	return out
}()

// obj is an object of libnftables-json(5).
type obj = map[string]any

func add(kind string, o obj) obj { return obj{"add": obj{kind: o}} }

// build gives the commands that make the table what it should be, whatever it was. In one transaction they leave no
// moment without the rules.
func (s Settings) build() []obj {
	t := func(o obj) obj { o["family"], o["table"] = "inet", s.Table; return o }
	// A table that somebody put to sleep wakes when it is added without flags.
	cmds := []obj{add("table", obj{"family": "inet", "name": s.Table})}
	for _, f := range []struct{ name, kind string }{{"blocked4", "ipv4_addr"}, {"blocked6", "ipv6_addr"}} {
		for _, suffix := range []string{"", "_in", "_out"} {
			cmds = append(cmds, add("set", t(obj{"name": f.name + suffix, "type": f.kind, "flags": []string{"timeout"}})))
		}
	}
	for _, c := range s.chains() {
		cmds = append(cmds, add("chain", t(obj{"name": c.name, "type": "filter", "hook": c.hook, "prio": c.prio, "policy": "accept"})),
			obj{"flush": obj{"chain": t(obj{"name": c.name})}})
		for _, d := range drops {
			cmds = append(cmds, add("rule", t(obj{"chain": c.name, "expr": []obj{
				{"match": obj{"op": "==", "left": obj{"payload": obj{"protocol": d.protocol, "field": d.field}}, "right": "@" + d.set}},
				{"drop": nil}}})))
		}
	}
	return cmds
}

// elements gives one command on one element.
func (s Settings) elements(command, set string, elem any) obj {
	return obj{command: obj{"element": obj{"family": "inet", "table": s.Table, "name": set, "elem": []any{elem}}}}
}

// listed is our table as nft lists it.
type listed struct {
	asleep bool
	sets   map[string]map[netip.Addr]entry
	chains map[string]chain
	rules  map[string]map[drop]bool // by chain
	before map[string]bool          // chains in which something stands before our rules that is not ours
}

// entry is one element.
type entry struct {
	Comment string `json:"comment"`
	Timeout int64  `json:"timeout"` // seconds; 0 for ever
	Expires int64  `json:"expires"` // seconds that are left
}

// parse reads `nft -j list table`. Members that it does not know are passed over: another version of nft may have more.
func parse(b []byte) (listed, error) {
	l := listed{sets: map[string]map[netip.Addr]entry{}, chains: map[string]chain{}, rules: map[string]map[drop]bool{},
		before: map[string]bool{}}
	var doc struct {
		Nftables []struct {
			Table *struct {
				Flags json.RawMessage `json:"flags"`
			} `json:"table"`
			Set *struct {
				Name string            `json:"name"`
				Elem []json.RawMessage `json:"elem"`
			} `json:"set"`
			Chain *struct {
				Name string `json:"name"`
				Hook string `json:"hook"`
				Prio int    `json:"prio"`
			} `json:"chain"`
			Rule *struct {
				Chain string            `json:"chain"`
				Expr  []json.RawMessage `json:"expr"`
			} `json:"rule"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return l, err
	}
	for _, o := range doc.Nftables {
		switch {
		case o.Table != nil:
			l.asleep = asleep(o.Table.Flags)
		case o.Chain != nil:
			l.chains[o.Chain.Name] = chain{o.Chain.Name, o.Chain.Hook, o.Chain.Prio}
		case o.Set != nil:
			set := map[netip.Addr]entry{}
			for _, raw := range o.Set.Elem {
				if a, e, ok := parseElement(raw); ok {
					set[a] = e
				}
			}
			l.sets[o.Set.Name] = set
		case o.Rule != nil:
			d, ok := parseDrop(o.Rule.Expr)
			if !ok {
				l.before[o.Rule.Chain] = true
				continue
			}
			if l.before[o.Rule.Chain] { // an accept before it could let the packet through
				continue
			}
			if l.rules[o.Rule.Chain] == nil {
				l.rules[o.Rule.Chain] = map[drop]bool{}
			}
			l.rules[o.Rule.Chain][d] = true
		}
	}
	return l, nil
}

// asleep reports whether a table's flags may say dormant. nft 1.0.6 writes a wrong word for that flag, so that any but
// those known to be harmless counts.
func asleep(flags json.RawMessage) bool {
	if len(flags) == 0 {
		return false
	}
	var list []string
	if json.Unmarshal(flags, &list) != nil {
		var one string
		if json.Unmarshal(flags, &one) != nil {
			return true
		}
		list = []string{one}
	}
	for _, f := range list {
		if f != "owner" && f != "persist" {
			return true
		}
	}
	return false
}

func parseElement(raw json.RawMessage) (netip.Addr, entry, bool) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		a, err := netip.ParseAddr(text)
		return a, entry{}, err == nil
	}
	var long struct {
		Elem struct {
			Val string `json:"val"`
			entry
		} `json:"elem"`
	}
	if json.Unmarshal(raw, &long) != nil {
		return netip.Addr{}, entry{}, false
	}
	a, err := netip.ParseAddr(long.Elem.Val)
	return a, long.Elem.entry, err == nil
}

// parseDrop reads a rule as build writes it: a match on an address in a set, then a drop. A counter between them does no
// harm.
func parseDrop(exprs []json.RawMessage) (drop, bool) {
	var d drop
	dropped := false
	for _, raw := range exprs {
		var e struct {
			Match *struct {
				Op   string `json:"op"`
				Left struct {
					Payload struct {
						Protocol string `json:"protocol"`
						Field    string `json:"field"`
					} `json:"payload"`
				} `json:"left"`
				Right any `json:"right"`
			} `json:"match"`
		}
		if json.Unmarshal(raw, &e) != nil {
			return drop{}, false
		}
		if m := e.Match; m != nil {
			set, _ := m.Right.(string)
			if d != (drop{}) || m.Op != "==" || len(set) < 2 || set[0] != '@' {
				return drop{}, false
			}
			d = drop{m.Left.Payload.Protocol, m.Left.Payload.Field, set[1:]}
			continue
		}
		var keys map[string]json.RawMessage
		if json.Unmarshal(raw, &keys) != nil || len(keys) != 1 {
			return drop{}, false
		}
		if _, ok := keys["drop"]; ok {
			dropped = true
		} else if _, ok := keys["counter"]; !ok {
			return drop{}, false
		}
	}
	return d, dropped && d != drop{}
}

// stands reports whether every chain that should be there hooks where it should and drops what is in a set; with an empty
// set, what is in any.
func (l listed) stands(s Settings, set string) bool {
	if l.asleep {
		return false
	}
	for _, c := range s.chains() {
		if l.chains[c.name] != c {
			return false
		}
		for _, d := range drops {
			if (set == "" || d.set == set) && !l.rules[c.name][d] {
				return false
			}
		}
	}
	if set != "" {
		_, ok := l.sets[set]
		return ok
	}
	return len(l.sets) >= 6
}
