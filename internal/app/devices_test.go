package app

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/adapters/console"
	"github.com/firebreak/firebreak/internal/threat"
)

// TestTheConsoleNeedsNoConnection gives a contact's way over the console, which names no connection.
func TestTheConsoleNeedsNoConnection(t *testing.T) {
	r, err := adapters.NewRegistry(console.Product())
	require.NoError(t, err)
	d := newDevices(nil, r, time.Now)
	s, err := d.Speaker(t.Context(), uuid.Nil)
	require.NoError(t, err)
	got, err := s.Notify(t.Context(), adapters.Message{AttemptID: uuid.New(), To: "carla@example.com", Subject: "FB-1", Text: "FB-1",
		Severity: threat.SeverityHigh})
	require.NoError(t, err)
	require.True(t, got.Accepted)
	_, err = d.Device(t.Context(), uuid.Nil)
	require.True(t, threat.Is(err, threat.Unsupported), err)
}
