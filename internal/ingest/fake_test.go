package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/threat"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clockwork is a clock that tests move.
type clockwork struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clockwork) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clockwork) Move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// memory is a Store in memory: all or nothing, leases, and one assignment a detection, as the real one promises.
type memory struct {
	mu       sync.Mutex
	clock    *clockwork
	all      []threat.Detection
	leased   map[uuid.UUID]time.Time
	assigned map[uuid.UUID]threat.Triage
	assigns  int
	leases   int
	fail     func(what string, id uuid.UUID) error // what: accept, lease, assign
}

func newMemory(c *clockwork) *memory {
	return &memory{clock: c, leased: map[uuid.UUID]time.Time{}, assigned: map[uuid.UUID]threat.Triage{}}
}

func (m *memory) failing(what string, id uuid.UUID) error {
	if m.fail == nil {
		return nil
	}
	return m.fail(what, id)
}

func (m *memory) AcceptDetections(_ context.Context, ds []threat.Detection) ([]threat.Detection, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.failing("accept", uuid.Nil); err != nil {
		return nil, err
	}
	out := slices.Clone(ds)
	for i := range out {
		out[i].ID, out[i].Seq = uuid.Must(uuid.NewV7()), int64(len(m.all)+i+1)
	}
	m.all = append(m.all, out...)
	return out, nil
}

func (m *memory) LeaseReceived(_ context.Context, _ string, n int, lease time.Duration) ([]threat.Detection, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leases++
	if err := m.failing("lease", uuid.Nil); err != nil {
		return nil, err
	}
	var out []threat.Detection
	now := m.clock.Now()
	for _, d := range m.all {
		_, done := m.assigned[d.ID]
		if len(out) < n && d.State == threat.DetectionReceived && !done && !m.leased[d.ID].After(now) {
			m.leased[d.ID] = now.Add(lease)
			out = append(out, d)
		}
	}
	return out, nil
}

func (m *memory) Assign(_ context.Context, t threat.Triage) (threat.Assignment, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.failing("assign", t.DetectionID); err != nil {
		return threat.Assignment{}, err
	}
	m.assigns++
	if _, done := m.assigned[t.DetectionID]; !done {
		m.assigned[t.DetectionID] = t
	}
	return threat.Assignment{State: threat.DetectionAssigned, Opened: true}, nil
}

func (m *memory) done() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.assigned)
}

// decider answers with what it is told to.
type decider func(ctx context.Context, d threat.Detection) (threat.Triage, error)

func (f decider) Triage(ctx context.Context, d threat.Detection) (threat.Triage, error) {
	return f(ctx, d)
}

func fine(context.Context, threat.Detection) (threat.Triage, error) {
	return threat.Triage{Severity: threat.SeverityHigh, Threat: threat.ThreatActive}, nil
}

// counts is a Metrics that remembers.
type counts struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counts) add(k string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[k] += n
}

func (c *counts) get(k string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[k]
}

func (c *counts) Detections(product, outcome string, n int) { c.add(product+" "+outcome, n) }
func (c *counts) Triage(outcome string, _ time.Duration)    { c.add("triage "+outcome, 1) }

// pages collects what people were told.
type pages struct {
	mu   sync.Mutex
	list []string
}

func (p *pages) Page(_ context.Context, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, what)
}

func (p *pages) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.list)
}

// ocsfFinding gives a valid finding at a time, changed by edit.
func ocsfFinding(t testing.TB, uid string, at time.Time, edit func(map[string]any)) string {
	t.Helper()
	m := map[string]any{
		"activity_id": 1, "category_uid": 2, "class_uid": 2004, "type_uid": 200401, "severity_id": 4, "time": at.UnixMilli(),
		"metadata":     map[string]any{"version": "1.8.0", "product": map[string]any{"name": "Sensor", "vendor_name": "Acme"}},
		"finding_info": map[string]any{"uid": uid, "title": "C2 beacon"},
		"observables":  []any{map[string]any{"type_id": 2, "value": "203.0.113.66", "reputation": map[string]any{"score_id": 10, "base_score": 1}}},
	}
	if edit != nil {
		edit(m)
	}
	b, err := json.Marshal(m)
	require.NoError(t, err)
	return string(b)
}

func crowdsecAlert(source string) string {
	return fmt.Sprintf(`{"scenario":"crowdsecurity/ssh-bf","source":{"scope":"Ip","value":%q},"start_at":"2026-03-01T11:59:00Z",`+
		`"events_count":6,"machine_id":"m","decisions":[{"origin":"crowdsec"}],"simulated":false}`, source)
}

func suricataAlert(src, dst string) string {
	return fmt.Sprintf(`{"timestamp":"2026-03-01T11:59:00.000000+0000","flow_id":1,"event_type":"alert","src_ip":%q,"dest_ip":%q,`+
		`"alert":{"gid":1,"signature_id":9,"signature":"C2","category":"Malware Command and Control Activity Detected","severity":1}}`, src, dst)
}

// sharedData finds the test data that lies beside the checkout, or skips by name.
func sharedData(t testing.TB, parts ...string) string {
	t.Helper()
	root := os.Getenv("FIREBREAK_SHARED")
	if root == "" {
		dir, err := os.Getwd()
		require.NoError(t, err)
		for {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				break
			}
			up := filepath.Dir(dir)
			if up == dir {
				t.Skip("go.mod was not found above the test")
			}
			dir = up
		}
		root = filepath.Join(dir, "..", "shared", "data")
	}
	p := filepath.Join(append([]string{root}, parts...)...)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("no shared data: %s", filepath.Join(parts...))
	}
	return p
}
