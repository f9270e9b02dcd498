package workflows

import "go.temporal.io/sdk/workflow"

// versions are the behaviours of the loop, oldest first; a run keeps the one it began with until it continues as new, which
// it does on its first wake after an upgrade. Each one has at least one recorded history of each workflow in
// testdata/histories, named <workflow>-v<number>-<what>.json; replay_test.go fails without. Never change an entry: append.
//
// 1: step in a local activity, tasks side by side in regular activities, wait for a nudge or a time, continue as new after
// stepLimit steps, when the server suggests it, or when another build answers.
var versions = []string{
	"step, perform, wait",
}

// change is the id under which histories record which behaviour a run has.
const change = "loop"

// behaviour gives the number of the version that this run follows: the newest for a new run. The first version is what a
// history without a mark means, so it costs no event.
func behaviour(ctx workflow.Context) int {
	if len(versions) == 1 {
		return 1
	}
	v := workflow.GetVersion(ctx, change, workflow.DefaultVersion, workflow.Version(len(versions)))
	if v == workflow.DefaultVersion {
		return 1
	}
	return int(v)
}
