// Package verb is the table of what Firebreak can do: each verb's class, targets, parameters, undo, and how its effect is
// verified. It is pure, and the one truth from which checks, documents and schemas are made.
package verb

import (
	"fmt"
	"slices"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
)

// Name of a verb.
const (
	BlockIP               = "block_ip"
	BlockRange            = "block_range"
	BlockDomain           = "block_domain"
	BlockURL              = "block_url"
	IsolateHost           = "isolate_host"
	ContainFromNeighbours = "contain_from_neighbours"
	QuarantinePort        = "quarantine_port"
	ScanHost              = "scan_host"
	RunQuery              = "run_query"
	CollectEvidence       = "collect_evidence"
	KillProcess           = "kill_process"
	QuarantineFile        = "quarantine_file"
	DeleteFile            = "delete_file"
	RemoveService         = "remove_service"
	BlockHash             = "block_hash"
	TerminateSession      = "terminate_session"
	DisableIdentity       = "disable_identity"
	RevokeCredentials     = "revoke_credentials"
	ForceReset            = "force_reset"
	QuarantineEmail       = "quarantine_email"
	BlockSender           = "block_sender"
	ProtectBackup         = "protect_backup"
	FlagRestorePoint      = "flag_restore_point"
	DetachCloud           = "detach_cloud"
)

// Undo classes how a verb is taken back.
type Undo string

const (
	UndoRemove   Undo = "remove"   // our own entry is removed; nothing else is touched
	UndoRestore  Undo = "restore"  // what was before is put back, from the snapshot taken before
	UndoRelease  Undo = "release"  // the product is told to let go, and the state before returns
	UndoReattach Undo = "reattach" // the groups or networks of before are put back
	UndoClear    Undo = "clear"    // a flag of ours is cleared
	UndoNone     Undo = "none"     // it cannot be taken back; UndoText says why, and what a person can do
)

// Undos lists every class.
var Undos = []Undo{UndoRemove, UndoRestore, UndoRelease, UndoReattach, UndoClear, UndoNone}

// Verb is one row of the table.
type Verb struct {
	Name       string
	Title      string // in words, for people: "block an address"
	Class      threat.Class
	Targets    []threat.TargetKind // the first is what a bare value is taken for
	Params     []Param
	Undo       Undo
	UndoText   string // how it is undone, or why it cannot be, for the approver
	VerifyText string // what is read to prove it
	LossText   string // what the loss of Firebreak does to it
	// Once marks what is done and over (kill, delete, scan), and holds nothing: its action has no duration, it is not read
	// again after its proof, not renewed, and ends as released with the reason "done". Within is how long it may take.
	Once        bool
	Within      time.Duration
	MinDuration time.Duration // shortest containment accepted; zero with Once
	MaxDuration time.Duration // longest containment accepted; zero with Once
	// Cuts says that it cuts an asset or a person off: one case may do it to a part of each class of assets only.
	Cuts bool
	// Shared says that many targets stand on one device's list, so that one listing reads them all; otherwise each target
	// is read by itself.
	Shared     bool
	OpenC2     string // action and target type (OpenC2 language 1.0; "x-firebreak:" types are an extension's)
	D3FEND     string // countermeasures, with commas; empty where D3FEND has none of it
	OCSFClass  int    // remediation activity class (OCSF 1.8)
	OCSFAction int    // activity_id: 1 Isolate, 2 Evict, 3 Restore, 4 Harden, 5 Detect
}

// Done is why a response ends whose verb is done once.
const Done = "done"

// All gives every verb in the table's order. The slice is the caller's.
func All() []Verb { return append([]Verb(nil), table...) }

// Names gives every verb's name in the table's order.
func Names() []string {
	out := make([]string, len(table))
	for i, v := range table {
		out[i] = v.Name
	}
	return out
}

// Find gives a verb by name.
func Find(name string) (Verb, bool) {
	for _, v := range table {
		if v.Name == name {
			return v, true
		}
	}
	return Verb{}, false
}

// Once reports whether a verb is done once and holds nothing.
func Once(name string) bool {
	v, _ := Find(name)
	return v.Once
}

// ActsOn reports whether the verb can act on targets of a kind.
func (v Verb) ActsOn(k threat.TargetKind) bool { return slices.Contains(v.Targets, k) }

