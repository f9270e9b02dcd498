package engine_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"

	"github.com/firebreak/firebreak/activities"
	"github.com/firebreak/firebreak/internal/dispatch"
	"github.com/firebreak/firebreak/internal/engine"
	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/workflows"
)

// steps tells of each step of a subject, and has it wait for ever.
type steps struct {
	mu    sync.Mutex
	asked map[uuid.UUID]int
}

func (s *steps) Step(_ context.Context, subject activities.Subject) (activities.Next, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[subject.ID]++
	return activities.Next{}, nil
}

func (s *steps) Perform(context.Context, activities.Task) error { return nil }

func (s *steps) of(id uuid.UUID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[id]
}

// swept tells of each sweep.
type swept chan int

func (swept) Nudge(string, string, time.Duration) {}

func (swept) Outbox(int, time.Duration) {}

func (s swept) Sweep(kind string, _, missing int) {
	if kind == activities.KindCase {
		select {
		case s <- missing:
		default:
		}
	}
}

// TestDispatchStartsWorkflows has a real store's nudges carried to a real Temporal, which then loses everything.
func TestDispatchStartsWorkflows(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, storetest.WithNow(time.Now))
	tenant := storetest.Tenant(t, s)
	id := openCase(t, s, tenant.ID)
	path := filepath.Join(t.TempDir(), "temporal.db")

	run := func() (*engine.Engine, *steps, swept, func()) {
		e := start(t, engine.Options{SQLitePath: path})
		st := &steps{asked: map[uuid.UUID]int{}}
		require.NoError(t, e.StartWorker(func(r worker.Registry) {
			workflows.Register(r, workflows.Activities{Case: st, Escalation: st, Response: st})
		}))
		m := make(swept, 100)
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		d := dispatch.New(dispatch.Deps{Store: s, Client: e.Client(), TaskQueue: e.TaskQueue(), Now: time.Now, Metrics: m,
			Sweep: 100 * time.Millisecond})
		go func() { ended <- d.Run(ctx) }()
		return e, st, m, func() {
			stop()
			require.NoError(t, <-ended)
			require.NoError(t, e.Close(within(t)))
		}
	}
	stepped := func(st *steps, n int) {
		t.Helper()
		require.Eventually(t, func() bool { return st.of(id) >= n }, patience, 5*time.Millisecond)
	}

	_, st, m, end := run()
	stepped(st, 1)
	before := st.of(id)
	require.NoError(t, s.Nudge(within(t), activities.KindCase, tenant.ID, id))
	stepped(st, before+1)
	require.Eventually(t, func() bool {
		n, _, err := s.OutboxDepth(within(t))
		return err == nil && n == 0
	}, patience, 5*time.Millisecond)
	for quiet := 0; quiet < 5; quiet++ { // what lives is found; at first what Temporal lists may lag behind
		if <-m > 0 {
			quiet = 0
		}
	}
	end()

	remove(t, path) // Temporal lost everything
	_, st, _, end = run()
	stepped(st, 1)
	end()
}

// openCase takes a detection in and assigns it to a case of its own.
func openCase(t *testing.T, s interface {
	AcceptDetections(context.Context, []threat.Detection) ([]threat.Detection, error)
	Assign(context.Context, threat.Triage) (threat.Assignment, error)
}, tenant uuid.UUID) uuid.UUID {
	t.Helper()
	ds, err := s.AcceptDetections(within(t), []threat.Detection{{TenantID: tenant, Product: "ocsf", Title: "A finding",
		State: threat.DetectionReceived, At: time.Now(), ReceivedAt: time.Now(), DedupKey: uuid.NewString(), Raw: []byte(`{}`)}})
	require.NoError(t, err)
	a, err := s.Assign(within(t), threat.Triage{DetectionID: ds[0].ID, Title: "A case", Threat: threat.ThreatSuspected})
	require.NoError(t, err)
	require.True(t, a.CaseID.Valid)
	return a.CaseID.UUID
}
