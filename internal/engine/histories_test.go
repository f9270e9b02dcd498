package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"github.com/firebreak/firebreak/activities"
	"github.com/firebreak/firebreak/internal/engine"
	"github.com/firebreak/firebreak/workflows"
)

// recordEnv names the variable that has TestRecordHistories write the histories of the workflows' behaviour as it is now.
// Its value is the number of the newest of workflows' versions: FIREBREAK_RECORD_HISTORIES=2 go test ./internal/engine
// -run TestRecordHistories. Only a new version's are ever written; the old ones stay as they were recorded.
const recordEnv = "FIREBREAK_RECORD_HISTORIES"

const historiesDir = "../../workflows/testdata/histories"

// script plays a store to one workflow: it answers its steps in turn, and the last answer stands for ever.
type script struct {
	mu      sync.Mutex
	answers map[uuid.UUID][]any              // activities.Next, or an error
	fails   map[uuid.UUID]map[string][]error // by task kind, one for each try
}

func (s *script) Step(_ context.Context, subject activities.Subject) (activities.Next, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.answers[subject.ID]
	if len(list) == 0 {
		return activities.Next{Done: true}, nil
	}
	if len(list) > 1 {
		s.answers[subject.ID] = list[1:]
	}
	switch a := list[0].(type) {
	case func() activities.Next:
		return a(), nil
	case error:
		return activities.Next{}, a
	default:
		return a.(activities.Next), nil
	}
}

func (s *script) Perform(_ context.Context, t activities.Task) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := s.fails[t.ResponseID][t.Kind]
	if len(left) == 0 {
		return nil
	}
	s.fails[t.ResponseID][t.Kind] = left[1:]
	return left[0]
}

// in answers with a time to wake at.
func in(d time.Duration, build string) func() activities.Next {
	return func() activities.Next {
		return activities.Next{WakeAt: time.Now().UTC().Add(d).Truncate(time.Millisecond), Build: build}
	}
}

// play is one history to record.
type play struct {
	what    string
	answers func(id uuid.UUID) []any
	fails   map[string][]error
	nudges  int  // sent one after another, each when the workflow waits
	cancel  bool // when it waits
	open    bool // recorded while it waits
	runs    int  // with continue-as-new; 1 when zero
}

var errAway = errors.New("the store is away")

func plays(kind string) []play {
	forever := activities.Next{Build: "1"}
	done := activities.Next{Done: true, Build: "1"}
	list := []play{
		{what: "done", answers: func(uuid.UUID) []any { return []any{done} }},
		{what: "nudged-and-timed", nudges: 2, answers: func(uuid.UUID) []any {
			return []any{forever, in(time.Hour, "1"), in(time.Second, "1"), activities.Next{Again: true, Build: "1"}, done}
		}},
		{what: "time-past", answers: func(uuid.UUID) []any { return []any{in(-time.Hour, "1"), done} }},
		{what: "failing-step", answers: func(uuid.UUID) []any {
			return []any{errAway, errAway, errAway, errAway, errAway, errAway, forever, done}
		}, open: true},
		{what: "waiting", nudges: 1, open: true, answers: func(uuid.UUID) []any { return []any{forever, in(time.Hour, "1")} }},
		{what: "cancelled", cancel: true, answers: func(uuid.UUID) []any { return []any{in(time.Hour, "1")} }},
		{what: "continued", runs: 2, answers: func(uuid.UUID) []any {
			return []any{in(time.Second, "1"), activities.Next{Build: "2"}, in(time.Second, "2"),
				activities.Next{Done: true, Build: "2"}}
		}},
	}
	tasks := map[string][]string{activities.KindEscalation: {activities.TaskAttempt, activities.TaskCancel},
		activities.KindResponse: {activities.TaskAct, activities.TaskVerify}}[kind]
	if tasks == nil {
		return list
	}
	work := func(id uuid.UUID) activities.Next {
		next := activities.Next{Build: "1"}
		for _, t := range tasks {
			next.Tasks = append(next.Tasks, activities.Task{Kind: t, ResponseID: id, Timeout: 10 * time.Second})
		}
		return next
	}
	return append(list,
		play{what: "tasks", answers: func(id uuid.UUID) []any { return []any{work(id), in(time.Second, "1"), work(id), done} }},
		play{what: "task-retried", answers: func(id uuid.UUID) []any { return []any{work(id), done} },
			fails: map[string][]error{tasks[0]: {errAway}}},
		play{what: "task-failing", answers: func(id uuid.UUID) []any { return []any{work(id), done} },
			fails: map[string][]error{tasks[1]: {temporal.NewNonRetryableApplicationError("the store is away", "away", nil)}}},
	)
}

