package guard

import (
	"net/netip"
	"net/url"
	"strings"

	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// The widest ranges that may be blocked: half of the internet in two steps is as bad as the whole in one.
const (
	widest4         = 16 // bits of an IPv4 range
	widest6         = 32
	widestInternal4 = 24 // of a range inside
	widestInternal6 = 64
)

// nobody are the ranges in which no single host on a network is meant.
var nobody = prefixes("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32", "::/127", "fe80::/10",
	"ff00::/8")

// inside are private (RFC 1918, RFC 4193) and shared (RFC 6598) addresses.
var inside = prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// lockout refuses what would cut off everybody or ourselves: addresses of no single host, ranges so wide that they hold
// everybody, and Firebreak's own names and addresses.
func lockout(f Facts) Verdict {
	t := f.Action.Target
	if k := t.Kind; k == threat.TargetIP || k == threat.TargetRange {
		if v := wide(t, f.Settings.OwnNetworks); !v.OK() {
			return v
		}
	}
	for _, t := range reached(f) {
		if hit := touches(t, f.Ours); hit != "" {
			return Verdict{Guard: Lockout, Why: "it would cut off Firebreak itself (" + hit + ")", Narrower: insteadOf(f.Action)}
		}
	}
	return Verdict{}
}

// wide refuses an address of nobody, and a range that holds more than one network.
func wide(t threat.Target, own []string) Verdict {
	p, err := threat.CanonicalPrefix(t.Value)
	if err != nil {
		return Verdict{Guard: Lockout, Why: err.Error()}
	}
	for _, q := range spellings(p) {
		for _, n := range nobody {
			if n.Overlaps(q) && (p.IsSingleIP() || n.Bits() >= q.Bits()) {
				return Verdict{Guard: Lockout, Why: q.Addr().String() + " is not an address of one host on a network"}
			}
			if n.Overlaps(q) {
				return Verdict{Guard: Lockout, Why: t.Value + " lies among addresses of no host on a network"}
			}
		}
		least := widest4
		switch in := Internal(q, own); {
		case q.Addr().Is4() && in:
			least = widestInternal4
		case !q.Addr().Is4() && in:
			least = widestInternal6
		case !q.Addr().Is4():
			least = widest6
		}
		if q.Bits() < least {
			return Verdict{Guard: Lockout, Why: t.Value + " is wider than one network", Narrower: "block the attacker's own address"}
		}
	}
	return Verdict{}
}

// neverBlock refuses what the tenant listed as untouchable: addresses, ranges and domains that are never blocked, its ways
// out, its resolvers and its VPN addresses.
func neverBlock(f Facts) Verdict {
	for _, t := range reached(f) {
		if v := listed(t, f.Settings); !v.OK() {
			v.Narrower = insteadOf(f.Action)
			return v
		}
	}
	return Verdict{}
}

func listed(t threat.Target, set tenant.Settings) Verdict {
	for _, l := range set.Listed() {
		if hit := touches(t, l.Entries); hit != "" {
			return Verdict{Guard: NeverBlock, Why: "the " + l.Name + " holds " + hit}
		}
	}
	return Verdict{}
}

// Recheck asks again about what stands already, when a list has changed since: a target that is untouchable now is to be let
// go. The zero Verdict lets it stand.
func Recheck(a threat.Action, set tenant.Settings, ours []string, assets []threat.Asset) Verdict {
	f := Facts{Action: a, Settings: set, Ours: ours, Assets: assets}
	for _, g := range []func(Facts) Verdict{lockout, neverBlock, protected} {
		if v := g(f); !v.OK() {
			return v
		}
	}
	return Verdict{}
}

// reached are the target and, where the verb cuts off more than it names, what it would reach: the addresses of an asset, and
// those to which a name led.
func reached(f Facts) []threat.Target {
	out := []threat.Target{f.Action.Target}
	for _, a := range f.Resolved {
		out = append(out, threat.Target{Kind: threat.TargetIP, Value: a})
	}
	v, _ := verb.Find(f.Action.Verb)
	if !v.Cuts {
		return out
	}
	id, on := f.Action.Target.Asset()
	for _, a := range f.Assets {
		if !on || a.ID != id {
			continue
		}
		for _, text := range a.Addresses {
			out = append(out, threat.Target{Kind: threat.TargetRange, Value: text})
		}
	}
	return out
}

// Internal reports whether a prefix touches private (RFC 1918, RFC 4193), shared (RFC 6598) or own address space.
func Internal(p netip.Prefix, own []string) bool {
	for _, q := range inside {
		if q.Overlaps(p) {
			return true
		}
	}
	for _, s := range own {
		if q, err := threat.CanonicalPrefix(s); err == nil && q.Overlaps(p) {
			return true
		}
	}
	return false
}

// network gives the addresses that a target names.
func network(t threat.Target) (netip.Prefix, bool) {
	if t.Kind != threat.TargetIP && t.Kind != threat.TargetRange {
		return netip.Prefix{}, false
	}
	p, err := threat.CanonicalPrefix(t.Value)
	return p, err == nil
}

var (
	nat64 = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	sixTo = netip.MustParsePrefix("2002::/16")    // RFC 3056
)

// spellings gives a range and the IPv4 range that it stands for, when it is written as one of IPv6: behind NAT64 or 6to4.
// One that holds such a network whole stands for every IPv4 address.
func spellings(p netip.Prefix) []netip.Prefix {
	out := []netip.Prefix{p}
	if p.Addr().Is4() {
		return out
	}
	for _, via := range []struct {
		net netip.Prefix
		at  int // where the IPv4 address begins, in bits
	}{{nat64, 96}, {sixTo, 16}} {
		if !via.net.Overlaps(p) {
			continue
		}
		if p.Bits() < via.at {
			out = append(out, netip.PrefixFrom(netip.IPv4Unspecified(), 0))
			continue
		}
		b := p.Addr().As16()
		a := netip.AddrFrom4([4]byte(b[via.at/8 : via.at/8+4]))
		out = append(out, netip.PrefixFrom(a, min(p.Bits()-via.at, 32)).Masked())
	}
	return out
}

// touches gives the first entry of a list that a target would hit: an overlapping range, the same domain, or a domain
// below which the entry lies. Of a web address only its host counts, and of a sender only its domain.
func touches(t threat.Target, list []string) string {
	name, below := "", false
	switch t.Kind {
	case threat.TargetIP, threat.TargetRange:
		return overlapping(t.Value, list)
	case threat.TargetDomain:
		name, below = t.Value, true
	case threat.TargetURL:
		u, err := url.Parse(t.Value)
		if err != nil {
			return ""
		}
		name = strings.TrimSuffix(u.Hostname(), ".")
		if hit := overlapping(name, list); hit != "" {
			return hit
		}
	case threat.TargetSender:
		_, domain, whole := strings.Cut(t.Value, "@")
		if name = domain; !whole {
			name, below = t.Value, true
		}
	default:
		return ""
	}
	for _, s := range list {
		d, err := threat.CanonicalDomain(s)
		if err == nil && (d == name || below && strings.HasSuffix(d, "."+name)) {
			return s
		}
	}
	return ""
}

func overlapping(text string, list []string) string {
	p, err := threat.CanonicalPrefix(text)
	if err != nil {
		return ""
	}
	for _, s := range list {
		q, err := threat.CanonicalPrefix(s)
		if err != nil {
			continue
		}
		for _, a := range spellings(p) {
			for _, b := range spellings(q) {
				if a.Overlaps(b) {
					return s
				}
			}
		}
	}
	return ""
}

// insteadOf offers something narrower that would stop the attacker too.
func insteadOf(a threat.Action) string {
	switch a.Target.Kind {
	case threat.TargetDomain:
		return "block the one host name that the attack uses"
	case threat.TargetURL:
		return "block the one path that the attack uses at the mail or web product, or the attacker's own address"
	case threat.TargetSender:
		return "take the one message out of the mailboxes"
	case threat.TargetAccount:
		return "end the one session that the attack uses"
	case threat.TargetRange:
		return "block the attacker's own address"
	}
	switch a.Verb {
	case verb.BlockIP, verb.BlockRange:
		return "block the attacker's own address"
	}
	return "block the attacker's address instead"
}
