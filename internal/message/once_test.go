package message

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// TestWhatIsDoneOnceHasNoTime: neither the question nor the news about it speaks of a duration, and the host has its name.
func TestWhatIsDoneOnceHasNoTime(t *testing.T) {
	host := threat.Asset{ID: uuid.MustParse("0192f0c1-0000-7000-8000-00000000000a"), Name: "laptop-7"}
	process := threat.Target{Kind: threat.TargetProcess, Value: host.ID.String() + "/4711@2026-03-02T08:00:00.000Z", AssetID: uuid.NullUUID{UUID: host.ID, Valid: true}}
	f := facts()
	f.Assets = []threat.Asset{host}
	f.Responses = []threat.Response{response(1, threat.ResponseReleased, func(r *threat.Response) {
		r.Verb, r.Target, r.Why = verb.KillProcess, process, verb.Done
	})}
	f.Requests[0].Body = threat.RequestBody{Kind: threat.RequestAct, Verb: verb.KillProcess, Targets: []threat.Target{process}, Connections: make([]uuid.UUID, 1)}
	f.Requests[0].ExpiresAt = night.Add(time.Hour)
	m := Attempt(f)
	require.Contains(t, m.Text, "Done, confirmed by the device: end the process laptop-7/4711[@]2026-03-02T08:00:00.000Z.")
	require.Contains(t, m.Text, "May we end the process laptop-7/4711[@]2026-03-02T08:00:00.000Z, on one device? It is done once.")
	require.NotContains(t, m.Text, "0 s")
	require.False(t, strings.Contains(m.Text, host.ID.String()))
}
