package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/google/uuid"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"modernc.org/sqlite"

	"github.com/firebreak/firebreak/activities"
	"github.com/firebreak/firebreak/internal/threat"
)

// commits counts transactions of the store's file that changed something.
var commits atomic.Int64

// countCommits has every connection that is opened from now on to the store's file count.
func countCommits() {
	sqlite.RegisterConnectionHook(func(c sqlite.ExecQuerierContext, dsn string) error {
		hooks, ok := c.(sqlite.HookRegisterer)
		if !ok || !strings.Contains(dsn, "firebreak.db") {
			return nil
		}
		changed := false // a connection has one transaction at a time
		hooks.RegisterPreUpdateHook(func(sqlite.SQLitePreUpdateData) { changed = true })
		hooks.RegisterRollbackHook(func() { changed = false })
		hooks.RegisterCommitHook(func() int32 {
			if changed {
				commits.Add(1)
			}
			changed = false
			return 0
		})
		return nil
	})
}

// tally is what one case costs.
type tally map[string]int

// tally counts what cases cost from the detection until all is quiet: the store's commits, and what Temporal's histories
// hold of their three kinds of workflows, each for one case of n.
func (h *house) tally(ctx context.Context, mode threat.Mode, n int) (tally, error) {
	s, err := h.site(ctx, mode)
	if err != nil {
		return nil, err
	}
	if err := h.idle(ctx); err != nil {
		return nil, err
	}
	before := commits.Load()
	for range n {
		address, body := h.attack()
		told := h.probe.expect(address)
		if err := h.detect(ctx, s, body); err != nil {
			return nil, err
		}
		if mode == threat.ModeAuthorize {
			if _, err := until(ctx, told); err != nil {
				return nil, err
			}
		}
		if err := h.idle(ctx); err != nil {
			return nil, err
		}
	}
	out := tally{"commits": int(commits.Load() - before)}
	if err := h.histories(ctx, s, out); err != nil {
		return nil, err
	}
	if mode == threat.ModeAuthorize {
		return out, nil
	}
	list, err := h.store.OpenRequests(ctx, []uuid.UUID{s.tenant.ID}, n)
	if err != nil {
		return nil, err
	}
	before = commits.Load()
	for _, q := range list {
		if _, err := h.click(ctx, s, q); err != nil {
			return nil, err
		}
	}
	out["commits of clicks"] = int(commits.Load() - before)
	after := tally{}
	if err := h.histories(ctx, s, after); err != nil {
		return nil, err
	}
	for k, v := range after {
		out[k+" of clicks"] = v - out[k]
	}
	return out, nil
}

// histories adds what Temporal holds of a tenant's cases.
func (h *house) histories(ctx context.Context, s site, out tally) error {
	responses, err := h.store.ResponsesOf(ctx, []uuid.UUID{s.tenant.ID}, false, 1000)
	if err != nil {
		return err
	}
	for _, r := range responses {
		escalations, err := h.store.Escalations(ctx, r.CaseID)
		if err != nil {
			return err
		}
		for kind, id := range map[string]uuid.UUID{activities.KindCase: r.CaseID, activities.KindResponse: r.ID} {
			if err := history(ctx, h.app.Engine().Client(), kind, id, out); err != nil {
				return err
			}
		}
		for _, e := range escalations {
			if err := history(ctx, h.app.Engine().Client(), activities.KindEscalation, e.ID, out); err != nil {
				return err
			}
		}
	}
	return nil
}

// history adds what Temporal holds of one workflow.
func history(ctx context.Context, c client.Client, kind string, id uuid.UUID, out tally) error {
	it := c.GetWorkflowHistory(ctx, activities.WorkflowID(kind, id), "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for it.HasNext() {
		e, err := it.Next()
		if err != nil {
			return fmt.Errorf("the history of %s: %w", kind, err)
		}
		switch e.GetEventType() {
		case enums.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
			out[kind]++
		case enums.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
			out[kind+" signals"]++
		case enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
			out[kind+" tasks"]++
		case enums.EVENT_TYPE_MARKER_RECORDED:
			out[kind+" local activities"]++
		case enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
			out[kind+" activities"]++
		}
	}
	return nil
}

// tally counts the same of the floor.
func (b *bare) tally(ctx context.Context, mode threat.Mode, n int) (tally, error) {
	b.mu.Lock()
	b.counted = nil
	b.mu.Unlock()
	before := b.committed.Load()
	if mode == threat.ModeAuthorize {
		if _, err := b.posts(ctx, n); err != nil {
			return nil, err
		}
		out := tally{"commits": int(b.committed.Load() - before)}
		return out, b.histories(ctx, out)
	}
	out := tally{}
	var asked []*bareCase
	for range n { // one at a time, as the program is counted
		list, err := b.ask(ctx, 1)
		if err != nil {
			return nil, err
		}
		asked = append(asked, list...)
		if err := b.idle(ctx); err != nil {
			return nil, err
		}
	}
	out["commits"] = int(b.committed.Load() - before)
	if err := b.histories(ctx, out); err != nil {
		return nil, err
	}
	before = b.committed.Load()
	if _, err := b.approve(ctx, asked); err != nil {
		return nil, err
	}
	out["commits of clicks"] = int(b.committed.Load() - before)
	after := tally{}
	if err := b.histories(ctx, after); err != nil {
		return nil, err
	}
	for k, v := range after {
		out[k+" of clicks"] = v - out[k]
	}
	return out, nil
}

// histories adds what Temporal holds of the cases that were made last, of one kind.
func (b *bare) histories(ctx context.Context, out tally) error {
	for _, c := range b.counted {
		for kind, id := range map[string]uuid.UUID{nudgeCase: c.id, nudgeResponse: c.response, nudgeEscalation: c.escalation} {
			if err := history(ctx, b.engine.Client(), kind, id, out); err != nil {
				return err
			}
		}
	}
	return nil
}
