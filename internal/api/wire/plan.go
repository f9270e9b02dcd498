package wire

import (
	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// PlanStep is one thing that a case wants done, and what has come of it.
type PlanStep struct {
	Step     string        `json:"step"`
	Verb     string        `json:"verb"`
	Title    string        `json:"title"`
	Class    threat.Class  `json:"class"`
	Target   threat.Target `json:"target"`
	Asset    string        `json:"asset,omitempty" doc:"the name of the asset that the target is, or is on"`
	Required bool          `json:"required" doc:"the case is contained only when this is verified"`
	Taken    int           `json:"taken" doc:"the way that is under way or was last, from 1; 0 for none"`
	Ways     []PlanWay     `json:"ways" doc:"in order: the next is taken when one fails"`
	Actions  []Response    `json:"actions" doc:"with what was decided about each, and why"`
	LeftOut  string        `json:"left_out,omitempty" doc:"the connections that could do it and are not used, and why"`
}

// PlanWay is one manner of doing what is wanted.
type PlanWay struct {
	Place string     `json:"place" doc:"agent, firewall, switch, list, neighbours or service"`
	Why   string     `json:"why"`
	Parts []PlanPart `json:"parts"`
}

// PlanPart is one action of a way.
type PlanPart struct {
	Verb        string           `json:"verb"`
	Target      threat.Target    `json:"target"`
	Connections []PlanConnection `json:"connections"`
}

// PlanConnection is a connection that a part goes through.
type PlanConnection struct {
	ID      uuid.UUID `json:"id"`
	Name    string    `json:"name"`
	Adapter string    `json:"adapter"`
}
