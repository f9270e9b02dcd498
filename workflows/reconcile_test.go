package workflows

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/firebreak/firebreak/activities"
)

// script plays a store: it answers each step in turn and keeps when it was asked. The last answer stands for ever.
type script struct {
	mu        sync.Mutex
	now       func() time.Time
	answers   []answer
	asked     []time.Time
	subjects  []activities.Subject
	performed []activities.Task
	fail      map[string]int // how many more times a task of a kind fails
}

type answer struct {
	next activities.Next
	err  error
	do   func()
}

func (s *script) Step(_ context.Context, subject activities.Subject) (activities.Next, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := min(len(s.asked), len(s.answers)-1)
	s.asked = append(s.asked, s.now())
	s.subjects = append(s.subjects, subject)
	if s.answers[i].do != nil {
		s.answers[i].do()
	}
	return s.answers[i].next, s.answers[i].err
}

func (s *script) Perform(_ context.Context, t activities.Task) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail[t.Kind] > 0 {
		s.fail[t.Kind]--
		return errors.New("the store is away")
	}
	s.performed = append(s.performed, t)
	return nil
}

// gaps gives the time between the steps.
func (s *script) gaps() []time.Duration {
	var g []time.Duration
	for i := 1; i < len(s.asked); i++ {
		g = append(g, s.asked[i].Sub(s.asked[i-1]).Round(time.Millisecond))
	}
	return g
}

var subject = activities.Subject{
	ID:       uuid.MustParse("01890000-0000-7000-8000-000000000000"), // ends in zero: no spread
	TenantID: uuid.MustParse("01890000-0000-7000-8000-0000000000aa"),
}

func play(t *testing.T, answers ...answer) (*testsuite.TestWorkflowEnvironment, *script) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(20 * time.Second)
	s := &script{now: func() time.Time { return env.Now() }, answers: answers, fail: map[string]int{}}
	Register(env, Activities{Case: s, Escalation: s, Response: s})
	return env, s
}

func wake(env *testsuite.TestWorkflowEnvironment, d time.Duration) activities.Next {
	return activities.Next{WakeAt: env.Now().Add(d)}
}

var done = answer{next: activities.Next{Done: true}}

func TestDoneEndsEveryWorkflow(t *testing.T) {
	for _, wf := range []any{Case, Escalation, Response} {
		env, s := play(t, done)
		env.ExecuteWorkflow(wf, subject)
		require.True(t, env.IsWorkflowCompleted())
		require.NoError(t, env.GetWorkflowError())
		require.Equal(t, []activities.Subject{subject}, s.subjects)
	}
}

func TestWakesAtTheTimeTheStepNames(t *testing.T) {
	env, s := play(t, answer{}, done)
	s.answers[0].next = wake(env, 4*time.Hour)
	env.ExecuteWorkflow(Response, subject)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []time.Duration{4 * time.Hour}, s.gaps())
}

func TestTimePastWakesAtOnce(t *testing.T) {
	env, s := play(t, answer{}, done)
	s.answers[0].next = wake(env, -time.Hour)
	env.ExecuteWorkflow(Response, subject)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []time.Duration{time.Millisecond}, s.gaps())
}

func TestNudgeWakesAndTheTimerIsGone(t *testing.T) {
	env, s := play(t, answer{}, answer{}, done)
	s.answers[0].next = wake(env, time.Hour)
	s.answers[1].next = wake(env, 3*time.Hour)
	cancelled := 0
	env.SetOnTimerCanceledListener(func(string) { cancelled++ })
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(activities.SignalNudge, nil) }, 10*time.Minute)
	env.ExecuteWorkflow(Response, subject)
	require.NoError(t, env.GetWorkflowError())
	// Ten minutes until the nudge, then until three hours after the start: the one-hour timer wakes nobody.
	require.Equal(t, []time.Duration{10 * time.Minute, 170 * time.Minute}, s.gaps())
	require.Equal(t, 1, cancelled)
}

