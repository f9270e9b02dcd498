package ocsf

import (
	"net/netip"
	"strings"

	"github.com/firebreak/firebreak/internal/threat"
)

// Observable type_id values (OCSF 1.8, object observable) that have a kind of ours.
const (
	TypeHostname    = 1
	TypeIP          = 2
	TypeMAC         = 3
	TypeUserName    = 4
	TypeEmail       = 5
	TypeURL         = 6
	TypeHash        = 8
	TypeProcess     = 9
	TypeSubnet      = 12
	TypeUserUID     = 31
	TypeProcessUID  = 39
	TypeFilePath    = 45
	TypeDeviceUID   = 47
	TypeEndpointUID = 48
	TypeOther       = 99
)

// kinds maps type_id to what we correlate and act on. Types that are absent have no kind: ports, countries, user agents,
// command lines, resource ids and whole objects stay in the event and are counted. A file name without its path
// (7) names nothing by itself and is left out as well.
var kinds = map[int64]threat.ObservableKind{
	TypeHostname: threat.ObservableHost, TypeIP: threat.ObservableIP, TypeMAC: threat.ObservableDevice,
	TypeUserName: threat.ObservableUser, TypeEmail: threat.ObservableMailbox, TypeURL: threat.ObservableURL,
	TypeHash: threat.ObservableFileHash, TypeProcess: threat.ObservableProcess, TypeUserUID: threat.ObservableUser,
	TypeProcessUID: threat.ObservableProcess, TypeFilePath: threat.ObservableFilePath,
	TypeDeviceUID: threat.ObservableDevice, TypeEndpointUID: threat.ObservableDevice,
}

// types is the way back: the type_id and its caption for each kind. OCSF has no type of its own for domains (a Hostname)
// and sessions.
var types = map[threat.ObservableKind]struct {
	id      int
	caption string
}{
	threat.ObservableHost: {TypeHostname, "Hostname"}, threat.ObservableDomain: {TypeHostname, "Hostname"},
	threat.ObservableDevice: {TypeDeviceUID, "Device Object: uid"}, threat.ObservableUser: {TypeUserName, "User Name"},
	threat.ObservableIP: {TypeIP, "IP Address"}, threat.ObservableURL: {TypeURL, "URL String"},
	threat.ObservableFileHash: {TypeHash, "Hash"}, threat.ObservableProcess: {TypeProcess, "Process Name"},
	threat.ObservableFilePath: {TypeFilePath, "File Path"}, threat.ObservableMailbox: {TypeEmail, "Email Address"},
	threat.ObservableSession: {TypeOther, "Session"},
}

// domainPaths end the names of observables whose Hostname is a name that was looked up or asked for, not a machine's own.
var domainPaths = []string{"query.hostname", "url.hostname", "url.domain", "tls.sni", "answers.rdata",
	"dst_endpoint.hostname", "dst_endpoint.domain"}

// malicious is the lowest reputation score_id that makes an observable the adversary's: 9 Probably Malicious, 10
// Malicious. 8 (Possibly Malicious) and 99 (Other) do not.
const malicious = 9

// observables gathers what the finding names, and on which side each stands. The rules, from the most telling:
//
//  1. An observable of observables[] or osint[] whose reputation is probably malicious or malicious (score_id 9 or 10) is
//     the adversary's; so is the hash of a file of malware[].
//  2. device, and each of resources[], is the customer's own: its addresses and names are the victim's.
//  3. In evidences[], an src_endpoint with a public address before a dst_endpoint with an internal one is the adversary's,
//     and the destination the victim's; unless connection_info says that the connection went out, or the finding is
//     informational (severity_id 1). Of an internal source and a public destination neither is told: most connections
//     of a network look like that.
//  4. Everything else is unknown.
//
// An internal address (see ReachOf) is never the adversary's by these rules. What two rules put on opposite sides is
// unknown. A Hostname is a domain when its name points to something that was looked up or asked for, or when rule 1 makes
// it the adversary's and it has the form of a domain; else it is a host.
func observables(n node, f *Finding) error {
	s := sides{index: map[string]int{}}
	for _, e := range n.get("evidences").list() {
		evidence(e, f.Severity, &s)
	}
	list := n.get("observables")
	if _, ok := list.v.([]any); list.v != nil && !ok {
		return n.fault("observables", "is not an array")
	}
	for _, o := range list.list() {
		id, ok := o.get("type_id").number()
		if !ok {
			f.Malformed++
			continue
		}
		observed(id, o, f, &s)
	}
	for _, o := range n.get("osint").list() {
		if adverse(o) {
			s.add(indicator(o.get("value").str()), threat.BearingAdversary)
		}
	}
	own(n.get("device"), &s)
	for _, r := range n.get("resources").list() {
		own(r, &s)
	}
	for _, m := range n.get("malware").list() {
		for _, file := range m.get("files").list() {
			hashes(file, threat.BearingAdversary, &s)
		}
	}
	f.Observables = s.all
	return nil
}

