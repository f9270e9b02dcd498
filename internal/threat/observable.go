package threat

import (
	"encoding/hex"
	"net/netip"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ObservableKind is what a detection can name.
type ObservableKind string

const (
	ObservableHost     ObservableKind = "host"
	ObservableDevice   ObservableKind = "device"
	ObservableUser     ObservableKind = "user"
	ObservableIP       ObservableKind = "ip"
	ObservableDomain   ObservableKind = "domain"
	ObservableURL      ObservableKind = "url"
	ObservableFileHash ObservableKind = "file_hash"
	ObservableProcess  ObservableKind = "process"
	ObservableFilePath ObservableKind = "file_path"
	ObservableMailbox  ObservableKind = "mailbox"
	ObservableSession  ObservableKind = "session"
)

// ObservableKinds lists every kind.
var ObservableKinds = []ObservableKind{ObservableHost, ObservableDevice, ObservableUser, ObservableIP, ObservableDomain,
	ObservableURL, ObservableFileHash, ObservableProcess, ObservableFilePath, ObservableMailbox, ObservableSession}

// Bearing says on which side of the attack an observable stands, as far as the sensor told.
type Bearing string

const (
	BearingAdversary Bearing = "adversary" // the attacker's own: a C2 address, a malicious domain
	BearingVictim    Bearing = "victim"    // the customer's own
	BearingUnknown   Bearing = ""
)

// Observable is one thing a detection names, in canonical form: two spellings of the same thing compare equal.
type Observable struct {
	Kind    ObservableKind `json:"kind"`
	Value   string         `json:"value"`
	Bearing Bearing        `json:"bearing,omitempty"`
}

// MaxObservableLength is the longest canonical value kept, in bytes; longer ones are refused by Canonical.
const MaxObservableLength = 2048

// Canonical gives the observable with its value in canonical form, or an Invalid fault that says why it has none.
// Addresses are unmapped and unzoned, domains lower-case without a final dot, hashes lower-case hexadecimal.
func (o Observable) Canonical() (Observable, error) {
	v := strings.TrimSpace(o.Value)
	if v == "" {
		return o, Faultf(Invalid, "an empty %s", o.Kind)
	}
	if len(v) > MaxObservableLength {
		return o, Faultf(Invalid, "a %s of %d bytes; the limit is %d", o.Kind, len(v), MaxObservableLength)
	}
	if !utf8.ValidString(v) {
		return o, Faultf(Invalid, "a %s that is not UTF-8", o.Kind)
	}
	var err error
	switch o.Kind {
	case ObservableIP:
		v, err = CanonicalIP(v)
	case ObservableDomain:
		v, err = CanonicalDomain(v)
	case ObservableURL:
		v, err = canonicalURL(v)
	case ObservableFileHash:
		v, err = canonicalHash(v)
	case ObservableHost, ObservableDevice, ObservableUser, ObservableMailbox:
		v = strings.ToLower(v)
	case ObservableProcess, ObservableFilePath, ObservableSession:
	default:
		return o, Faultf(Invalid, "unknown observable kind %q", string(o.Kind))
	}
	o.Value = v
	return o, err
}

// CanonicalIP gives one address in canonical form: IPv4-mapped IPv6 becomes IPv4, a zone is refused.
func CanonicalIP(s string) (string, error) {
	a, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil {
		return "", Faultf(Invalid, "%q is not an IP address", Inert(s, 64))
	}
	if a.Zone() != "" {
		return "", Faultf(Invalid, "%q has a zone", Inert(s, 64))
	}
	return a.Unmap().String(), nil
}

// CanonicalPrefix gives an address or a range as a masked prefix; IPv4-mapped ranges of at least 96 bits are unmapped.
func CanonicalPrefix(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, Faultf(Invalid, "%q is neither an address nor a range", Inert(s, 64))
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, Faultf(Invalid, "%q covers more than IPv4", Inert(s, 64))
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// CanonicalDomain gives a domain name in lower case without its final dot. Names that are not made of LDH or underscore
// labels (RFC 1035, 63 octets a label, 253 in all), single labels, and addresses are refused; internationalised names
// come as A-labels.
func CanonicalDomain(s string) (string, error) {
	v := strings.ToLower(strings.TrimSuffix(strings.TrimSpace(s), "."))
	if v == "" || len(v) > 253 {
		return "", Faultf(Invalid, "%q is not a domain name", Inert(s, 64))
	}
	if _, err := netip.ParseAddr(v); err == nil {
		return "", Faultf(Invalid, "%q is an address, not a domain name", Inert(s, 64))
	}
	labels := strings.Split(v, ".")
	if len(labels) < 2 {
		return "", Faultf(Invalid, "%q is a single label", Inert(s, 64))
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return "", Faultf(Invalid, "%q is not a domain name", Inert(s, 64))
		}
		for _, c := range []byte(l) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return "", Faultf(Invalid, "%q is not a domain name; give internationalised names as A-labels", Inert(s, 64))
			}
		}
	}
	return v, nil
}

func canonicalURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil {
		return "", Faultf(Invalid, "%q is not an absolute URL without credentials", Inert(s, 64))
	}
	u.Scheme, u.Host, u.Fragment = strings.ToLower(u.Scheme), strings.ToLower(u.Host), ""
	return u.String(), nil
}

func canonicalHash(s string) (string, error) {
	v := strings.ToLower(s)
	if _, err := hex.DecodeString(v); err != nil || (len(v) != 32 && len(v) != 40 && len(v) != 64) {
		return "", Faultf(Invalid, "%q is not an MD5, SHA-1 or SHA-256 in hexadecimal", Inert(s, 64))
	}
	return v, nil
}

// Inert makes text that an attacker may have chosen safe to show on a line: control, format and bidirectional
// characters become U+FFFD, and what is over max runes is cut and marked with an ellipsis. Markup stays as it is; who
// writes HTML or a message escapes it there.
func Inert(s string, max int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n == max {
			b.WriteRune('…')
			break
		}
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			r = '\uFFFD'
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}
