package store

import (
	"fmt"
	"os"
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

// TestAFrozenProcessHoldsNoLockForLong holds that PostgreSQL itself ends a transaction that does nothing: the locks of tenants
// would else stay with a process that is frozen or cut off.
func TestAFrozenProcessHoldsNoLockForLong(t *testing.T) {
	address := os.Getenv("FIREBREAK_TEST_POSTGRES")
	if address == "" {
		t.Skip("FIREBREAK_TEST_POSTGRES names no PostgreSQL")
	}
	e, err := openPostgres(t.Context(), address)
	require.NoError(t, err)
	defer func() { require.NoError(t, e.close()) }()
	ses, err := e.begin(t.Context(), true)
	require.NoError(t, err)
	var set string
	require.NoError(t, ses.row(t.Context(), `SELECT current_setting('idle_in_transaction_session_timeout')`, nil).Scan(&set))
	require.Equal(t, idleInTransaction, set)
	require.NoError(t, ses.rollback())
}
