package decide

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/guard"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/policies"
)

// TestRespondModes walks every mode, with contacts reached and not, and the threat in each state, with and without a guard.
func TestRespondModes(t *testing.T) {
	engine := builtIn(t)
	for _, mode := range threat.Modes {
		for _, unreached := range []bool{false, true} {
			for _, acknowledged := range []bool{false, true} {
				for _, state := range []threat.ThreatState{threat.ThreatSuspected, threat.ThreatActive, threat.ThreatContained, threat.ThreatResolved} {
					for _, guarded := range []bool{false, true} {
						name := fmt.Sprintf("%s/unreached=%t/acknowledged=%t/%s/guarded=%t", mode, unreached, acknowledged, state, guarded)
						t.Run(name, func(t *testing.T) {
							w := newWorld()
							w.state.Mode, w.c.Threat = mode, state
							if unreached {
								w.unreached()
							}
							if acknowledged {
								until := monday.Add(time.Minute)
								w.c.AckUntil = &until
							}
							if guarded {
								w.settings = tenant.Effective(tenant.Settings{NeverBlock: []string{"203.0.113.0/24"}})
							}
							s, told := newService(t, w, engine)
							d, err := s.Respond(t.Context(), w.response("block_ip", "ip", "203.0.113.9"))
							if err != nil {
								t.Fatal(err)
							}
							effect, basis := threat.Ask, threat.BasisNone
							switch {
							case mode == threat.ModeNotify || guarded:
								effect = threat.Deny
							case mode == threat.ModeAuthorize:
								effect, basis = threat.Execute, threat.BasisMode
							case mode == threat.ModeCollaborateUnreachable && unreached && !acknowledged && state == threat.ThreatActive:
								effect, basis = threat.Execute, threat.BasisUnreachable
							}
							if d.Effect != effect || d.Basis != basis {
								t.Fatalf("%s on %q, want %s on %q: %v", d.Effect, d.Basis, effect, basis, d.Reasons)
							}
							if (effect == threat.Ask) != slices.Equal(d.Approvers.Roles, []threat.Role{threat.Contact}) {
								t.Errorf("approvers %v", d.Approvers)
							}
							if guarded && mode != threat.ModeNotify && (d.Guard != guard.NeverBlock || d.Narrower == "") {
								t.Errorf("guard %q, narrower %q", d.Guard, d.Narrower)
							}
							if d.Duration != 4*time.Hour || d.End != threat.EndReleaseWhenContained || d.AskFor != 30*time.Minute {
								t.Errorf("%s, %s, %s", d.Duration, d.End, d.AskFor)
							}
							if len(d.Rules) == 0 || len(d.Reasons) == 0 || d.DecisionID == uuid.Nil || told.count() > 0 {
								t.Errorf("%+v, paged %v", d, told.said)
							}
							want := threat.Revisions{Mode: 3, Stop: 1, Protection: 2, Settings: 4, Contact: 6, Threat: 5, Policy: engine.Revision()}
							if d.Facts != want {
								t.Errorf("facts %+v, want %+v", d.Facts, want)
							}
						})
					}
				}
			}
		}
	}
}

