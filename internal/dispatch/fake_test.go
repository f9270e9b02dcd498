package dispatch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/firebreak/firebreak/activities"
	"github.com/firebreak/firebreak/internal/threat"
)

// outbox is the store as dispatch sees it, in memory.
type outbox struct {
	mu    sync.Mutex
	rows  map[uuid.UUID]*row
	open  map[string][]threat.Nudge
	hooks []func(string)
	down  bool // every write fails
	asked int  // calls of LeaseNudges
}

type row struct {
	threat.Nudge
	owner string
	until time.Time
	at    time.Time
}

func newOutbox() *outbox {
	return &outbox{rows: map[uuid.UUID]*row{}, open: map[string][]threat.Nudge{}}
}

var errDown = errors.New("the store is down")

func (o *outbox) OnWake(hook func(string)) { o.hooks = append(o.hooks, hook) }

func (o *outbox) Nudge(_ context.Context, kind string, tenant, subject uuid.UUID) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.down {
		return errDown
	}
	r, ok := o.rows[subject]
	if !ok {
		r = &row{Nudge: threat.Nudge{Kind: kind, SubjectID: subject, TenantID: tenant}, at: time.Now()}
		o.rows[subject] = r
	}
	r.Stamp++
	o.wake(kind)
	return nil
}

func (o *outbox) wake(kind string) {
	for _, h := range o.hooks {
		h(kind)
	}
}

func (o *outbox) LeaseNudges(_ context.Context, owner string, n, perTenant int, lease time.Duration) ([]threat.Nudge, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked++
	if o.down {
		return nil, errDown
	}
	now := time.Now()
	out := map[uuid.UUID]int{}
	for _, r := range o.rows {
		if r.owner != "" && r.until.After(now) {
			out[r.TenantID]++
		}
	}
	var taken []threat.Nudge
	oldest := func(a, b *row) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) }
	for _, r := range slices.SortedFunc(maps.Values(o.rows), oldest) {
		if r.until.After(now) || out[r.TenantID] >= perTenant || len(taken) == n {
			continue
		}
		out[r.TenantID]++
		r.owner, r.until = owner, now.Add(lease)
		taken = append(taken, r.Nudge)
	}
	return taken, nil
}

func (o *outbox) DoneNudges(_ context.Context, owner string, ns []threat.Nudge) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.down {
		return errDown
	}
	for _, n := range ns {
		r, ok := o.rows[n.SubjectID]
		switch {
		case !ok || r.owner != owner:
		case r.Stamp == n.Stamp:
			delete(o.rows, n.SubjectID)
		default:
			r.owner, r.until = "", time.Time{}
			o.wake(n.Kind)
		}
	}
	return nil
}

func (o *outbox) FailNudges(_ context.Context, owner string, ns []threat.Nudge, after time.Duration) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.down {
		return errDown
	}
	for _, n := range ns {
		if r, ok := o.rows[n.SubjectID]; ok && r.owner == owner {
			r.owner, r.until = "", time.Now().Add(after)
		}
	}
	return nil
}

func (o *outbox) OpenSubjects(_ context.Context, kind string, after uuid.UUID, limit int) ([]threat.Nudge, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.down {
		return nil, errDown
	}
	list := slices.Clone(o.open[kind])
	slices.SortFunc(list, func(a, b threat.Nudge) int { return bytes.Compare(a.SubjectID[:], b.SubjectID[:]) })
	list = slices.DeleteFunc(list, func(n threat.Nudge) bool { return bytes.Compare(n.SubjectID[:], after[:]) <= 0 })
	return list[:min(limit, len(list))], nil
}

func (o *outbox) OutboxDepth(context.Context) (int, time.Time, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var oldest time.Time
	for _, r := range o.rows {
		if oldest.IsZero() || r.at.Before(oldest) {
			oldest = r.at
		}
	}
	return len(o.rows), oldest, nil
}

func (o *outbox) set(down bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down = down
}

// opens has a subject stand open.
func (o *outbox) opens(n threat.Nudge) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open[n.Kind] = append(o.open[n.Kind], n)
}

func (o *outbox) polls() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked
}

func (o *outbox) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.rows)
}

func (o *outbox) leased() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for _, r := range o.rows {
		if r.owner != "" {
			n++
		}
	}
	return n
}

// temporal is Temporal as dispatch sees it.
type temporal struct {
	mu    sync.Mutex
	calls []call
	live  []string                                           // what it lists
	hook  func(ctx context.Context, workflowID string) error // what a call meets; nil: at once and well
	list  func() error
	busy  map[uuid.UUID]int // by tenant, now
	most  map[uuid.UUID]int // by tenant, ever at once
	all   int
	ever  int
}

type call struct {
	id, signal string
	options    client.StartWorkflowOptions
	workflow   any
	arg        any
	args       []any
	at         time.Time
}

func newTemporal() *temporal {
	return &temporal{busy: map[uuid.UUID]int{}, most: map[uuid.UUID]int{}}
}

func (f *temporal) SignalWithStartWorkflow(ctx context.Context, id, signal string, arg any, o client.StartWorkflowOptions,
	wf any, args ...any) (client.WorkflowRun, error) {
	tenant := args[0].(activities.Subject).TenantID
	f.mu.Lock()
	f.calls = append(f.calls, call{id, signal, o, wf, arg, args, time.Now()})
	f.busy[tenant]++
	f.all++
	f.most[tenant] = max(f.most[tenant], f.busy[tenant])
	f.ever = max(f.ever, f.all)
	hook := f.hook
	f.mu.Unlock()
	var err error
	if hook != nil {
		err = hook(ctx, id)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy[tenant]--
	f.all--
	return nil, err
}

func (f *temporal) ListWorkflow(_ context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (
	*workflowservice.ListWorkflowExecutionsResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.list != nil {
		if err := f.list(); err != nil {
			return nil, err
		}
	}
	from := 0
	if len(r.NextPageToken) > 0 {
		from = int(r.NextPageToken[0])<<8 | int(r.NextPageToken[1])
	}
	to := min(from+int(r.PageSize), len(f.live))
	out := &workflowservice.ListWorkflowExecutionsResponse{}
	for _, id := range f.live[from:to] {
		out.Executions = append(out.Executions,
			&workflow.WorkflowExecutionInfo{Execution: &commonpb.WorkflowExecution{WorkflowId: id}})
	}
	if to < len(f.live) {
		out.NextPageToken = []byte{byte(to >> 8), byte(to)}
	}
	return out, nil
}

func (f *temporal) meet(hook func(ctx context.Context, workflowID string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

func (f *temporal) seen() []call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// atOnce gives how many calls there were at once ever, in all and for a tenant.
func (f *temporal) atOnce(tenant uuid.UUID) (all, one int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ever, f.most[tenant]
}
