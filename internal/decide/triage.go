package decide

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// Bounds of what triage is shown of a detection, so that its input stays well below policies.MaxInput.
const (
	maxObservableBytes = 40 << 10
	maxTitle           = 500
	maxListed          = 64
	maxWord            = 200
)

type triageAnswer struct {
	Suppress  bool               `json:"suppress"`
	Why       string             `json:"why"`
	Title     string             `json:"title"`
	Severity  threat.Severity    `json:"severity"`
	Threat    threat.ThreatState `json:"threat"`
	Proposals []triageProposal   `json:"proposals"`
	Said      []saidAnswer       `json:"said"`
}

// saidAnswer is a rule that took part, and why.
type saidAnswer struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	Why   string `json:"why"`
}

// whys joins the reasons for people.
func whys(said []saidAnswer) string {
	var out []string
	for _, s := range said {
		if s.Why != "" && !slices.Contains(out, s.Why) {
			out = append(out, s.Why)
		}
	}
	return strings.Join(out, "; ")
}

type triageProposal struct {
	Step     string         `json:"step"`
	Verb     string         `json:"verb"`
	Target   triageTargeted `json:"target"`
	Required bool           `json:"required"`
}

type triageTargeted struct {
	Kind  threat.TargetKind `json:"kind"`
	Value string            `json:"value"`
}

// Triage asks how bad a detection is and what is to be done about it. Without an answer it opens a case and never
// suppresses. Faults are the store's.
func (s *Service) Triage(ctx context.Context, d threat.Detection) (threat.Triage, error) {
	at, err := s.place(ctx, d.TenantID)
	if err != nil {
		return threat.Triage{}, err
	}
	set, err := s.deps.Store.EffectiveSettings(ctx, d.TenantID)
	if err != nil {
		return threat.Triage{}, err
	}
	set = usable(set)
	now := s.deps.Now().UTC()
	in := triageInput{At: now, Detection: seen(d, set.OwnNetworks),
		Tenant: triageTenant{ID: d.TenantID.String(), Simulated: at.simulated, BusinessHours: s.businessHours(set, now)}}
	var out triageAnswer
	dec, err := s.settle(ctx, threat.AskTriage, about{tenant: d.TenantID, subject: d.ID},
		s.deps.Policies.Evaluate(ctx, threat.AskTriage, in), now, &out, func() {
			out = triageAnswer{Title: in.Detection.Title, Severity: d.Severity, Threat: threat.ThreatSuspected}
			if out.Title == "" {
				out.Title = "A finding without a title"
			}
			if out.Severity == threat.SeverityUnknown {
				out.Severity = threat.SeverityMedium
			}
		})
	if err != nil {
		return threat.Triage{}, err
	}
	t := threat.Triage{DetectionID: d.ID, DecisionID: dec.ID, Suppress: out.Suppress, Reason: out.Why, Title: out.Title,
		Severity: out.Severity, Threat: out.Threat}
	for _, p := range out.Proposals {
		t.Proposals = append(t.Proposals, threat.Proposal{Step: p.Step, Verb: p.Verb, Required: p.Required,
			Target: threat.Target{Kind: p.Target.Kind, Value: p.Target.Value, AssetID: uuid.NullUUID{}}})
	}
	return t, nil
}

// seen gives what policy is shown of a detection. Text that an attacker may have chosen is made inert and bounded; what does
// not fit is counted.
func seen(d threat.Detection, own []string) detectionFacts {
	f := detectionFacts{ID: d.ID.String(), Product: d.Product, Sensor: d.Sensor, UID: threat.Inert(d.UID, maxWord),
		Title: threat.Inert(d.Title, maxTitle), Severity: d.Severity, Clock: d.Clock, HappenedAt: d.At.UTC(),
		Techniques: words(d.Techniques), Categories: categories(d.OCSF), Observed: []observableFacts{}}
	size := 0
	for i, o := range d.Observables {
		size += 2*len(o.Value) + 80 // escapes may double a text
		if i == threat.MaxCorrelated || size > maxObservableBytes {
			f.LeftOut = len(d.Observables) - i
			break
		}
		f.Observed = append(f.Observed, observableFacts{Kind: o.Kind, Value: o.Value, Bearing: o.Bearing,
			Public: o.Kind == threat.ObservableIP && public(o.Value, own)})
	}
	return f
}

func words(list []string) []string {
	out := make([]string, 0, min(len(list), maxListed))
	for _, w := range list {
		if len(out) == maxListed {
			break
		}
		if w != "" {
			out = append(out, threat.Inert(w, maxWord))
		}
	}
	return out
}

// categories gives the product's own classes of a finding: OCSF's finding_info.types and analytic.category, and the category
// that a product's event kept beside OCSF.
func categories(ocsf json.RawMessage) []string {
	var f struct {
		Info struct {
			Types    []string `json:"types"`
			Analytic struct {
				Category string `json:"category"`
			} `json:"analytic"`
		} `json:"finding_info"`
		Unmapped struct {
			Category string `json:"category"`
			Alert    struct {
				Category string `json:"category"`
			} `json:"alert"`
		} `json:"unmapped"`
	}
	if len(ocsf) == 0 || json.Unmarshal(ocsf, &f) != nil {
		// The finding was read before; a property of another type here only means that it names no category to us.
		return []string{}
	}
	return words(append(f.Info.Types, f.Info.Analytic.Category, f.Unmapped.Category, f.Unmapped.Alert.Category))
}

// noAnswer is what stands in place of a rule when policy gave no answer.
func noAnswer() []saidAnswer {
	return []saidAnswer{{ID: "policy.fault", Title: "Policy gave no answer", Why: "policy gave no answer: it is no"}}
}
