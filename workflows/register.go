package workflows

import (
	"context"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/firebreak/firebreak/activities"
)

// Stepper says what is next for a subject. Step is idempotent and quick (well under StepTimeout): it reads the store,
// decides, records, and answers. An error means that nothing can be said now; Step is then called again after a pause. A
// subject that the store does not know is answered with Done.
type Stepper interface {
	Step(ctx context.Context, subject activities.Subject) (activities.Next, error)
}

// Worker is a Stepper whose tasks touch the outside. Perform records what came of a task and returns nil, also when the
// outside refused or may have acted; an error means that nothing could be recorded, and the same task is tried again.
type Worker interface {
	Stepper
	Perform(ctx context.Context, task activities.Task) error
}

// Activities is what the three workflows call.
type Activities struct {
	Case       Stepper
	Escalation Worker
	Response   Worker
}

// RegisterWorkflows registers the workflows under the names that activities.WorkflowType gives. A worker and a replayer
// both take it.
func RegisterWorkflows(r worker.WorkflowRegistry) {
	r.RegisterWorkflowWithOptions(Case, workflow.RegisterOptions{Name: activities.WorkflowType(activities.KindCase)})
	r.RegisterWorkflowWithOptions(Escalation, workflow.RegisterOptions{Name: activities.WorkflowType(activities.KindEscalation)})
	r.RegisterWorkflowWithOptions(Response, workflow.RegisterOptions{Name: activities.WorkflowType(activities.KindResponse)})
}

// Register registers the workflows and their activities, under the names of package activities.
func Register(r worker.Registry, a Activities) {
	RegisterWorkflows(r)
	for name, fn := range map[string]any{
		activities.CaseStep:          a.Case.Step,
		activities.EscalationStep:    a.Escalation.Step,
		activities.EscalationPerform: a.Escalation.Perform,
		activities.ResponseStep:      a.Response.Step,
		activities.ResponsePerform:   a.Response.Perform,
	} {
		r.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
}
