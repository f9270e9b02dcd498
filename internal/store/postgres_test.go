package store

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/threat"
)

// TestAConnectionThatTheServerClosed holds that the first call after a halt of PostgreSQL says that the database is away, and
// not that we have a defect: pgx tells that its connection is closed already, with an error of its own.
func TestAConnectionThatTheServerClosed(t *testing.T) {
	s := &Store{engine: &postgresEngine{}}
	err := s.fault(t.Context(), fmt.Errorf("begin: %w", pgconn.ErrConnClosed))
	require.Equal(t, threat.Unavailable, threat.KindOf(err), "%v", err)
}
