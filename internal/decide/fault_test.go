package decide

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/policies"
)

// broken gives an engine whose rules for one question are another text.
func broken(t *testing.T, q threat.Question, rego string) *policies.Engine {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, policies.BuiltIn()); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.rego") {
			return os.Remove(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	text := "# METADATA\n# schemas:\n#   - input: schema." + string(q) + ".input\npackage firebreak." + string(q) + "\n\n" + rego + "\n"
	if err := os.WriteFile(filepath.Join(dir, string(q), string(q)+".rego"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	e, err := policies.New(t.Context(), policies.Options{Dir: dir, Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// TestSafeAnswers holds that a rule that loops, divides by zero, gives nothing or gives nonsense leads to the safe answer of
// its question, is recorded as such, and pages the provider once.
func TestSafeAnswers(t *testing.T) {
	rules := map[string]string{
		"timeout":   `answer := {"x": count([1 | some a in numbers.range(1, 9000); some b in numbers.range(1, 9000); a * b == 7])}`,
		"error":     `answer := {"x": 1 / count([y | some y in []])}`,
		"undefined": `answer := {"x": 1} if input.at == "never"`,
		"shape":     `answer := {"x": 1}`,
	}
	for fault, rego := range rules {
		t.Run(fault, func(t *testing.T) {
			checks := map[threat.Question]func(*testing.T, *Service, *world){
				threat.AskTriage: func(t *testing.T, s *Service, w *world) {
					d := detection(w)
					d.Severity = threat.SeverityInformational // policy would suppress it
					got, err := s.Triage(t.Context(), d)
					if err != nil || got.Suppress || got.Title != d.Title || got.Threat != threat.ThreatSuspected {
						t.Errorf("%+v %v", got, err)
					}
				},
				threat.AskEscalate: func(t *testing.T, s *Service, w *world) {
					w.detections = []threat.Detection{{Seq: 1, Observables: []threat.Observable{{Kind: threat.ObservableUser, Value: "ada"}}}}
					got, err := s.Escalate(t.Context(), w.c)
					if err != nil || !got.Escalate || names(got.Chain) != "Ben:smtp+pagerduty" || got.Rounds != 2 || got.StepWait != 5*time.Minute {
						t.Errorf("%+v %v", got, err)
					}
				},
				threat.AskRespond: func(t *testing.T, s *Service, w *world) {
					w.state.Mode = threat.ModeAuthorize // policy would execute
					got, err := s.Respond(t.Context(), w.response("block_ip", "ip", "203.0.113.9"))
					if err != nil || got.Effect != threat.Ask || got.Basis != threat.BasisNone || got.Duration != 4*time.Hour ||
						!slices.Equal(got.Approvers.Roles, []threat.Role{threat.Contact}) || got.Approvers.Needed != 1 || got.Facts.Mode != 3 {
						t.Errorf("%+v %v", got, err)
					}
				},
				threat.AskApprove: func(t *testing.T, s *Service, w *world) {
					got, err := s.Approve(t.Context(), request(w), w.caller(w.person("Ada").ID, w.customer.ID, threat.Contact), threat.VerdictApprove)
					if err != nil || got.Allowed || got.Refusal != threat.RefusedPolicy || got.Why == "" {
						t.Errorf("%+v %v", got, err)
					}
				},
				threat.AskAccess: func(t *testing.T, s *Service, w *world) {
					ok, why, err := s.Access(t.Context(), w.caller(w.person("Ada").ID, w.customer.ID, threat.Contact), "case.read", w.customer.ID)
					if err != nil || ok || why == "" {
						t.Errorf("%t %q %v", ok, why, err)
					}
				},
			}
			for _, q := range threat.Questions {
				t.Run(string(q), func(t *testing.T) {
					w := newWorld()
					s, told := newService(t, w, broken(t, q, rego))
					checks[q](t, s, w)
					checks[q](t, s, w)
					if told.count() != 1 || !strings.Contains(told.said[0], string(q)) || !strings.Contains(told.said[0], fault) {
						t.Errorf("paged: %v", told.said)
					}
					if q == threat.AskAccess {
						return
					}
					if len(w.decisions) == 0 {
						t.Fatal("the decision is not recorded")
					}
					for _, d := range w.decisions {
						if !strings.HasPrefix(d.Fault, fault) || len(d.Answer) == 0 || len(d.Reasons) == 0 {
							t.Errorf("recorded: %+v", d)
						}
					}
				})
			}
		})
	}
}

// TestASafeAnswerIsNotReadBack holds that a fault of a moment does not stick to the facts.
func TestASafeAnswerIsNotReadBack(t *testing.T) {
	w := newWorld()
	w.state.Mode = threat.ModeAuthorize
	now := monday
	at := func() time.Time { return now }
	r := w.response("block_ip", "ip", "203.0.113.9")
	bad := New(Deps{Store: w, Policies: broken(t, threat.AskRespond, `answer := {"x": 1} if input.at == "never"`), Now: at})
	first, err := bad.Respond(t.Context(), r)
	if err != nil || first.Effect != threat.Ask {
		t.Fatal(first, err)
	}
	now = now.Add(time.Second)
	good := New(Deps{Store: w, Policies: builtIn(t), Now: at})
	second, err := good.Respond(t.Context(), r)
	if err != nil || second.Effect != threat.Execute {
		t.Fatal(second, err)
	}
}

// TestAnApprovalNeedsAPersonWhateverPolicySays holds what no rule lifts.
func TestAnApprovalNeedsAPersonWhateverPolicySays(t *testing.T) {
	w := newWorld()
	s, _ := newService(t, w, broken(t, threat.AskApprove, `answer := {"allow": input.at != "", "role": "contact", "refusal": "", "said": []}`))
	c := w.caller(w.person("Ada").ID, w.customer.ID, threat.Auditor)
	f, err := s.Approve(t.Context(), request(w), c, threat.VerdictApprove)
	if err != nil || f.Allowed || f.Refusal != threat.RefusedWrongPerson {
		t.Errorf("%+v %v", f, err)
	}
	f, err = s.Approve(t.Context(), request(w), threat.Caller{}, threat.VerdictApprove)
	if err != nil || f.Allowed || f.Refusal != threat.RefusedNotAPerson {
		t.Errorf("%+v %v", f, err)
	}
}
