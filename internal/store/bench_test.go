package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"
)

// batch is how many detections the benchmarks accept at once.
const batch = 500

// finding is a detection of a usual size, about 1.2 kB, that was sent as OCSF.
func finding(o threat.Organisation, n int) threat.Detection {
	raw := []byte(`{"activity_id":1,"class_uid":2004,"time":1772438400000,"finding_info":{"uid":"` + fmt.Sprint(n) +
		`","title":"Traffic to a controller"},"evidences":[{"data":"` + strings.Repeat("0123456789abcdef", 64) + `"}]}`)
	return threat.Detection{TenantID: o.ID, Product: "ocsf", Sensor: "token:x", UID: fmt.Sprint(n), Title: "Traffic to a controller",
		Severity: threat.SeverityHigh, Techniques: []string{"T1071"}, At: time.Now(), ReceivedAt: time.Now(), DedupKey: fmt.Sprint(n),
		State: threat.DetectionReceived, Raw: raw, OCSF: raw, Observables: []threat.Observable{
			{Kind: threat.ObservableIP, Value: fmt.Sprintf("203.0.%d.%d", n/250%250, n%250), Bearing: threat.BearingAdversary},
			{Kind: threat.ObservableHost, Value: "laptop-7", Bearing: threat.BearingVictim}}}
}

// BenchmarkAccept accepts batches of 500 detections. Compare with BenchmarkAcceptFloor.
func BenchmarkAccept(b *testing.B) {
	s := storetest.Open(b)
	o := storetest.Tenant(b, s)
	n := 0
	for b.Loop() {
		ds := make([]threat.Detection, batch)
		for i := range ds {
			n++
			ds[i] = finding(o, n)
		}
		_, err := s.AcceptDetections(context.Background(), ds)
		require.NoError(b, err)
	}
	b.ReportMetric(float64(batch)*float64(b.N)/b.Elapsed().Seconds(), "detections/s")
}

// BenchmarkAcceptFloor is a bare grouped insert of the same bytes on the same SQLite settings.
func BenchmarkAcceptFloor(b *testing.B) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "floor.db")+
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=cache_size(-32000)&_pragma=wal_autocheckpoint(4000)")
	require.NoError(b, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	_, err = db.Exec(`CREATE TABLE bare (id TEXT NOT NULL PRIMARY KEY, raw BLOB NOT NULL)`)
	require.NoError(b, err)
	st, err := db.Prepare(`INSERT INTO bare VALUES ` + strings.TrimSuffix(strings.Repeat("(?,?),", 100), ","))
	require.NoError(b, err)
	n := 0
	for b.Loop() {
		tx, err := db.Begin()
		require.NoError(b, err)
		for range batch / 100 {
			args := make([]any, 0, 200)
			for range 100 {
				n++
				d := finding(threat.Organisation{}, n)
				args = append(args, fmt.Sprintf("%036d", n), d.Raw)
			}
			_, err := tx.Stmt(st).Exec(args...)
			require.NoError(b, err)
		}
		require.NoError(b, tx.Commit())
	}
	b.ReportMetric(float64(batch)*float64(b.N)/b.Elapsed().Seconds(), "detections/s")
}

// BenchmarkAssign assigns detections, each of which opens a case.
func BenchmarkAssign(b *testing.B) {
	s := storetest.Open(b)
	o := storetest.Tenant(b, s)
	n := 0
	var ds []threat.Detection
	for b.Loop() {
		if len(ds) == 0 {
			b.StopTimer()
			for range batch {
				n++
				d := finding(o, n)
				d.Observables = d.Observables[:1]
				ds = append(ds, d)
			}
			var err error
			ds, err = s.AcceptDetections(context.Background(), ds)
			require.NoError(b, err)
			b.StartTimer()
		}
		_, err := s.Assign(context.Background(), storetest.Triage(ds[0]))
		require.NoError(b, err)
		ds = ds[1:]
	}
}
