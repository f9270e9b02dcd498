package suricata

import (
	"encoding/json"
	"net"
	"strings"

	"github.com/firebreak/firebreak/internal/ocsf"
	"github.com/firebreak/firebreak/internal/threat"
)

// nature is what a rule's class says about the traffic. Keys are the classes' descriptions, which EVE writes as category
// (Suricata's classification.config), in lower case.
type nature int

const (
	ordinary nature = iota // says nothing about who attacks whom: every class that is not in the table
	hostile                // an attack on the destination or by it
	control                // a machine of ours obeys the other side: trojans, command and control
)

var natures = map[string]nature{
	"a network trojan was detected":                               control,
	"malware command and control activity detected":               control,
	"domain observed used for c2 detected":                        control,
	"targeted malicious activity was detected":                    hostile,
	"exploit kit activity detected":                               hostile,
	"attempted administrator privilege gain":                      hostile,
	"attempted user privilege gain":                               hostile,
	"successful administrator privilege gain":                     hostile,
	"successful user privilege gain":                              hostile,
	"unsuccessful user privilege gain":                            hostile,
	"web application attack":                                      hostile,
	"executable code was detected":                                hostile,
	"attempted information leak":                                  hostile,
	"attempted denial of service":                                 hostile,
	"denial of service":                                           hostile,
	"detection of a denial of service attack":                     hostile,
	"detection of a network scan":                                 hostile,
	"attempt to login by a default username and password":         hostile,
	"an attempted login using a suspicious username was detected": hostile,
	"access to a potentially vulnerable web application":          hostile,
	"a suspicious filename was detected":                          hostile,
	"misc attack":                                                 hostile,
	"successful credential theft detected":                        hostile,
}

// classTechniques are the ATT&CK techniques that a class by itself amounts to. A rule's own mitre_technique_id is taken
// before them.
var classTechniques = map[string]string{
	"malware command and control activity detected":       "T1071",
	"domain observed used for c2 detected":                "T1071.004",
	"detection of a network scan":                         "T1046",
	"web application attack":                              "T1190",
	"attempt to login by a default username and password": "T1078.001",
	"crypto currency mining activity detected":            "T1496",
	"detection of a denial of service attack":             "T1498",
	"attempted denial of service":                         "T1498",
}

func techniques(meta map[string][]string, category string) []string {
	var out []string
	seen := map[string]bool{}
	for _, name := range []string{"mitre_technique_id", "mitre_attack"} {
		for _, v := range meta[name] {
			if t := ocsf.Technique(v); t != "" && !seen[t] && len(out) < 16 {
				seen[t] = true
				out = append(out, t)
			}
		}
	}
	if t := classTechniques[class(category)]; t != "" && len(out) == 0 {
		out = []string{t}
	}
	return out
}

func class(category string) string { return strings.ToLower(strings.TrimSpace(category)) }

// observables names the two addresses, the rule's own source and target, and the names that were asked for.
//
// Bearings, from the most telling:
//
//  1. alert.source and alert.target, which a rule with the keyword target writes: a public source is the adversary's, an
//     internal target the victim's. Not in DNS.
//  2. Classes of trojans and of command and control: of an internal and a public address, the public one is the
//     adversary's and the internal one the victim's, whoever sent the packet. Not in DNS, where the public address is
//     mostly a resolver that only passed the question on: there the name is the adversary's, the asking machine the
//     victim's, and the server unknown.
//  3. Hostile classes: the target is the victim's when internal, and then the other side the adversary's when public. The
//     target is the side that the rule's attack_target means (client or server, told apart by the packet's direction or
//     the flow's own source), else the destination of a packet from a public to an internal address that is not an
//     answer (to_client). Not in DNS.
//  4. Everything else is unknown.
//
// An internal address is never the adversary's. Names (DNS questions, TLS and QUIC server names, HTTP hosts) are the
// adversary's only in classes of trojans and of command and control, else unknown.
func observables(r record, meta map[string][]string, src, dst string) []threat.Observable {
	from, to := sides(r, meta, src, dst)
	names := threat.BearingUnknown
	if natures[class(r.Alert.Category)] == control {
		names = threat.BearingAdversary
	}
	var out []threat.Observable
	seen := map[string]bool{}
	add := func(kind threat.ObservableKind, v string, b threat.Bearing) {
		key := string(kind) + ":" + v
		if v == "" || seen[key] {
			return
		}
		seen[key] = true
		out = append(out, threat.Observable{Kind: kind, Value: v, Bearing: b})
	}
	// The adversary's address comes first: only so many observables of a finding are correlated.
	if to == threat.BearingAdversary {
		add(threat.ObservableIP, dst, to)
	}
	add(threat.ObservableIP, src, from)
	add(threat.ObservableIP, dst, to)
	for _, n := range asked(r) {
		n = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(n), "."))
		if host, _, err := net.SplitHostPort(n); err == nil {
			n = host
		}
		if net.ParseIP(strings.Trim(n, "[]")) != nil {
			continue // a Host header with an address: the addresses are named already
		}
		if _, err := threat.CanonicalDomain(n); err != nil {
			continue // a single label, or no name at all; the record keeps it
		}
		add(threat.ObservableDomain, n, names)
	}
	return out
}

