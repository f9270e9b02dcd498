package crowdsec

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/ocsf"
	"github.com/firebreak/firebreak/internal/threat"
)

// alert is what we read of an Alert of the local API (its swagger definition "Alert"). The plugin's default template,
// {{.|toJson}}, posts an array of them.
type alert struct {
	UUID        string          `json:"uuid"`
	ID          json.Number     `json:"id"`
	MachineID   string          `json:"machine_id"`
	Scenario    string          `json:"scenario"`
	EventsCount int64           `json:"events_count"`
	StartAt     string          `json:"start_at"`
	StopAt      string          `json:"stop_at"`
	CreatedAt   string          `json:"created_at"`
	Simulated   bool            `json:"simulated"`
	Source      *source         `json:"source"`
	Events      []event         `json:"events"`
	Decisions   []decision      `json:"decisions"`
	Labels      json.RawMessage `json:"labels"` // a list in the definition; its form has changed between versions
}

type source struct {
	Scope string `json:"scope"`
	Value string `json:"value"`
	IP    string `json:"ip"`
}

type event struct {
	Meta []struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	} `json:"meta"`
}

type decision struct {
	Origin string `json:"origin"`
}

// made are the origins of decisions that somebody made or fetched, in lower case: the alert that carries nothing else
// reports no attack that was seen here. Our own are among them, or we would answer ourselves.
var made = map[string]bool{"cscli": true, "cscli-import": true, "capi": true, "lists": true, "console": true,
	"firebreak": true}

// maxSources is how many source addresses of a range's events are named.
const maxSources = 256

// Detect reads one alert, an array of them, or one on each line. A scenario in simulation mode, and an alert that only
// reports decisions made by hand or fetched from a list, are skipped with the reason.
//
// Bearings: the source of an Ip-scope alert is the adversary's, for that is what the scenario says; unless it is no
// address of a single reachable host, like loopback. Of a Range-scope alert, so are the addresses of its events that lie
// in the range; the range itself has no kind of observable and stands in the title. Of other scopes the events'
// addresses are named with an unknown bearing. The machine whose log told is the victim's host. Names of users that the
// attacker tried are not observables: every guess at "root" would join one case.
func (Adapter) Detect(body []byte) ([]adapters.Finding, error) {
	items, _, err := ocsf.Split(body)
	if err != nil {
		return nil, err
	}
	out := make([]adapters.Finding, 0, len(items))
	var first error
	unread := 0
	for _, it := range items {
		f, err := read(it)
		if err != nil {
			unread++
			if first == nil {
				first = err
			}
			f = adapters.Finding{Unreadable: err}
		}
		f.Raw = it.Raw
		out = append(out, f)
	}
	if unread == len(items) {
		return nil, first
	}
	return out, nil
}

func read(it ocsf.Item) (adapters.Finding, error) {
	if it.Err != nil {
		return adapters.Finding{}, it.Err
	}
	var a alert
	if err := json.Unmarshal(ocsf.Text(it.Raw), &a); err != nil {
		return adapters.Finding{}, misfit(err, it.Place)
	}
	if a.Scenario = strings.TrimSpace(a.Scenario); a.Scenario == "" {
		return adapters.Finding{}, missing(it.Place, "/scenario", "an alert names its scenario")
	}
	if a.Source == nil {
		return adapters.Finding{}, missing(it.Place, "/source", "an alert names its source")
	}
	scope, value := strings.ToLower(strings.TrimSpace(a.Source.Scope)), strings.TrimSpace(a.Source.Value)
	if scope == "" && a.Source.IP != "" {
		scope = "ip"
	}
	if value == "" {
		value = strings.TrimSpace(a.Source.IP)
	}
	if why := leaveOut(a, scope); why != "" {
		return adapters.Finding{Skip: why}, nil
	}
	if value == "" {
		return adapters.Finding{}, missing(it.Place, "/source/value", "a source has a value")
	}
	at, err := when(a)
	if err != nil {
		return adapters.Finding{}, missing(it.Place, "/start_at", "an alert tells when it began, in RFC 3339")
	}
	if ip, err := threat.CanonicalIP(value); err == nil && scope == "ip" {
		value = ip
	}
	techniques, severity := classify(a.Scenario)
	f := adapters.Finding{
		UID: uid(a), Severity: severity, At: at, Techniques: techniques,
		Title:       threat.Inert(fmt.Sprintf("%s: %s %s, %d events", a.Scenario, scope, value, a.EventsCount), ocsf.MaxTitle),
		Observables: observables(a, scope, value),
		DedupKey:    "crowdsec|" + a.Scenario + "|" + scope + ":" + value + "|" + a.MachineID,
	}
	for _, t := range labelled(a.Labels) {
		if !contains(f.Techniques, t) {
			f.Techniques = append(f.Techniques, t)
		}
	}
	return f, nil
}