// TestRespondFacts changes one fact at a time in authorize.
func TestRespondFacts(t *testing.T) {
	engine := builtIn(t)
	internal := func(role threat.AssetRole, managed, protected bool) func(*world) {
		return func(w *world) {
			w.assets = []threat.Asset{{ID: uuid.New(), Name: "it", Role: role, Managed: managed, Protected: protected, Addresses: []string{"10.1.2.3"}}}
		}
	}
	tests := []struct {
		name   string
		target string
		change func(*world)
		effect threat.Effectuate
		guard  string
	}{
		{"a public address", "203.0.113.9", func(*world) {}, threat.Execute, ""},
		{"stopped", "203.0.113.9", func(w *world) { w.state.Stopped = true }, threat.Deny, guard.Stop},
		{"our own address", "192.0.2.250", func(*world) {}, threat.Deny, guard.Lockout},
		{"an internal address of nobody", "10.1.2.3", func(*world) {}, threat.Deny, guard.NotOurs},
		{"a workstation", "10.1.2.3", internal(threat.RoleWorkstation, true, false), threat.Execute, ""},
		{"a protected workstation", "10.1.2.3", internal(threat.RoleWorkstation, true, true), threat.Deny, guard.Protected},
		{"a domain controller", "10.1.2.3", internal(threat.RoleDomainController, true, false), threat.Ask, ""},
		{"a relay", "10.1.2.3", internal(threat.RoleRelay, true, false), threat.Deny, ""},
		{"a managed server", "10.1.2.3", internal(threat.RoleServer, true, false), threat.Execute, ""},
		{"an unmanaged server", "10.1.2.3", internal(threat.RoleServer, false, false), threat.Ask, ""},
		{"an asset without a role", "10.1.2.3", internal("", true, false), threat.Ask, ""},
		{"a spent budget", "203.0.113.9", func(w *world) { w.used = 50 }, threat.Deny, guard.Budget},
		{"the share for critical cases", "203.0.113.9", func(w *world) { w.used = 45 }, threat.Deny, guard.Reserve},
		{"the share, in a critical case", "203.0.113.9", func(w *world) { w.used, w.c.Severity = 45, threat.SeverityCritical }, threat.Execute, ""},
		{"an unknown mode", "203.0.113.9", func(w *world) { w.state.Mode = "whatever" }, threat.Deny, guard.Mode},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			w.state.Mode = threat.ModeAuthorize
			tt.change(w)
			s, _ := newService(t, w, engine)
			d, err := s.Respond(t.Context(), w.response("block_ip", "ip", tt.target))
			if err != nil {
				t.Fatal(err)
			}
			if d.Effect != tt.effect || d.Guard != tt.guard {
				t.Fatalf("%s with guard %q, want %s with %q: %v", d.Effect, d.Guard, tt.effect, tt.guard, d.Reasons)
			}
			if tt.effect == threat.Ask && !slices.Equal(d.Approvers.Roles, []threat.Role{threat.Analyst, threat.ShiftLead, threat.Contact}) {
				t.Errorf("authorize asks %v", d.Approvers.Roles)
			}
		})
	}
}

