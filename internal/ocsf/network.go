package ocsf

import (
	"net/netip"
	"strings"
)

// Reach says on which side of the edge of a network an address stands, as far as the address alone tells.
type Reach int

const (
	NoAddress Reach = iota // not an address, or one that names no single host: unspecified, multicast, broadcast
	Internal               // private (RFC 1918, RFC 4193), loopback, link-local, or shared (RFC 6598)
	Public                 // any other unicast address, those of documentation included
)

var (
	shared    = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598: behind a carrier's translation
	broadcast = netip.MustParseAddr("255.255.255.255")
	thisHost  = netip.MustParsePrefix("0.0.0.0/8") // RFC 791
)

// ReachOf classes an address however it is written; an IPv4-mapped address is taken as IPv4.
func ReachOf(address string) Reach {
	a, err := netip.ParseAddr(strings.TrimSpace(address))
	if err != nil {
		return NoAddress
	}
	a = a.Unmap().WithZone("")
	switch {
	case a.IsUnspecified(), a.IsMulticast(), a == broadcast, a.Is4() && thisHost.Contains(a):
		return NoAddress
	case a.IsPrivate(), a.IsLoopback(), a.IsLinkLocalUnicast(), shared.Contains(a):
		return Internal
	}
	return Public
}
