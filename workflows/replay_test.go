package workflows

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/firebreak/firebreak/activities"
)

// historyName reads <workflow>-v<number>-<what>.json.
var historyName = regexp.MustCompile(`^([a-z]+)-v([1-9][0-9]*)-[a-z0-9-]+\.json$`)

const historiesDir = "testdata/histories"

// TestReplay has every recorded history, of this version and the older ones, run through the code as it is now. It fails
// when an open run could not go on after an upgrade to it, and when a version has no history of a workflow.
func TestReplay(t *testing.T) {
	files, err := os.ReadDir(historiesDir)
	require.NoError(t, err)
	recorded := map[string]int{}
	for _, f := range files {
		m := historyName.FindStringSubmatch(f.Name())
		require.NotNil(t, m, "%s is no name of a history", f.Name())
		n, err := strconv.Atoi(m[2])
		require.NoError(t, err)
		require.NotEmpty(t, activities.WorkflowType(m[1]), "%s is of no workflow of ours", f.Name())
		require.LessOrEqual(t, n, len(versions), "%s is of a version that is not listed", f.Name())
		recorded[m[1]+"-v"+m[2]]++
		t.Run(f.Name(), func(t *testing.T) {
			r := worker.NewWorkflowReplayer()
			RegisterWorkflows(r)
			require.NoError(t, r.ReplayWorkflowHistoryFromJSONFile(nil, filepath.Join(historiesDir, f.Name())))
		})
	}
	for n := range versions {
		for _, kind := range activities.Kinds {
			require.NotZero(t, recorded[fmt.Sprintf("%s-v%d", kind, n+1)],
				"version %d has no history of the workflow %s: record it with TestRecordHistories of internal/engine", n+1, kind)
		}
	}
}

// TestReplaySeesAChange holds the replay to its purpose: a workflow that goes another way than its history is found out.
func TestReplaySeesAChange(t *testing.T) {
	for _, kind := range activities.Kinds {
		r := worker.NewWorkflowReplayer()
		r.RegisterWorkflowWithOptions(func(ctx workflow.Context, _ activities.Subject) error {
			return workflow.Sleep(ctx, time.Hour)
		}, workflow.RegisterOptions{Name: activities.WorkflowType(kind)})
		require.Error(t, r.ReplayWorkflowHistoryFromJSONFile(nil, filepath.Join(historiesDir, kind+"-v1-nudged-and-timed.json")))
	}
}
