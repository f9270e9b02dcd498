// Package tenant knows organisations' settings and how they inherit. A setting of an upper organisation holds below it
// until a lower one sets its own; what limits us (never-block lists, budgets, longest durations) a lower one may only
// narrow. The types and Effective are pure.
package tenant

import (
	"sort"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
)

// Settings are what an organisation sets for itself and for what is below it. A nil field inherits.
// Durations are in seconds in JSON, so that people and programs write the same.
type Settings struct {
	RequestOpen     *Seconds    `json:"request_open_seconds,omitempty"`     // a request waits this long; 30 min
	StepWait        *Seconds    `json:"step_wait_seconds,omitempty"`        // an escalation step; 5 min
	Rounds          *int        `json:"rounds,omitempty"`                   // of an escalation; 2
	AckFor          *Seconds    `json:"ack_for_seconds,omitempty"`          // an acknowledgement holds; 60 min
	BlockFor        *Seconds    `json:"block_for_seconds,omitempty"`        // a containment's duration; 4 h
	BlockMax        *Seconds    `json:"block_max_seconds,omitempty"`        // the longest one; narrows downwards; 7 days
	BlockEnd        *threat.End `json:"block_end,omitempty"`                // release_when_contained
	CorrelateWithin *Seconds    `json:"correlate_within_seconds,omitempty"` // 24 h
	DedupWithin     *Seconds    `json:"dedup_within_seconds,omitempty"`     // 1 h
	Reverify        *Seconds    `json:"reverify_seconds,omitempty"`         // between reads while held; 5 min, +-20 %
	Settle          *Seconds    `json:"settle_seconds,omitempty"`           // before an unclear effect is read; 5 s
	Call            *Seconds    `json:"call_seconds,omitempty"`             // one call to a device; 15 s
	Lease           *Seconds    `json:"lease_seconds,omitempty"`            // of a claim; 60 s
	QuietClose      *Seconds    `json:"quiet_close_seconds,omitempty"`      // a contained case without news is resolved; 24 h
	BudgetContain   *int        `json:"budget_contain,omitempty"`           // claims an hour; narrows downwards; 50
	BudgetDomain    *int        `json:"budget_block_domain,omitempty"`      // claims an hour; narrows downwards; 100
	NeverBlock      []string    `json:"never_block,omitempty"`              // addresses, ranges, domains; adds up downwards
	OwnNetworks     []string    `json:"own_networks,omitempty"`             // the tenant's ranges beside RFC 1918; adds up
	Egress          []string    `json:"egress,omitempty"`                   // addresses by which the tenant goes out; never blocked; adds up
	Resolvers       []string    `json:"resolvers,omitempty"`                // the DNS servers that it uses; never blocked; adds up
	VPNPools        []string    `json:"vpn_pools,omitempty"`                // addresses of its people on the way; never blocked; adds up
	Administrators  []string    `json:"administrators,omitempty"`           // accounts of which one stays able to sign in; adds up
	CasePart        *int        `json:"case_part_percent,omitempty"`        // of an asset class that one case may cut off; narrows; 25
	SensorPart      *int        `json:"sensor_part_percent,omitempty"`      // that one sensor's word alone may; narrows; 10
	Zone            *string     `json:"zone,omitempty"`                     // IANA, of business hours
	BusinessFrom    *int        `json:"business_from_minute,omitempty"`     // minute of the day; 480
	BusinessTo      *int        `json:"business_to_minute,omitempty"`       // 1080
}

// Seconds is a duration written as a number of seconds in JSON; fractions are allowed.
type Seconds float64

// Duration gives the same as a time.Duration.
func (s Seconds) Duration() time.Duration { return time.Duration(float64(s) * float64(time.Second)) }

// In gives a duration as Seconds.
func In(d time.Duration) *Seconds { s := Seconds(d.Seconds()); return &s }

func ptr[T any](v T) *T { return &v }

