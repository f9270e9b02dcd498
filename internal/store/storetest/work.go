package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/threat"
)

// Observing has a detection name these addresses, the adversary's, and nothing else.
func Observing(addresses ...string) func(*threat.Detection) {
	return func(d *threat.Detection) {
		d.Observables = []threat.Observable{}
		for _, a := range addresses {
			d.Observables = append(d.Observables, threat.Observable{Kind: threat.ObservableIP, Value: a, Bearing: threat.BearingAdversary})
		}
	}
}

// NewDetection gives a high finding with an ATT&CK technique that no other repeats, as ingest hands it to the store. It names
// 203.0.113.66; change it with fns.
func NewDetection(s *store.Store, o threat.Organisation, at time.Time, fns ...func(*threat.Detection)) threat.Detection {
	n := next(s)
	d := threat.Detection{TenantID: o.ID, Product: "ocsf", Sensor: "token:" + uuid.NewString(), UID: fmt.Sprintf("finding-%d", n),
		Title: fmt.Sprintf("Finding %d", n), Severity: threat.SeverityHigh, Techniques: []string{"T1071"}, At: at.Add(-time.Second),
		ReceivedAt: at, DedupKey: fmt.Sprintf("key-%d", n), State: threat.DetectionReceived, Raw: fmt.Appendf(nil, `{"n": %d}`, n),
		OCSF: fmt.Appendf(nil, `{"class_uid":2004,"n":%d}`, n)}
	Observing("203.0.113.66")(&d)
	for _, fn := range fns {
		fn(&d)
	}
	return d
}

// Detection has the store accept one detection of a tenant, received at a time; see NewDetection.
func Detection(t testing.TB, s *store.Store, o threat.Organisation, at time.Time, fns ...func(*threat.Detection)) threat.Detection {
	t.Helper()
	kept, err := s.AcceptDetections(context.Background(), []threat.Detection{NewDetection(s, o, at, fns...)})
	if err != nil {
		t.Fatalf("the detection: %v", err)
	}
	return kept[0]
}

// Triage is an answer that finds a detection active and as severe as its product says.
func Triage(d threat.Detection) threat.Triage {
	return threat.Triage{DetectionID: d.ID, DecisionID: uuid.New(), Title: d.Title, Severity: d.Severity, Threat: threat.ThreatActive}
}

// Assign has the store assign a detection by Triage, changed by fns.
func Assign(t testing.TB, s *store.Store, d threat.Detection, fns ...func(*threat.Triage)) threat.Assignment {
	t.Helper()
	answer := Triage(d)
	for _, fn := range fns {
		fn(&answer)
	}
	a, err := s.Assign(context.Background(), answer)
	if err != nil {
		t.Fatalf("the assignment: %v", err)
	}
	return a
}

// Case opens a case of a tenant with one detection, received at a time, that shares nothing with others: high and active.
func Case(t testing.TB, s *store.Store, o threat.Organisation, at time.Time, fns ...func(*threat.Detection)) threat.Case {
	t.Helper()
	n := next(s)
	d := Detection(t, s, o, at, append([]func(*threat.Detection){Observing(fmt.Sprintf("198.18.%d.%d", n/250%250, n%250))}, fns...)...)
	a := Assign(t, s, d)
	c, err := s.Case(context.Background(), a.CaseID.UUID)
	if err != nil {
		t.Fatalf("the case: %v", err)
	}
	return c
}