func TestWithoutATimeOnlyANudgeWakes(t *testing.T) {
	env, s := play(t, answer{}, done)
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(activities.SignalNudge, nil) }, 30*24*time.Hour)
	env.ExecuteWorkflow(Case, subject)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []time.Duration{30 * 24 * time.Hour}, s.gaps())
}

func TestManyNudgesAreOneStep(t *testing.T) {
	env, s := play(t, answer{}, answer{}, answer{})
	s.answers[1].next = wake(env, time.Hour)
	s.answers[2] = done
	env.RegisterDelayedCallback(func() {
		for range 50 {
			env.SignalWorkflow(activities.SignalNudge, nil)
		}
	}, time.Minute)
	env.ExecuteWorkflow(Case, subject)
	require.NoError(t, env.GetWorkflowError())
	require.LessOrEqual(t, len(s.asked), 4)
	require.Equal(t, time.Minute, s.gaps()[0])
}

func TestNudgeDuringAStepIsNotLost(t *testing.T) {
	// The nudge comes while the step that says "wait for ever" runs: the run must step again.
	env, s := play(t, answer{}, done)
	s.answers[0].do = func() { env.SignalWorkflow(activities.SignalNudge, nil) }
	env.ExecuteWorkflow(Case, subject)
	require.True(t, env.IsWorkflowCompleted())
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, s.asked, 2)
}

func TestNudgeDuringTasksIsNotLost(t *testing.T) {
	env, s := play(t, answer{next: activities.Next{Tasks: []activities.Task{{Kind: activities.TaskAct}}}}, answer{}, done)
	s.answers[1].next = wake(env, time.Hour)
	env.SetOnActivityStartedListener(func(*activity.Info, context.Context, converter.EncodedValues) {
		env.SignalWorkflow(activities.SignalNudge, nil)
	})
	env.ExecuteWorkflow(Response, subject)
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, s.performed, 1)
	require.Len(t, s.asked, 3)
}

func TestTasksRunSideBySideThenStepAgain(t *testing.T) {
	tasks := []activities.Task{
		{Kind: activities.TaskAct, ClaimID: uuid.New(), Generation: 3},
		{Kind: activities.TaskVerify, ResponseID: subject.ID, ConnectionID: uuid.New(), Timeout: time.Minute},
	}
	env, s := play(t, answer{next: activities.Next{Tasks: tasks}}, done)
	env.ExecuteWorkflow(Response, subject)
	require.NoError(t, env.GetWorkflowError())
	require.ElementsMatch(t, tasks, s.performed)
	require.Len(t, s.asked, 2)
}

func TestATaskThatCannotBeRecordedIsTriedAgain(t *testing.T) {
	env, s := play(t, answer{next: activities.Next{Tasks: []activities.Task{{Kind: activities.TaskAct}, {Kind: activities.TaskVerify}}}}, done)
	s.fail[activities.TaskAct] = 3
	env.ExecuteWorkflow(Response, subject)
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, s.performed, 2)
}

func TestATaskThatKeepsFailingLeavesTheNextWordToTheStore(t *testing.T) {
	env, s := play(t, answer{next: activities.Next{Tasks: []activities.Task{{Kind: activities.TaskAct}}}}, done)
	s.fail[activities.TaskAct] = 1000
	env.ExecuteWorkflow(Response, subject)
	require.NoError(t, env.GetWorkflowError())
	require.Empty(t, s.performed)
	require.Len(t, s.asked, 2)
	require.Greater(t, s.gaps()[0], 10*time.Second)
}

func TestTasksOfACaseAreADefectAndNotALoop(t *testing.T) {
	env, s := play(t, answer{next: activities.Next{Tasks: []activities.Task{{Kind: activities.TaskAct}}}}, done)
	env.ExecuteWorkflow(Case, subject)
	require.NoError(t, env.GetWorkflowError())
	require.Empty(t, s.performed)
	require.GreaterOrEqual(t, s.gaps()[0], time.Second)
}

