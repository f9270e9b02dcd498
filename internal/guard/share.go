package guard

import (
	"fmt"
	"slices"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// UnlistedPart is how many accounts that nobody listed as assets one case may cut off: of how many they are a part nobody
// knows.
const UnlistedPart = 3

// UnlistedClass is the class of accounts that nobody listed as assets.
const UnlistedClass = "accounts that nobody listed"

// Share is what a case, or one sensor's word, has cut off of one class of assets.
type Share struct {
	Class  string // the assets' role, or kind where a role means nothing
	Total  int    // assets of the class that the tenant has; 0 when nobody knows
	Adds   int    // those that this action would cut off and that the case has not yet
	Case   int    // those that the case has cut off, without this action
	Sensor int    // those that cases resting on the same one sensor have cut off, without this action; 0 with several sensors
}

// Shares are the facts about what is cut off already.
type Shares struct {
	Classes  []Share
	Sensor   string   // the one sensor on whose word the case rests alone; empty when there are several
	Disabled []string // accounts that effects of ours keep from signing in
}

// Class gives the class by which an asset is counted.
func Class(a threat.Asset) string {
	if a.Kind == "user" || a.Role == "" {
		return a.Kind
	}
	return string(a.Role)
}

// lastAdmin keeps one of the listed administrators able to sign in.
func lastAdmin(f Facts) Verdict {
	if f.Action.Target.Kind != threat.TargetAccount || !locksOut(f.Action.Verb) ||
		!slices.Contains(f.Settings.Administrators, f.Action.Target.Value) {
		return Verdict{}
	}
	for _, a := range f.Settings.Administrators {
		if a != f.Action.Target.Value && !slices.Contains(f.Shares.Disabled, a) {
			return Verdict{}
		}
	}
	return Verdict{Guard: LastAdmin, Why: threat.Inert(f.Action.Target.Value, 64) + " is the last administrator who can sign in",
		Narrower: "end the one session that the attack uses"}
}

// locksOut reports whether a verb keeps an account from signing in.
func locksOut(name string) bool {
	return slices.Contains([]string{verb.DisableIdentity, verb.RevokeCredentials, verb.ForceReset}, name)
}

// share keeps one case, and one sensor's word alone, from cutting off more than a part of a class of assets. One asset may
// always be cut off.
func share(f Facts) Verdict {
	if v, _ := verb.Find(f.Action.Verb); !v.Cuts || f.Kind == threat.ClaimRenew {
		return Verdict{}
	}
	for _, s := range f.Shares.Classes {
		if s.Adds == 0 {
			continue
		}
		if most := s.most(*f.Settings.CasePart); s.Case+s.Adds > most {
			return Verdict{Guard: CasePart, Narrower: narrowerPart(f.Action, most-s.Case),
				Why: fmt.Sprintf("one case may cut off %s of %s; this one has %d and would add %d", part(most, s.Total), words(s.Class), s.Case, s.Adds)}
		}
		if most := s.most(*f.Settings.SensorPart); f.Shares.Sensor != "" && f.Basis != threat.BasisApproval && s.Sensor+s.Adds > most {
			return Verdict{Guard: SensorPart, Narrower: "have a person approve it, or a second sensor confirm it",
				Why: fmt.Sprintf("one sensor's word alone (%s) may cut off %s of %s; it has %d and would add %d",
					threat.Inert(f.Shares.Sensor, 64), part(most, s.Total), words(s.Class), s.Sensor, s.Adds)}
		}
	}
	return Verdict{}
}

// most is how many of a class may be cut off under a percentage: one at least, but for a percentage of nothing.
func (s Share) most(percent int) int {
	switch {
	case percent == 0:
		return 0
	case s.Total == 0:
		return UnlistedPart
	}
	return max(1, s.Total*percent/100)
}

func part(most, total int) string {
	if total == 0 {
		return fmt.Sprint(most)
	}
	return fmt.Sprintf("%d of %d", most, total)
}

func words(class string) string {
	switch class {
	case UnlistedClass:
		return class
	case "":
		return "assets"
	case "user":
		return "accounts"
	}
	return "assets of the role " + class
}

func narrowerPart(a threat.Action, left int) string {
	if left > 0 {
		return fmt.Sprintf("name %d of them, the worst first", left)
	}
	if a.Target.Kind == threat.TargetAccount {
		return "end the one session that the attack uses"
	}
	return "block the attacker's address instead"
}