func observed(id int64, o node, f *Finding, s *sides) {
	value := o.get("value").str()
	kind, ok := kinds[id]
	bearing := threat.BearingUnknown
	if adverse(o) {
		bearing = threat.BearingAdversary
	}
	switch {
	case id == TypeSubnet:
		p, err := netip.ParsePrefix(value)
		if err != nil || !p.IsSingleIP() {
			f.Uncorrelated++
			return
		}
		kind, value = threat.ObservableIP, p.Addr().String()
	case !ok:
		f.Uncorrelated++
		return
	case value == "":
		f.Malformed++
		return
	case id == TypeHostname && named(o.get("name").str()):
		kind = threat.ObservableDomain
	case id == TypeHostname && bearing == threat.BearingAdversary:
		if _, err := threat.CanonicalDomain(value); err == nil {
			kind = threat.ObservableDomain
		}
	}
	s.add(threat.Observable{Kind: kind, Value: value}, bearing)
}

// named reports whether the name of a Hostname points to a name that was looked up or asked for.
func named(name string) bool {
	name = strings.NewReplacer("[]", "", "[*]", "").Replace(strings.ToLower(name))
	for _, p := range domainPaths {
		if name == p || strings.HasSuffix(name, "."+p) {
			return true
		}
	}
	return false
}

func adverse(o node) bool {
	score, ok := o.get("reputation").get("score_id").number()
	return ok && score >= malicious && score <= 10
}

// indicator tells what an indicator's value is by its form.
func indicator(value string) threat.Observable {
	for _, k := range []threat.ObservableKind{threat.ObservableIP, threat.ObservableFileHash, threat.ObservableDomain} {
		if o, err := (threat.Observable{Kind: k, Value: value}).Canonical(); err == nil {
			return o
		}
	}
	return threat.Observable{Kind: threat.ObservableURL, Value: value}
}

func evidence(e node, severity threat.Severity, s *sides) {
	src, dst := e.get("src_endpoint"), e.get("dst_endpoint")
	from, to := threat.BearingUnknown, threat.BearingUnknown
	direction, _ := e.get("connection_info").get("direction_id").number()
	const outbound = 2
	if ReachOf(src.get("ip").str()) == Public && ReachOf(dst.get("ip").str()) == Internal && direction != outbound &&
		severity != threat.SeverityInformational {
		from, to = threat.BearingAdversary, threat.BearingVictim
	}
	endpoint(src, from, s)
	endpoint(dst, to, s)
	s.add(threat.Observable{Kind: threat.ObservableDomain, Value: e.get("query").get("hostname").str()}, threat.BearingUnknown)
	s.add(threat.Observable{Kind: threat.ObservableDomain, Value: e.get("tls").get("sni").str()}, threat.BearingUnknown)
	s.add(threat.Observable{Kind: threat.ObservableURL, Value: e.get("url").get("url_string").str()}, threat.BearingUnknown)
	s.add(threat.Observable{Kind: threat.ObservableURL, Value: e.get("http_request").get("url").get("url_string").str()},
		threat.BearingUnknown)
	s.add(threat.Observable{Kind: threat.ObservableUser, Value: e.get("user").get("name").str()}, threat.BearingUnknown)
	s.add(threat.Observable{Kind: threat.ObservableProcess, Value: e.get("process").get("name").str()}, threat.BearingUnknown)
	s.add(threat.Observable{Kind: threat.ObservableFilePath, Value: e.get("file").get("path").str()}, threat.BearingUnknown)
	hashes(e.get("file"), threat.BearingUnknown, s)
	hashes(e.get("process").get("file"), threat.BearingUnknown, s)
	endpoint(e.get("device"), threat.BearingUnknown, s)
}

func endpoint(n node, bearing threat.Bearing, s *sides) {
	s.add(threat.Observable{Kind: threat.ObservableIP, Value: n.get("ip").str()}, bearing)
	s.add(threat.Observable{Kind: threat.ObservableHost, Value: n.get("hostname").str()}, bearing)
}

// own adds what identifies a device or resource of the customer.
func own(n node, s *sides) {
	endpoint(n, threat.BearingVictim, s)
	s.add(threat.Observable{Kind: threat.ObservableDevice, Value: n.get("mac").str()}, threat.BearingVictim)
}

func hashes(file node, bearing threat.Bearing, s *sides) {
	for _, h := range file.get("hashes").list() {
		v := h.get("value").str()
		if _, err := (threat.Observable{Kind: threat.ObservableFileHash, Value: v}).Canonical(); err != nil {
			continue // SHA-512, TLSH and the like: not a hash that we correlate
		}
		s.add(threat.Observable{Kind: threat.ObservableFileHash, Value: v}, bearing)
	}
}

// sides gathers observables, each once, and settles their bearings.
type sides struct {
	all     []threat.Observable
	index   map[string]int // kind and canonical value: place in all
	opposed []bool         // two rules disagreed
}

func (s *sides) add(o threat.Observable, b threat.Bearing) {
	if o.Value == "" {
		return
	}
	if o.Kind == threat.ObservableIP && b == threat.BearingAdversary && ReachOf(o.Value) != Public {
		b = threat.BearingUnknown
	}
	key := string(o.Kind) + ":" + o.Value
	if c, err := o.Canonical(); err == nil {
		key = string(c.Kind) + ":" + c.Value
	}
	i, ok := s.index[key]
	if !ok {
		s.index[key] = len(s.all)
		o.Bearing = b
		s.all, s.opposed = append(s.all, o), append(s.opposed, false)
		return
	}
	have := s.all[i].Bearing
	switch {
	case s.opposed[i] || b == threat.BearingUnknown || b == have:
	case have == threat.BearingUnknown:
		s.all[i].Bearing = b
	default:
		s.all[i].Bearing, s.opposed[i] = threat.BearingUnknown, true
	}
}