func sides(r record, meta map[string][]string, src, dst string) (from, to threat.Bearing) {
	if r.Alert.Source != nil && r.Alert.Target != nil && !isDNS(r) {
		attacker, target := address(r.Alert.Source.IP), address(r.Alert.Target.IP)
		switch {
		case attacker == src && target == dst:
			return told(src, dst)
		case attacker == dst && target == src:
			to, from = told(dst, src)
			return from, to
		}
	}
	kind := natures[class(r.Alert.Category)]
	near, far := ocsf.ReachOf(src), ocsf.ReachOf(dst)
	if kind == control {
		switch {
		case isDNS(r):
			if r.DestPort.String() == "53" && near == ocsf.Internal {
				from = threat.BearingVictim
			}
			if r.SrcPort.String() == "53" && far == ocsf.Internal {
				to = threat.BearingVictim
			}
			return from, to
		case near == ocsf.Internal && far == ocsf.Public:
			return threat.BearingVictim, threat.BearingAdversary
		case near == ocsf.Public && far == ocsf.Internal:
			return threat.BearingAdversary, threat.BearingVictim
		}
		return threat.BearingUnknown, threat.BearingUnknown
	}
	if kind != hostile || isDNS(r) {
		return threat.BearingUnknown, threat.BearingUnknown
	}
	switch target := targetOf(r, meta, src, dst); {
	case target != "" && target == dst:
		return attack(src, dst)
	case target != "" && target == src:
		to, from = attack(dst, src)
		return from, to
	}
	if near == ocsf.Public && far == ocsf.Internal && r.Direction != "to_client" {
		return attack(src, dst)
	}
	return threat.BearingUnknown, threat.BearingUnknown
}

// told gives the bearings where the rule itself says who attacks whom.
func told(attacker, target string) (by, on threat.Bearing) {
	if ocsf.ReachOf(attacker) == ocsf.Public {
		by = threat.BearingAdversary
	}
	if ocsf.ReachOf(target) == ocsf.Internal {
		on = threat.BearingVictim
	}
	return by, on
}

// attack gives the bearings where it is inferred. Without an internal target we do not know which side is ours.
func attack(attacker, target string) (by, on threat.Bearing) {
	if ocsf.ReachOf(target) != ocsf.Internal {
		return threat.BearingUnknown, threat.BearingUnknown
	}
	return told(attacker, target)
}

// targetOf gives the address that a rule's attack_target means, or "" when it cannot be told.
func targetOf(r record, meta map[string][]string, src, dst string) string {
	client, server := false, false
	for _, t := range meta["attack_target"] {
		t = strings.ToLower(t)
		client = client || strings.Contains(t, "client")
		server = server || strings.Contains(t, "server")
	}
	if client == server {
		return ""
	}
	asker := ""
	switch r.Direction {
	case "to_server":
		asker = src
	case "to_client":
		asker = dst
	default:
		var flow struct {
			SrcIP string `json:"src_ip"`
		}
		if json.Unmarshal(r.Flow, &flow) == nil && flow.SrcIP != "" {
			asker = address(flow.SrcIP)
		}
	}
	switch {
	case asker == src && client, asker == dst && server:
		return src
	case asker == dst && client, asker == src && server:
		return dst
	}
	return ""
}

// isDNS reports whether the record is of a DNS exchange. The port counts only where Suricata did not recognise another
// protocol: command and control likes port 53 too.
func isDNS(r record) bool {
	return len(r.DNS) > 0 || r.AppProto == "dns" ||
		r.AppProto == "" && (r.DestPort.String() == "53" || r.SrcPort.String() == "53")
}

// maxNames is how many names of one record are named.
const maxNames = 64

// asked gives the names in a record that were looked up or asked for, as they were sent.
func asked(r record) []string {
	type question struct {
		Name string `json:"rrname"`
	}
	var out []string
	// A DNS part holds the name itself (version 2), in a list of queries (an alert), or of questions (version 3).
	var dns struct {
		Name    string          `json:"rrname"`
		Query   json.RawMessage `json:"query"`
		Queries json.RawMessage `json:"queries"`
	}
	if json.Unmarshal(r.DNS, &dns) == nil {
		out = append(out, dns.Name)
		for _, raw := range []json.RawMessage{dns.Query, dns.Queries} {
			var qs []question
			var q question
			switch {
			case json.Unmarshal(raw, &qs) == nil:
			case json.Unmarshal(raw, &q) == nil:
				qs = []question{q}
			}
			for _, q := range qs {
				out = append(out, q.Name)
			}
		}
	}
	var named struct {
		SNI      string `json:"sni"`
		Hostname string `json:"hostname"`
	}
	for _, raw := range []json.RawMessage{r.TLS, r.QUIC} {
		named.SNI = ""
		if json.Unmarshal(raw, &named) == nil {
			out = append(out, named.SNI)
		}
	}
	named.Hostname = ""
	if json.Unmarshal(r.HTTP, &named) == nil {
		out = append(out, named.Hostname)
	}
	return out[:min(len(out), maxNames)]
}