// TestRecordHistories writes workflows/testdata/histories, in clear, for the replay test there.
func TestRecordHistories(t *testing.T) {
	version := os.Getenv(recordEnv)
	if version == "" {
		t.Skipf("%s: %s names no version to record", t.Name(), recordEnv)
	}
	served := start(t, engine.Options{SQLitePath: filepath.Join(t.TempDir(), "t.db"), ServeOnly: true})
	c, err := client.Dial(client.Options{HostPort: served.Address(), Namespace: engine.Namespace, Identity: "recorder",
		Logger:            sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
		Credentials:       client.NewAPIKeyStaticCredentials(served.Credential()),
		ConnectionOptions: client.ConnectionOptions{TLSDisabled: true}})
	require.NoError(t, err)
	defer c.Close()
	s := &script{answers: map[uuid.UUID][]any{}, fails: map[uuid.UUID]map[string][]error{}}
	w := worker.New(c, engine.TaskQueue, worker.Options{})
	workflows.Register(w, workflows.Activities{Case: s, Escalation: s, Response: s})
	require.NoError(t, w.Start())
	defer w.Stop()
	require.NoError(t, os.MkdirAll(historiesDir, 0o755))
	for _, kind := range activities.Kinds {
		for _, p := range plays(kind) {
			id := uuid.New()
			s.mu.Lock()
			s.answers[id], s.fails[id] = p.answers(id), p.fails
			s.mu.Unlock()
			runs := record(t, c, kind, id, p)
			for i, h := range runs {
				name := fmt.Sprintf("%s-v%s-%s", kind, version, p.what)
				if len(runs) > 1 {
					name += fmt.Sprintf("-%d", i+1)
				}
				text, err := temporalproto.CustomJSONMarshalOptions{Indent: " "}.Marshal(h)
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(filepath.Join(historiesDir, name+".json"), append(text, '\n'), 0o644))
			}
		}
	}
}

// record plays one workflow and gives the histories of its runs.
func record(t *testing.T, c client.Client, kind string, id uuid.UUID, p play) []*historypb.History {
	t.Helper()
	workflow := activities.WorkflowID(kind, id)
	nudge := func() client.WorkflowRun {
		run, err := c.SignalWithStartWorkflow(within(t), workflow, activities.SignalNudge, nil,
			client.StartWorkflowOptions{TaskQueue: engine.TaskQueue}, activities.WorkflowType(kind),
			activities.Subject{ID: id, TenantID: id})
		require.NoError(t, err)
		return run
	}
	run := nudge()
	for range p.nudges {
		settled(t, c, workflow, run.GetRunID())
		nudge()
	}
	if p.cancel {
		settled(t, c, workflow, run.GetRunID())
		require.NoError(t, c.CancelWorkflow(within(t), workflow, ""))
	}
	if p.open {
		settled(t, c, workflow, run.GetRunID())
		defer func() { require.NoError(t, c.TerminateWorkflow(within(t), workflow, "", "recorded")) }()
		return []*historypb.History{read(t, c, workflow, run.GetRunID())}
	}
	runID := run.GetRunID() // before Get, which follows the later runs
	err := run.Get(within(t), nil)
	require.True(t, err == nil || p.cancel && strings.Contains(err.Error(), "cancel"), "%v", err)
	var out []*historypb.History
	for runID != "" {
		h := read(t, c, workflow, runID)
		out = append(out, h)
		runID = h.Events[len(h.Events)-1].GetWorkflowExecutionContinuedAsNewEventAttributes().GetNewExecutionRunId()
	}
	require.Len(t, out, max(1, p.runs))
	return out
}

func read(t *testing.T, c client.Client, workflow, run string) *historypb.History {
	t.Helper()
	h := &historypb.History{}
	for it := c.GetWorkflowHistory(within(t), workflow, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
		event, err := it.Next()
		require.NoError(t, err)
		if q := event.GetWorkflowTaskScheduledEventAttributes().GetTaskQueue(); q.GetKind() == enums.TASK_QUEUE_KIND_STICKY {
			q.Name = "sticky" // it bears the name of the machine
		}
		h.Events = append(h.Events, event)
	}
	return h
}

// settled waits until a run has answered its last task and waits for a nudge or for an hour.
func settled(t *testing.T, c client.Client, workflow, run string) {
	t.Helper()
	require.Eventually(t, func() bool {
		long, timers := false, 0
		h := read(t, c, workflow, run)
		for _, e := range h.Events {
			switch e.GetEventType() {
			case enums.EVENT_TYPE_TIMER_STARTED:
				timers++
				long = e.GetTimerStartedEventAttributes().GetStartToFireTimeout().AsDuration() > 10*time.Second
			case enums.EVENT_TYPE_TIMER_FIRED, enums.EVENT_TYPE_TIMER_CANCELED:
				timers--
			}
		}
		switch h.Events[len(h.Events)-1].GetEventType() {
		case enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, enums.EVENT_TYPE_MARKER_RECORDED, enums.EVENT_TYPE_TIMER_STARTED,
			enums.EVENT_TYPE_TIMER_CANCELED:
			return timers == 0 || timers == 1 && long
		}
		return false
	}, patience, 50*time.Millisecond)
}