// leaveOut tells why an alert is no finding, or "".
func leaveOut(a alert, scope string) string {
	switch {
	case a.Simulated:
		return "the scenario runs in simulation mode"
	case strings.HasPrefix(scope, "lists:"), scope == "capi", scope == "crowdsecurity/community-blocklist":
		return "an update of a block list"
	case len(a.Decisions) == 0:
		return ""
	}
	for _, d := range a.Decisions {
		if !made[strings.ToLower(strings.TrimSpace(d.Origin))] {
			return ""
		}
	}
	return "its decisions were made by hand or fetched from a list"
}

func uid(a alert) string {
	if a.UUID != "" {
		return a.UUID
	}
	if id := a.ID.String(); id != "" && id != "0" {
		return a.MachineID + "/" + id
	}
	return ""
}

// layouts are the forms of time in alerts: RFC 3339 of the agents, and Go's own of older versions and of events.
var layouts = []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999 -0700 MST", "2006-01-02 15:04:05.999999999 -0700"}

func when(a alert) (time.Time, error) {
	for _, s := range []string{a.StartAt, a.StopAt, a.CreatedAt} {
		s, _, _ = strings.Cut(strings.TrimSpace(s), " m=")
		for _, l := range layouts {
			if t, err := time.Parse(l, s); err == nil && t.Year() >= 1970 && t.Year() <= 9999 {
				return t.UTC(), nil
			}
		}
	}
	return time.Time{}, errors.New("no time that could be read")
}

func observables(a alert, scope, value string) []threat.Observable {
	var out []threat.Observable
	seen := map[threat.Observable]bool{}
	add := func(kind threat.ObservableKind, v string, b threat.Bearing) {
		o := threat.Observable{Kind: kind, Value: v, Bearing: b}
		if v != "" && !seen[o] {
			seen[o] = true
			out = append(out, o)
		}
	}
	switch scope {
	case "ip":
		add(threat.ObservableIP, value, adversary(value))
	case "range":
		p, err := threat.CanonicalPrefix(value)
		if err == nil && p.IsSingleIP() {
			add(threat.ObservableIP, p.Addr().String(), adversary(p.Addr().String()))
		}
		for _, ip := range sources(a.Events) {
			if addr, bad := netip.ParseAddr(ip); err == nil && bad == nil && p.Contains(addr) {
				add(threat.ObservableIP, ip, adversary(ip))
			}
		}
	default:
		if scope == "username" || scope == "user" {
			add(threat.ObservableUser, value, threat.BearingUnknown)
		}
		for _, ip := range sources(a.Events) {
			add(threat.ObservableIP, ip, threat.BearingUnknown)
		}
	}
	for _, e := range a.Events {
		for _, m := range e.Meta {
			if m.Key == "machine" && !strings.EqualFold(m.Value, "localhost") && len(out) < maxSources {
				add(threat.ObservableHost, strings.ToLower(strings.TrimSpace(m.Value)), threat.BearingVictim)
			}
		}
	}
	return out
}

// adversary is the bearing of an address that a scenario names as the attacker's.
func adversary(ip string) threat.Bearing {
	a, err := netip.ParseAddr(ip)
	if err != nil || a.IsLoopback() || ocsf.ReachOf(ip) == ocsf.NoAddress {
		return threat.BearingUnknown
	}
	return threat.BearingAdversary
}

// sources gives the source addresses of events in canonical form, each once, the first maxSources.
func sources(events []event) []string {
	var out []string
	seen := map[string]bool{}
	for _, e := range events {
		for _, m := range e.Meta {
			if m.Key != "source_ip" {
				continue
			}
			if ip, err := threat.CanonicalIP(m.Value); err == nil && !seen[ip] && len(out) < maxSources {
				seen[ip] = true
				out = append(out, ip)
			}
		}
	}
	return out
}

func missing(place, at, what string) error {
	return &threat.Fault{Kind: threat.Invalid, What: what, Place: place + at}
}

// misfit tells where a value has another JSON type than the definition says.
func misfit(err error, place string) error {
	f := &threat.Fault{Kind: threat.Invalid, What: "it is not a CrowdSec alert", Place: place, Err: err}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		f.What = "a value of another type was expected"
		f.Place = place + "/" + strings.ReplaceAll(wrong.Field, ".", "/")
	}
	return f
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