func TestAFailingStepIsWaitedOut(t *testing.T) {
	away := answer{err: errors.New("the store is away")}
	var answers []answer
	for range 3 * 9 { // three tries each
		answers = append(answers, away)
	}
	env, s := play(t, append(answers, done)...)
	env.ExecuteWorkflow(Case, subject)
	require.NoError(t, env.GetWorkflowError())
	total := s.asked[len(s.asked)-1].Sub(s.asked[0])
	// 1+2+4+8+16+32+60+60+60 seconds, and the short waits between the tries.
	require.InDelta(t, 243, total.Seconds(), 10)
}

func TestANudgeShortensAPauseButNotToABusyLoop(t *testing.T) {
	away := answer{err: errors.New("the store is away")}
	var answers []answer
	for range 3 * 20 {
		answers = append(answers, away)
	}
	env, s := play(t, append(answers, done)...)
	for i := range 200 {
		env.RegisterDelayedCallback(func() { env.SignalWorkflow(activities.SignalNudge, nil) }, time.Duration(i)*200*time.Millisecond)
	}
	env.ExecuteWorkflow(Case, subject)
	require.NoError(t, env.GetWorkflowError())
	total := s.asked[len(s.asked)-1].Sub(s.asked[0])
	require.Greater(t, total, 19*time.Second)
	require.Less(t, total, time.Minute)
}

func TestAgainSlowsDownWhenItNeverEnds(t *testing.T) {
	again := answer{next: activities.Next{Again: true}}
	var answers []answer
	for range burst + 4 {
		answers = append(answers, again)
	}
	env, s := play(t, append(answers, done)...)
	env.ExecuteWorkflow(Case, subject)
	require.NoError(t, env.GetWorkflowError())
	g := s.gaps()
	require.Less(t, g[burst-1], time.Second, "the first %d come at once", burst)
	require.GreaterOrEqual(t, g[burst], time.Second)
	require.GreaterOrEqual(t, g[burst+2], 4*time.Second)
}

func TestContinuesAsNewAfterItsSteps(t *testing.T) {
	env, s := play(t, answer{next: activities.Next{Again: true}})
	env.ExecuteWorkflow(Response, subject)
	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, env.GetWorkflowError(), &again)
	require.Equal(t, activities.WorkflowType(activities.KindResponse), again.WorkflowType.Name)
	require.Len(t, s.asked, stepLimit)
}

func TestContinuesAsNewWhenTheServerSuggestsIt(t *testing.T) {
	env, _ := play(t, answer{next: activities.Next{Again: true}})
	env.SetContinueAsNewSuggested(true)
	env.ExecuteWorkflow(Escalation, subject)
	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, env.GetWorkflowError(), &again)
}

func TestContinuesAsNewOnTheFirstWakeAfterAnUpgrade(t *testing.T) {
	env, s := play(t, answer{}, answer{next: activities.Next{Build: "2", Tasks: []activities.Task{{Kind: activities.TaskAct}}}}, done)
	s.answers[0].next = wake(env, time.Hour)
	s.answers[0].next.Build = "1"
	env.ExecuteWorkflow(Response, subject)
	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, env.GetWorkflowError(), &again)
	require.Equal(t, []time.Duration{time.Hour}, s.gaps())
	require.Empty(t, s.performed, "the new run asks again before it does anything")
}

func TestTwoBuildsSideBySideDoNotLoop(t *testing.T) {
	// Whatever build a run begins with is its own; only a change within the run ends it.
	env, s := play(t, answer{next: activities.Next{Build: "2"}}, done)
	s.answers[0].next.WakeAt = env.Now().Add(time.Minute)
	s.answers[1].next.Build = "2"
	env.ExecuteWorkflow(Response, subject)
	require.NoError(t, env.GetWorkflowError())
}

func TestCancelEndsAWaitingRun(t *testing.T) {
	env, _ := play(t, answer{})
	env.RegisterDelayedCallback(env.CancelWorkflow, time.Minute)
	env.ExecuteWorkflow(Case, subject)
	require.True(t, env.IsWorkflowCompleted())
	require.Error(t, env.GetWorkflowError())
}
