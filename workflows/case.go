package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/firebreak/firebreak/activities"
)

// Case looks after one case from its first detection until it is closed: it takes in new detections, starts escalations
// and proposes responses. It touches nothing outside, so it performs no tasks.
func Case(ctx workflow.Context, subject activities.Subject) error {
	return reconcile(ctx, Case, subject, work{step: activities.CaseStep})
}
