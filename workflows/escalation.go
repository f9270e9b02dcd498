package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/firebreak/firebreak/activities"
)

// Escalation looks after the attempts to reach the contacts of one case in turn, until somebody acknowledges, everybody
// was tried to the end, or the case no longer needs it. Its tasks send messages.
func Escalation(ctx workflow.Context, subject activities.Subject) error {
	return reconcile(ctx, Escalation, subject, work{step: activities.EscalationStep, perform: activities.EscalationPerform})
}
