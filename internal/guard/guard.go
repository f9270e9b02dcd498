// Package guard holds what no rule lifts. It is pure: store.Claim hands it the facts that it read under the tenant's lock,
// and decide hands it the same facts beforehand, so that people see the refusal before they are asked.
package guard

import (
	"fmt"
	"time"

	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// Names of the guards. Each refusal carries one.
const (
	Stop          = "guard.stop"
	Mode          = "guard.mode"
	Duration      = "guard.duration"
	Protected     = "guard.protected_asset"
	NeverBlock    = "guard.never_block"
	Lockout       = "guard.lockout"
	NotOurs       = "guard.unknown_internal_address"
	Budget        = "guard.budget"
	Reserve       = "guard.budget_reserve"
	Shape         = "guard.shape"
	LastAdmin     = "guard.last_administrator"
	CasePart      = "guard.part_of_class"
	SensorPart    = "guard.one_sensor"
	CriticalShare = 5 // one part in five of a budget is kept for critical cases
)

// Names lists every guard in the order in which they are asked.
var Names = []string{Stop, Mode, Shape, Duration, Lockout, NeverBlock, Protected, NotOurs, LastAdmin, CasePart, SensorPart,
	Budget, Reserve}

// Facts are what the guards look at. Now and the counts are read in the same transaction as the rest.
type Facts struct {
	Kind      threat.ClaimKind
	Action    threat.Action
	State     threat.TenantState
	Basis     threat.Basis
	Reach     threat.Reach       // with BasisUnreachable
	Threat    threat.ThreatState // of the case
	Severity  threat.Severity
	Settings  tenant.Settings // effective: every pointer is set
	Assets    []threat.Asset  // the tenant's assets whose addresses or names the target touches
	Ours      []string        // Firebreak's own addresses and names: console, relay, mail, resolvers it uses
	Resolved  []string        // addresses to which the target's name led, as far as it was looked up
	Shares    Shares          // of each class of assets, what is cut off already
	UsedClass int             // claims of this class in the last hour, releases not counted
	UsedVerb  int             // claims of this verb in the last hour
}

// Verdict is a guard's answer. The zero Verdict lets the action pass.
type Verdict struct {
	Guard    string // empty: nothing stands against it
	Why      string
	Narrower string // an alternative that would pass, where there is one
}

// OK reports whether nothing stands against the action.
func (v Verdict) OK() bool { return v.Guard == "" }

// Check asks every guard in order and gives the first refusal. A release passes always: the way back is never barred.
func Check(f Facts) Verdict {
	if f.Kind == threat.ClaimRelease {
		return Verdict{}
	}
	for _, g := range []func(Facts) Verdict{stop, mode, shape, duration, lockout, neverBlock, protected, notOurs,
		lastAdmin, share, budget} {
		if v := g(f); !v.OK() {
			return v
		}
	}
	return Verdict{}
}

func stop(f Facts) Verdict {
	if f.State.Stopped {
		return Verdict{Guard: Stop, Why: "the stop switch is on for this organisation",
			Narrower: "lift it with `firebreak tenant stop --off`; releases still work"}
	}
	return Verdict{}
}

// mode holds the ceiling of the customer's consent.
func mode(f Facts) Verdict {
	if f.Kind == threat.ClaimRenew { // what is held was let go under its own right; narrowing is handled at its end
		return Verdict{}
	}
	v, _ := verb.Find(f.Action.Verb)
	if v.Class == threat.Observe {
		return Verdict{}
	}
	deny := func(why string) Verdict {
		return Verdict{Guard: Mode, Why: why, Narrower: "tell the contacts and recommend it"}
	}
	if !f.State.Mode.Valid() || f.State.Mode == threat.ModeNotify {
		return deny("the response mode is notify: never act")
	}
	switch f.Basis {
	case threat.BasisApproval:
		return Verdict{}
	case threat.BasisMode:
		if f.State.Mode != threat.ModeAuthorize {
			return deny("the response mode is " + string(f.State.Mode) + ", which asks for consent")
		}
	case threat.BasisUnreachable:
		if f.State.Mode.Rank() < threat.ModeCollaborateUnreachable.Rank() {
			return deny("the response mode is " + string(f.State.Mode) + ", which asks for consent")
		}
		if !f.Reach.Unreachable() {
			return deny("not every authorised contact was tried to the end, or somebody acknowledged")
		}
		if f.Threat != threat.ThreatActive {
			return deny("the threat is not active")
		}
	default:
		return deny("there is no right to act on")
	}
	if v.Class == threat.Eradicate && !f.State.Eradicate {
		return deny("the mode does not cover what cannot be undone")
	}
	return Verdict{}
}

func shape(f Facts) Verdict {
	if _, err := verb.Check(f.Action); err != nil {
		return Verdict{Guard: Shape, Why: err.Error()}
	}
	if len(f.Action.Connections) == 0 {
		return Verdict{Guard: Shape, Why: "the action names no connection"}
	}
	return Verdict{}
}

func duration(f Facts) Verdict {
	if verb.Once(f.Action.Verb) {
		return Verdict{} // it holds nothing; its row says how long it may take
	}
	max := f.Settings.BlockMax.Duration()
	if f.Action.Duration <= 0 {
		return Verdict{Guard: Duration, Why: "a containment without a duration", Narrower: "for " + f.Settings.BlockFor.Duration().String()}
	}
	if f.Action.Duration > max {
		return Verdict{Guard: Duration, Why: fmt.Sprintf("%s is longer than the longest allowed", f.Action.Duration),
			Narrower: "for " + max.String()}
	}
	return Verdict{}
}

// protected keeps what is protected from being changed. It may be looked at, and its backups may be looked after.
func protected(f Facts) Verdict {
	if v, _ := verb.Find(f.Action.Verb); v.Class == threat.Observe || v.Class == threat.Recover {
		return Verdict{}
	}
	for _, a := range f.Assets {
		if a.Protected {
			return Verdict{Guard: Protected, Why: fmt.Sprintf("%s (%s) is protected", threat.Inert(a.Name, 64), a.ID),
				Narrower: insteadOf(f.Action)}
		}
	}
	return Verdict{}
}

// notOurs refuses what resolves to no asset of the tenant: an internal address, and a thing on an asset.
func notOurs(f Facts) Verdict {
	if id, on := f.Action.Target.Asset(); on {
		for _, a := range f.Assets {
			if a.ID == id {
				return Verdict{}
			}
		}
		return Verdict{Guard: NotOurs, Why: "no asset of this tenant has the id " + id.String(),
			Narrower: "add the asset, or name the one that is meant"}
	}
	p, ok := network(f.Action.Target)
	if !ok || !Internal(p, f.Settings.OwnNetworks) {
		return Verdict{}
	}
	if len(f.Assets) == 0 {
		return Verdict{Guard: NotOurs, Why: f.Action.Target.Value + " is an internal address that no asset of this tenant has",
			Narrower: "add the asset, or block the outside address that it talks to"}
	}
	return Verdict{}
}

func budget(f Facts) Verdict {
	v, _ := verb.Find(f.Action.Verb)
	if f.Kind == threat.ClaimRenew || v.Class == threat.Observe {
		return Verdict{}
	}
	limit, used, of := *f.Settings.BudgetContain, f.UsedClass, "actions that contain"
	if f.Action.Verb == verb.BlockDomain {
		limit, used, of = *f.Settings.BudgetDomain, f.UsedVerb, "blocked domains"
	}
	if used >= limit {
		return Verdict{Guard: Budget, Why: fmt.Sprintf("the hour's budget of %d %s is spent", limit, of),
			Narrower: "wait for the hour to pass, act by hand on the device, or have the provider raise the budget"}
	}
	if f.Severity < threat.SeverityCritical && used >= limit-limit/CriticalShare {
		return Verdict{Guard: Reserve, Why: fmt.Sprintf("the rest of the hour's budget of %d %s is kept for critical cases", limit, of),
			Narrower: "wait for the hour to pass, act by hand on the device, or have the provider raise the budget"}
	}
	return Verdict{}
}

// Until gives when an action that is claimed now ends; what is done once has to be done by then.
func Until(now time.Time, a threat.Action) time.Time { return now.Add(verb.Window(a)) }