// Defaults are the settings of the house: DESIGN.md's list.
func Defaults() Settings {
	return Settings{
		RequestOpen: In(30 * time.Minute), StepWait: In(5 * time.Minute), Rounds: ptr(2), AckFor: In(time.Hour),
		BlockFor: In(4 * time.Hour), BlockMax: In(7 * 24 * time.Hour), BlockEnd: ptr(threat.EndReleaseWhenContained),
		CorrelateWithin: In(24 * time.Hour), DedupWithin: In(time.Hour), Reverify: In(5 * time.Minute),
		Settle: In(5 * time.Second), Call: In(15 * time.Second), Lease: In(time.Minute), QuietClose: In(24 * time.Hour),
		BudgetContain: ptr(50), BudgetDomain: ptr(100), CasePart: ptr(25), SensorPart: ptr(10), Zone: ptr("UTC"), BusinessFrom: ptr(480), BusinessTo: ptr(1080),
	}
}

// Effective merges settings from the top of the tree down to the tenant, over Defaults. Every pointer of the result is
// set. Limits narrow: a lower organisation's larger budget or longer limit is cut to what stands above it. The first one, the
// root's, may also widen the default.
func Effective(topDown ...Settings) Settings {
	out := Defaults()
	out.CasePart, out.SensorPart = nil, nil // the default is nobody's limit: whoever is uppermost may widen it
	for i, s := range topDown {
		limit, longest := narrow[int], narrow[Seconds]
		if i == 0 {
			limit, longest = over[int], over[Seconds]
		}
		over(&out.RequestOpen, s.RequestOpen)
		over(&out.StepWait, s.StepWait)
		over(&out.Rounds, s.Rounds)
		over(&out.AckFor, s.AckFor)
		over(&out.BlockFor, s.BlockFor)
		longest(&out.BlockMax, s.BlockMax)
		over(&out.BlockEnd, s.BlockEnd)
		over(&out.CorrelateWithin, s.CorrelateWithin)
		over(&out.DedupWithin, s.DedupWithin)
		over(&out.Reverify, s.Reverify)
		over(&out.Settle, s.Settle)
		over(&out.Call, s.Call)
		over(&out.Lease, s.Lease)
		over(&out.QuietClose, s.QuietClose)
		limit(&out.BudgetContain, s.BudgetContain)
		limit(&out.BudgetDomain, s.BudgetDomain)
		narrow(&out.CasePart, s.CasePart)
		narrow(&out.SensorPart, s.SensorPart)
		over(&out.Zone, s.Zone)
		over(&out.BusinessFrom, s.BusinessFrom)
		over(&out.BusinessTo, s.BusinessTo)
		out.NeverBlock = union(out.NeverBlock, s.NeverBlock)
		out.OwnNetworks = union(out.OwnNetworks, s.OwnNetworks)
		out.Egress = union(out.Egress, s.Egress)
		out.Resolvers = union(out.Resolvers, s.Resolvers)
		out.VPNPools = union(out.VPNPools, s.VPNPools)
		out.Administrators = union(out.Administrators, s.Administrators)
	}
	if out.CasePart == nil {
		out.CasePart = Defaults().CasePart
	}
	if out.SensorPart == nil {
		out.SensorPart = Defaults().SensorPart
	}
	if *out.BlockFor > *out.BlockMax {
		out.BlockFor = out.BlockMax
	}
	return out
}

// Listed are the addresses, ranges and domains that no action may touch, by the name of the list that holds them.
func (s Settings) Listed() []List {
	return []List{{"never-block list", s.NeverBlock}, {"list of the tenant's ways out", s.Egress},
		{"list of the tenant's resolvers", s.Resolvers}, {"list of the tenant's VPN addresses", s.VPNPools}}
}

// List is one list of entries with its name in words.
type List struct {
	Name    string
	Entries []string
}

// Untouchable are the entries of every list of Listed.
func (s Settings) Untouchable() []string {
	var out []string
	for _, l := range s.Listed() {
		out = union(out, l.Entries)
	}
	return out
}

func over[T any](dst **T, src *T) {
	if src != nil {
		*dst = src
	}
}

func narrow[T Seconds | int](dst **T, src *T) {
	if src != nil && (*dst == nil || *src < **dst) {
		*dst = src
	}
}

func union(a, b []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, s := range append(append([]string(nil), a...), b...) {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	sort.Strings(out)
	return out
}