func TestRespondDurations(t *testing.T) {
	engine := builtIn(t)
	for _, tt := range []struct {
		asked, setting, longest, want time.Duration
	}{
		{0, 4 * time.Hour, 7 * 24 * time.Hour, 4 * time.Hour},
		{time.Minute, 4 * time.Hour, 7 * 24 * time.Hour, time.Minute},
		{30 * 24 * time.Hour, 4 * time.Hour, time.Hour, time.Hour},
		{0, 1500 * time.Millisecond, time.Hour, 1500 * time.Millisecond}, // an accelerated run
		{400 * time.Millisecond, time.Hour, time.Hour, time.Second},      // shorter than the verb allows
		{2500 * time.Millisecond, time.Hour, time.Hour, 2500 * time.Millisecond},
	} {
		w := newWorld()
		w.state.Mode = threat.ModeCollaborate
		w.settings = tenant.Effective(tenant.Settings{BlockFor: tenant.In(tt.setting), BlockMax: tenant.In(tt.longest)})
		s, _ := newService(t, w, engine)
		r := w.response("block_ip", "ip", "203.0.113.9")
		r.Duration = tt.asked
		d, err := s.Respond(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if tt.asked > 0 && tt.asked < time.Second {
			if d.Effect != threat.Deny || d.Guard != guard.Shape {
				t.Errorf("%s: %s %q", tt.asked, d.Effect, d.Guard)
			}
			continue
		}
		if d.Effect != threat.Ask || d.Duration != tt.want {
			t.Errorf("asked %s: %s for %s, want %s (%v)", tt.asked, d.Effect, d.Duration, tt.want, d.Reasons)
		}
	}
}

// TestARetriedStepReadsThrough holds that the same facts under the same rules are one decision, whatever the clock says.
func TestARetriedStepReadsThrough(t *testing.T) {
	w := newWorld()
	now := monday
	s := New(Deps{Store: w, Policies: builtIn(t), Now: func() time.Time { return now }})
	r := w.response("block_ip", "ip", "203.0.113.9")
	first, err := s.Respond(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	second, err := s.Respond(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if first.DecisionID != second.DecisionID || len(w.decisions) != 1 {
		t.Errorf("%s and %s; %d decisions", first.DecisionID, second.DecisionID, len(w.decisions))
	}
	w.state.Mode, w.state.ModeVersion = threat.ModeAuthorize, 4
	third, err := s.Respond(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if third.DecisionID == first.DecisionID || third.Effect != threat.Execute || third.Facts.Mode != 4 {
		t.Errorf("another mode is another decision: %+v", third)
	}
}

// TestReplay holds that a recorded decision's input, asked again of the same rules, gives the same answer.
func TestReplay(t *testing.T) {
	w := newWorld()
	engine := builtIn(t)
	s, _ := newService(t, w, engine)
	if _, err := s.Respond(t.Context(), w.response("block_ip", "ip", "203.0.113.9")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Escalate(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Triage(t.Context(), detection(w)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Approve(t.Context(), request(w), w.caller(w.person("Ada").ID, w.customer.ID, threat.Contact), threat.VerdictApprove); err != nil {
		t.Fatal(err)
	}
	if len(w.decisions) != 4 {
		t.Fatalf("%d decisions", len(w.decisions))
	}
	for _, d := range w.decisions {
		t.Run(string(d.Question), func(t *testing.T) {
			if d.Revision != engine.Revision() || hash(d.Input) != d.InputHash || hash(d.Answer) != d.AnswerHash || d.At != monday {
				t.Errorf("%+v", d)
			}
			// EvalOnce also checks the input against its schema: Go's structs and the schema are one.
			got, err := policies.EvalOnce(t.Context(), "", d.Question, d.Input)
			if err != nil {
				t.Fatal(err)
			}
			if hash(got.JSON) != d.AnswerHash || hash(got.Input) != d.InputHash || got.Revision != d.Revision {
				t.Errorf("replayed: %s\nrecorded: %s", got.JSON, d.Answer)
			}
		})
	}
}

func TestStoreFaultsComeBack(t *testing.T) {
	w := newWorld()
	s, _ := newService(t, w, builtIn(t))
	w.fails = threat.Faultf(threat.Unavailable, "the database is away")
	if _, err := s.Respond(t.Context(), w.response("block_ip", "ip", "203.0.113.9")); !threat.Is(err, threat.Unavailable) {
		t.Errorf("respond: %v", err)
	}
	if _, err := s.Triage(t.Context(), detection(w)); !threat.Is(err, threat.Unavailable) {
		t.Errorf("triage: %v", err)
	}
	if _, err := s.Escalate(t.Context(), w.c); !threat.Is(err, threat.Unavailable) {
		t.Errorf("escalate: %v", err)
	}
	if f, err := s.Approve(t.Context(), request(w), w.caller(w.person("Ada").ID, w.customer.ID, threat.Contact), threat.VerdictApprove); !threat.Is(err, threat.Unavailable) || f.Allowed {
		t.Errorf("approve: %v %v", f, err)
	}
	if ok, _, err := s.Access(t.Context(), w.caller(w.person("Ada").ID, w.customer.ID, threat.Contact), "case.read", w.customer.ID); ok || !threat.Is(err, threat.Unavailable) {
		t.Errorf("access: %t %v", ok, err)
	}
	w.fails = nil
	if _, err := s.Respond(t.Context(), w.response("launch", "ip", "203.0.113.9")); !threat.Is(err, threat.Unsupported) {
		t.Errorf("an unknown verb: %v", err)
	}
}

// TestInputsStaySmall holds the 64 kB with as much as a detection and a case can hold.
func TestInputsStaySmall(t *testing.T) {
	w := newWorld()
	engine := builtIn(t)
	s, told := newService(t, w, engine)
	d := detection(w)
	d.Observables = nil
	for i := range 1000 {
		d.Observables = append(d.Observables, threat.Observable{Kind: threat.ObservableFilePath, Value: fmt.Sprintf("%d\"%s", i, strings.Repeat("\"\\", 1000))})
	}
	d.Title, d.UID = strings.Repeat("\x01<", 5000), strings.Repeat("x", 5000)
	for i := range 500 {
		d.Techniques = append(d.Techniques, fmt.Sprintf("T%04d", i))
	}
	if _, err := s.Triage(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		w.assets = append(w.assets, threat.Asset{Name: strings.Repeat("a\"", 500), Addresses: []string{"203.0.113.9"}, Role: threat.RoleWorkstation,
			Tags: []string{fmt.Sprint(i), strings.Repeat("t", 60)}})
		w.responses = append(w.responses, threat.Response{Action: threat.Action{Verb: "block_ip"}, State: threat.ResponseHeld})
	}
	r, err := s.Respond(t.Context(), w.response("block_ip", "ip", "203.0.113.9"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Escalate(t.Context(), w.c); err != nil {
		t.Fatal(err)
	}
	if r.Effect != threat.Ask || told.count() > 0 {
		t.Errorf("%+v %v", r, told.said)
	}
	for _, d := range w.decisions {
		if len(d.Input) > policies.MaxInput || !json.Valid(d.Input) {
			t.Errorf("%s: %d bytes", d.Question, len(d.Input))
		}
	}
}
