// Package verb is the table of what Firebreak can do: each verb's class, targets, parameters, undo, and how its effect is
// verified. It is pure, and the one truth from which checks, documents and schemas are made.
package verb

import (
	"time"

	"github.com/firebreak/firebreak/internal/threat"
)

// Name of a verb.
const (
	BlockIP     = "block_ip"
	BlockDomain = "block_domain"
)

// Undo classes how a verb is taken back.
type Undo string

const (
	UndoRemove Undo = "remove" // our own entry is removed; nothing else is touched
)

// Param is one parameter of a verb.
type Param struct {
	Name    string
	Meaning string
	Values  []string // allowed values; the first is the default
}

// Verb is one row of the table.
type Verb struct {
	Name        string
	Title       string // in words, for people: "block an address"
	Class       threat.Class
	Targets     []threat.TargetKind
	Params      []Param
	Undo        Undo
	UndoText    string        // how it is undone, for the approver
	VerifyText  string        // what is read to prove it
	LossText    string        // what the loss of Firebreak does to it
	MinDuration time.Duration // shortest containment accepted
	MaxDuration time.Duration // longest containment accepted
	OpenC2      string        // action and target type (OpenC2 language 1.0)
	D3FEND      string        // countermeasure
	OCSFClass   int           // remediation activity class (OCSF 1.8)
	OCSFAction  int           // activity_id
}

var table = []Verb{
	{
		Name: BlockIP, Title: "block an address", Class: threat.Contain,
		Targets:  []threat.TargetKind{threat.TargetIP},
		Params:   []Param{{Name: "direction", Meaning: "which traffic is dropped", Values: []string{"both", "in", "out"}}},
		Undo:     UndoRemove,
		UndoText: "our entry is removed from the list or set; whatever stood there before stays",
		VerifyText: "the device's own list is read, and for a polled list, that each firewall seen lately has fetched the " +
			"revision with the entry",
		LossText:    "entries end by their own time-out on the device or in the list",
		MinDuration: time.Second, MaxDuration: 30 * 24 * time.Hour,
		OpenC2: "deny ipv4_net", D3FEND: "D3-NTF", OCSFClass: 7004, OCSFAction: 1,
	},
	{
		Name: BlockDomain, Title: "block a domain", Class: threat.Contain,
		Targets:     []threat.TargetKind{threat.TargetDomain},
		Undo:        UndoRemove,
		UndoText:    "our entry is removed from the list; whatever stood there before stays",
		VerifyText:  "the list is read, and that each firewall seen lately has fetched the revision with the entry",
		LossText:    "entries end by their own time-out in the list",
		MinDuration: time.Second, MaxDuration: 30 * 24 * time.Hour,
		OpenC2: "deny domain_name", D3FEND: "D3-DNSDL", OCSFClass: 7004, OCSFAction: 1,
	},
}

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

// Check refuses an action that its verb's row does not allow, and gives it back with its target canonical and its
// parameters complete. Faults are Unsupported for an unknown verb and Invalid, with the place, for the rest.
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
	if a.Duration < v.MinDuration || a.Duration > v.MaxDuration {
		return a, &threat.Fault{Kind: threat.Invalid, What: "a duration of " + a.Duration.String() + " for " + v.Name,
			Place: "/duration", Next: "give one between " + v.MinDuration.String() + " and " + v.MaxDuration.String()}
	}
	params := map[string]string{}
	for _, p := range v.Params {
		params[p.Name] = p.Values[0]
	}
	for name, value := range a.Params {
		p, ok := v.param(name)
		if !ok {
			return a, &threat.Fault{Kind: threat.Invalid, What: v.Name + " has no parameter " + quote(name), Place: "/params"}
		}
		if !has(p.Values, value) {
			return a, &threat.Fault{Kind: threat.Invalid, What: quote(value) + " is not a value of " + name,
				Place: "/params/" + p.Name}
		}
		params[name] = value
	}
	a.Params = params
	return a, nil
}

// CanonicalTarget checks that a verb can act on a target, and gives it in canonical form.
func CanonicalTarget(v Verb, t threat.Target) (threat.Target, error) {
	kind := false
	for _, k := range v.Targets {
		kind = kind || k == t.Kind
	}
	if !kind {
		return t, &threat.Fault{Kind: threat.Invalid, What: v.Name + " cannot act on a target of kind " + quote(string(t.Kind)),
			Place: "/target/kind"}
	}
	var err error
	switch t.Kind {
	case threat.TargetIP:
		t.Value, err = threat.CanonicalIP(t.Value)
	case threat.TargetDomain:
		t.Value, err = threat.CanonicalDomain(t.Value)
	}
	if err != nil {
		return t, &threat.Fault{Kind: threat.Invalid, What: err.(*threat.Fault).What, Place: "/target/value"}
	}
	return t, nil
}

func (v Verb) param(name string) (Param, bool) {
	for _, p := range v.Params {
		if p.Name == name {
			return p, true
		}
	}
	return Param{}, false
}

func has(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func quote(s string) string { return `"` + threat.Inert(s, 64) + `"` }
