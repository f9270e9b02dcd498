// Package workflows holds the three long-running workflows: Case, Escalation and Response. Each looks after one subject of
// the store, and all three are the same loop: ask the step what is next, do it, wait for a nudge or a time.
//
// A workflow keeps no truth. What it knows it reads from the store through a step, so one that was lost with its server can
// be started anew from its subject and goes on where the store stands. For the same reason nothing here depends on a
// vendor, a database or the policy engine: only names and types of package activities are known.
//
// Whatever changes the order of commands of an open run needs a version (see versions.go) and a recorded history.
package workflows
