package dispatch

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/firebreak/firebreak/activities"
)

const (
	subjectPage  = 500
	workflowPage = 1000
)

// sweeps looks for subjects without a live workflow at the start and then again and again. Until the first look has
// succeeded it is tried more often.
func (x *Dispatcher) sweeps(ctx context.Context) {
	s := &sweeper{Dispatcher: x}
	for failures := 0; ; {
		wait := x.d.Sweep
		if err := s.sweep(ctx); ctx.Err() != nil {
			return
		} else if err != nil {
			failures++
			wait = min(wait, backoff(failures, time.Second, x.d.Sweep))
			x.d.Log.Warn("the sweep for lost workflows failed; it is tried again", "failures", failures, "error", err)
		} else {
			failures = 0
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// sweeper remembers what the last sweep missed.
type sweeper struct {
	*Dispatcher
	begun    bool               // one sweep has succeeded
	suspects map[uuid.UUID]bool // missing at the last sweep, and not nudged for it
}

// sweep nudges each open subject that has no live workflow. What Temporal lists lags behind, so a subject must be missing
// twice in a row, but for the first time, when everything may have been lost. The subjects are read after the list: what
// was opened in between has a nudge of its own waiting.
func (s *sweeper) sweep(ctx context.Context) error {
	live, err := s.live(ctx)
	if err != nil {
		return err
	}
	suspects := map[uuid.UUID]bool{}
	for _, kind := range activities.Kinds {
		open, missing := 0, 0
		for after := uuid.Nil; ; {
			page, err := s.d.Store.OpenSubjects(ctx, kind, after, subjectPage)
			if err != nil {
				return fmt.Errorf("the open subjects of kind %s: %w", kind, err)
			}
			for _, n := range page {
				after = n.SubjectID
				open++
				switch {
				case live[activities.WorkflowID(kind, n.SubjectID)]:
				case s.begun && !s.suspects[n.SubjectID]:
					suspects[n.SubjectID] = true
				default:
					missing++
					if err := s.d.Store.Nudge(ctx, kind, n.TenantID, n.SubjectID); err != nil {
						return fmt.Errorf("the nudge of a lost workflow: %w", err)
					}
				}
			}
			if len(page) < subjectPage {
				break
			}
		}
		s.d.Metrics.Sweep(kind, open, missing)
		if missing > 0 {
			s.d.Log.Info("workflows that Temporal lost are started anew", "kind", kind, "open", open, "missing", missing)
		}
	}
	s.begun, s.suspects = true, suspects
	return nil
}

// live gives the ids of all running workflows of ours.
func (s *sweeper) live(ctx context.Context) (map[string]bool, error) {
	ids := map[string]bool{}
	request := &workflowservice.ListWorkflowExecutionsRequest{PageSize: workflowPage,
		Query: `ExecutionStatus = "Running" AND TaskQueue = "` + s.d.TaskQueue + `"`}
	for {
		page, err := s.list(ctx, request)
		if err != nil {
			return nil, fmt.Errorf("the running workflows: %w", err)
		}
		for _, e := range page.GetExecutions() {
			ids[e.GetExecution().GetWorkflowId()] = true
		}
		if len(page.GetNextPageToken()) == 0 {
			return ids, nil
		}
		request.NextPageToken = page.GetNextPageToken()
	}
}

func (s *sweeper) list(ctx context.Context, request *workflowservice.ListWorkflowExecutionsRequest) (
	*workflowservice.ListWorkflowExecutionsResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return s.d.Client.ListWorkflow(ctx, request)
}
