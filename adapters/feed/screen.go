package feed

import (
	"context"
	"net/netip"
	"strings"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

// screen is what never leaves a list, asked last: of every entry before it is published, and of the whole list each time
// that it is served, so that an address which is allowed today is served no longer, whoever put it there before.
type screen struct {
	tenant  uuid.UUID
	private bool
	never   NeverBlock
}

// Screen gives the function that internal/feed asks before it serves a list: of some values of a connection's list, those
// that may be served, in their order. A never-block list that cannot be read is a fault, and the list is not served: a
// firewall keeps the copy that it has.
func Screen(never NeverBlock) func(ctx context.Context, c threat.Connection, list string, values []string) ([]string, error) {
	return func(ctx context.Context, c threat.Connection, list string, values []string) ([]string, error) {
		private, err := readPrivate(c)
		if err != nil {
			return nil, err
		}
		held, err := screen{tenant: c.TenantID, private: private, never: never}.open(ctx, list)
		if err != nil {
			return nil, err
		}
		out := make([]string, 0, len(values))
		for _, v := range values {
			if held(v) == "" {
				out = append(out, v)
			}
		}
		return out, nil
	}
}

// open reads the never-block list once, and gives why a value is held back; "" lets it through.
func (s screen) open(ctx context.Context, list string) (func(value string) string, error) {
	var never []string
	if s.never != nil {
		var err error
		if never, err = s.never(ctx, s.tenant); err != nil {
			return nil, &threat.Fault{Kind: threat.Unavailable, What: "the never-block list could not be read", Err: err}
		}
	}
	if list == threat.FeedDomains {
		return func(v string) string { return heldDomain(v, never) }, nil
	}
	var prefixes []netip.Prefix
	for _, n := range never {
		if p, err := threat.CanonicalPrefix(n); err == nil {
			prefixes = append(prefixes, p)
		}
	}
	return func(v string) string {
		a, err := netip.ParseAddr(v)
		switch {
		case err != nil:
			return "it is not an address"
		case a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			return "it is not the address of one host on a network"
		case !s.private && private(a):
			return "it is a private address"
		}
		for _, p := range prefixes {
			if p.Contains(a.Unmap()) {
				return "the never-block list holds " + p.String()
			}
		}
		return ""
	}, nil
}

// heldDomain holds back a domain that is on the never-block list, and one below which a domain of that list lies: firewalls
// block what is below an entry, too.
func heldDomain(v string, never []string) string {
	for _, n := range never {
		d, err := threat.CanonicalDomain(n)
		if err == nil && (d == v || strings.HasSuffix(d, "."+v)) {
			return "the never-block list holds " + d
		}
	}
	return ""
}

// privateRanges are RFC 1918, RFC 6598 and RFC 4193.
var privateRanges = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fc00::/7")}

func private(a netip.Addr) bool {
	for _, p := range privateRanges {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func readPrivate(c threat.Connection) (bool, error) {
	switch c.Settings["private"] {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, &threat.Fault{Kind: threat.Invalid, What: "neither true nor false", Place: "/settings/private"}
}

func address(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return a, &threat.Fault{Kind: threat.Invalid, What: "not an address in canonical form", Place: "/target/value"}
	}
	return a, nil
}

// forbidden is the fault of an order that the screen holds back.
func forbidden(o adapters.Order, why string) error {
	return &threat.Fault{Kind: threat.Forbidden, What: o.Target.Value + " is never published: " + why, Place: "/target/value"}
}
