package decide

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// maxScanned bounds how many detections of a case are looked through for its subjects.
const maxScanned = 2000

// subjects are the people, mailboxes and hosts that a case is about, in lower case.
type subjects struct {
	people map[string]bool // users and mailboxes
	places map[string]bool // hosts, addresses, domains
}

// subjectsOf reads the case's detections.
func (s *Service) subjectsOf(ctx context.Context, caseID uuid.UUID) (subjects, error) {
	out := subjects{people: map[string]bool{}, places: map[string]bool{}}
	var after int64
	for range maxScanned / 200 {
		ds, err := s.deps.Store.DetectionsOfCase(ctx, caseID, after, 200)
		if err != nil {
			return out, err
		}
		for _, d := range ds {
			after = max(after, d.Seq)
			for _, o := range d.Observables {
				switch o.Kind {
				case threat.ObservableUser, threat.ObservableMailbox:
					out.people[strings.ToLower(o.Value)] = true
				case threat.ObservableHost, threat.ObservableDevice, threat.ObservableIP, threat.ObservableDomain:
					out.places[strings.ToLower(o.Value)] = true
				}
			}
		}
		if len(ds) < 200 {
			return out, nil
		}
	}
	return out, nil
}

// person reports whether a person is a subject of the case: a user or mailbox that it names is theirs, letter for letter.
// No likeness is tried, because an attacker chooses the names that a log holds.
func (sub subjects) person(p threat.Person) bool {
	return p.Email != "" && sub.people[strings.ToLower(p.Email)] || p.Name != "" && sub.people[strings.ToLower(p.Name)]
}

// hostSettings are the settings of a connection that name the machine behind it.
var hostSettings = []string{"host", "server", "address", "url"}

// compromised reports whether a way to reach people may be in the attacker's hands: the connection was marked so, the case
// names the machine behind it, or the mailbox itself.
func (sub subjects) compromised(m threat.Method, byID map[uuid.UUID]threat.Connection) bool {
	if sub.people[strings.ToLower(m.Address)] {
		return true
	}
	c, ok := byID[m.ConnectionID]
	if !ok {
		return false
	}
	if c.Settings["compromised"] == "true" {
		return true
	}
	for _, name := range hostSettings {
		if h := hostOf(c.Settings[name]); h != "" && sub.places[h] {
			return true
		}
	}
	return false
}

// hostOf gives the host of "host", "host:port" or a URL, in lower case.
func hostOf(v string) string {
	v = strings.ToLower(strings.TrimSpace(v))
	if _, rest, ok := strings.Cut(v, "://"); ok {
		v = rest
	}
	v, _, _ = strings.Cut(v, "/")
	if a, err := netip.ParseAddrPort(v); err == nil {
		return a.Addr().String()
	}
	if a, err := netip.ParseAddr(strings.Trim(v, "[]")); err == nil {
		return a.String()
	}
	v, _, _ = strings.Cut(v, ":")
	return v
}

// public reports whether an address is one of the public internet: not private, reserved or the tenant's own. Text that is
// no address is not public.
func public(value string, own []string) bool {
	p, err := threat.CanonicalPrefix(value)
	if err != nil || !p.Addr().IsGlobalUnicast() || overlaps(p, privateRanges) || overlaps(p, reservedRanges) {
		return false
	}
	for _, o := range own {
		if q, err := threat.CanonicalPrefix(o); err == nil && q.Overlaps(p) {
			return false
		}
	}
	return true
}

// privateRanges are those of guard.Internal: RFC 1918, RFC 6598 and RFC 4193. A test holds the two together.
var privateRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fc00::/7"),
}

// reservedRanges are never an attacker's on the internet (RFC 6890). The documentation ranges of RFC 5737 and 3849 are not
// among them: labs use them for the outside.
var reservedRanges = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("::/127"), netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"), netip.MustParsePrefix("64:ff9b:1::/48"),
}

func overlaps(p netip.Prefix, ranges []netip.Prefix) bool {
	for _, r := range ranges {
		if r.Overlaps(p) {
			return true
		}
	}
	return false
}

var zones sync.Map // name -> *time.Location

func zoneOf(name string) (*time.Location, error) {
	if z, ok := zones.Load(name); ok {
		return z.(*time.Location), nil
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil, err
	}
	zones.Store(name, z)
	return z, nil
}

// usable gives settings in which every pointer is set, as the store promises them. One that it left out takes its default,
// rather than bringing us down.
func usable(set tenant.Settings) tenant.Settings {
	if set.RequestOpen == nil || set.StepWait == nil || set.Rounds == nil || set.AckFor == nil || set.BlockFor == nil ||
		set.BlockMax == nil || set.BlockEnd == nil || set.BudgetContain == nil || set.CasePart == nil || set.SensorPart == nil || set.BudgetDomain == nil || set.Zone == nil ||
		set.BusinessFrom == nil || set.BusinessTo == nil {
		return tenant.Effective(set)
	}
	return set
}

// Subject reports whether a case names a person as its subject: such a one is told nothing of it and decides nothing.
// Faults are the store's.
func (s *Service) Subject(ctx context.Context, caseID uuid.UUID, p threat.Person) (bool, error) {
	sub, err := s.subjectsOf(ctx, caseID)
	if err != nil {
		return false, err
	}
	return sub.person(p), nil
}
