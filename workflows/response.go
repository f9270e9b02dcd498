package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/firebreak/firebreak/activities"
)

// Response looks after one action's life: decide, ask if needed, claim, act, verify, hold, and the end. Its tasks call
// devices, each under a claim of its own. Closing the case leaves it running until its effects are gone.
func Response(ctx workflow.Context, subject activities.Subject) error {
	return reconcile(ctx, Response, subject, work{step: activities.ResponseStep, perform: activities.ResponsePerform})
}