// Window is how long a claim on an action lasts: its duration, or for what is done once the time that it may take.
func Window(a threat.Action) time.Duration {
	if v, ok := Find(a.Verb); ok && v.Once {
		return v.Within
	}
	return a.Duration
}

// Check refuses an action that its verb's row does not allow, and gives it back with its target canonical and its
// parameters complete and canonical. Faults are Unsupported for an unknown verb and Invalid, with the place, for the rest.
func Check(a threat.Action) (threat.Action, error) {
	v, ok := Find(a.Verb)
	if !ok {
		return a, &threat.Fault{Kind: threat.Unsupported, What: "unknown verb " + quote(a.Verb), Place: "/verb",
			Next: "see `firebreak action verbs` for those there are"}
	}
	t, err := CanonicalTarget(v, a.Target)
	if err != nil {
		return a, err
	}
	a.Target = t
	if err := v.checkDuration(a.Duration); err != nil {
		return a, err
	}
	a.Params, err = v.params(a.Params)
	if err == nil && v.Name == CollectEvidence && (a.Params["what"] == "file") != (a.Params["path"] != "") {
		err = &threat.Fault{Kind: threat.Invalid, What: "evidence of a file needs its path, and nothing else has one",
			Place: "/params/path"}
	}
	return a, err
}

func (v Verb) checkDuration(d time.Duration) error {
	switch {
	case v.Once && d != 0:
		return &threat.Fault{Kind: threat.Invalid, What: "a duration for " + v.Name + ", which is done once", Place: "/duration",
			Next: "leave it out"}
	case d < v.MinDuration || d > v.MaxDuration:
		return &threat.Fault{Kind: threat.Invalid, What: "a duration of " + d.String() + " for " + v.Name, Place: "/duration",
			Next: "give one between " + v.MinDuration.String() + " and " + v.MaxDuration.String()}
	}
	return nil
}

// params gives the parameters complete and canonical.
func (v Verb) params(given map[string]string) (map[string]string, error) {
	out := map[string]string{}
	for _, p := range v.Params {
		if d := p.Default(); d != "" {
			out[p.Name] = d
		}
	}
	for name, value := range given {
		p, ok := v.param(name)
		if !ok {
			return given, &threat.Fault{Kind: threat.Invalid, What: v.Name + " has no parameter " + quote(name), Place: "/params"}
		}
		value, err := p.Canonical(value)
		if err != nil {
			return given, &threat.Fault{Kind: threat.Invalid, What: what(err), Place: "/params/" + p.Name}
		}
		if value == "" { // left empty is left out
			delete(out, name)
			continue
		}
		out[name] = value
	}
	for _, p := range v.Params {
		if out[p.Name] == "" && p.Required {
			return given, &threat.Fault{Kind: threat.Invalid, What: v.Name + " needs the parameter " + p.Name,
				Place: "/params/" + p.Name, Next: p.Meaning}
		}
	}
	return out, nil
}

// CanonicalTarget checks that a verb can act on a target, and gives it in canonical form.
func CanonicalTarget(v Verb, t threat.Target) (threat.Target, error) {
	if !v.ActsOn(t.Kind) {
		return t, &threat.Fault{Kind: threat.Invalid, What: v.Name + " cannot act on a target of kind " + quote(string(t.Kind)),
			Place: "/target/kind", Next: "it acts on " + kinds(v.Targets)}
	}
	c, err := t.Canonical()
	if err != nil {
		return t, &threat.Fault{Kind: threat.Invalid, What: what(err), Place: "/target/value"}
	}
	return c, nil
}

func (v Verb) param(name string) (Param, bool) {
	for _, p := range v.Params {
		if p.Name == name {
			return p, true
		}
	}
	return Param{}, false
}

func kinds(list []threat.TargetKind) string {
	out := ""
	for i, k := range list {
		if i > 0 {
			out += ", "
		}
		out += string(k)
	}
	return out
}

// what gives the words of a fault without its place.
func what(err error) string {
	if f, ok := err.(*threat.Fault); ok {
		return f.What
	}
	return fmt.Sprint(err)
}

func quote(s string) string { return `"` + threat.Inert(s, 64) + `"` }
