package plan

import (
	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// Step is one thing that a case wants done: to what, through what, and what has come of it.
type Step struct {
	Name     string // the plan's step
	Verb     string
	Target   threat.Target
	Required bool
	Ways     []Way             // in order; the first is taken first
	Actions  []threat.Response // those begun for it, the newest round of each
	Taken    int               // the way that is under way or was last, from 1; 0 for none
	Left     []LeftOut
}

// Outline gives what a case wants done in the order in which it was wanted. All that is pure is computed anew from the
// connections and assets of now; what was decided stands in the actions.
func Outline(responses []threat.Response, assets []threat.Asset, list []threat.Connection, able Able) []Step {
	var out []Step
	at := map[string]int{}
	for _, r := range LastRounds(responses) {
		name, v, n, way := ParseWay(r.Step)
		target := r.Target
		if way {
			target = Wanted(v, r.Target)
		} else {
			name, v, n = r.Step, r.Verb, 1
		}
		key := name + "\x00" + v + "\x00" + target.String()
		i, there := at[key]
		if !there {
			i = len(out)
			at[key] = i
			s := Step{Name: name, Verb: v, Target: target}
			s.Ways, s.Left = Ways(v, target, assets, list, able)
			out = append(out, s)
		}
		s := &out[i]
		s.Required = s.Required || r.Required
		s.Actions = append(s.Actions, r)
		s.Taken = max(s.Taken, n)
	}
	return out
}

// Connections gives the connections that a way goes through, each once, in the order of its parts.
func (w Way) Connections() (out []uuid.UUID) {
	seen := map[uuid.UUID]bool{}
	for _, p := range w.Parts {
		for _, id := range p.Connections {
			if !seen[id] {
				seen[id] = true
				out = append(out, id)
			}
		}
	}
	return out
}
