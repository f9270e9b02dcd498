// Package decide puts the five questions to policy: it gathers a question's facts from the store, asks, records the
// decision whole, and gives the answer in the house's own words. Where policy gives no answer it gives the safe one, and
// pages the provider. It decides nothing by itself and holds no lock: who acts on an answer compares the revisions.
package decide

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/guard"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/policies"
)

// Store is what the questions' facts are read from. Faults of reads are NotFound and Unavailable; they come back to the
// caller, who asks again: without facts there is no question.
type Store interface {
	TenantState(ctx context.Context, tenant uuid.UUID) (threat.TenantState, error)
	EffectiveSettings(ctx context.Context, org uuid.UUID) (tenant.Settings, error)
	Lineage(ctx context.Context, id uuid.UUID) ([]threat.Organisation, error)
	Case(ctx context.Context, id uuid.UUID) (threat.Case, error)
	DetectionsOfCase(ctx context.Context, caseID uuid.UUID, afterSeq int64, limit int) ([]threat.Detection, error)
	Contacts(ctx context.Context, tenant uuid.UUID) ([]threat.ContactEntry, error)
	Person(ctx context.Context, id uuid.UUID) (threat.Person, error)
	AssetsTouched(ctx context.Context, tenant uuid.UUID, t threat.Target) ([]threat.Asset, error)
	Connections(ctx context.Context, tenant uuid.UUID) ([]threat.Connection, error)
	Responses(ctx context.Context, caseID uuid.UUID) ([]threat.Response, error)
	Escalations(ctx context.Context, caseID uuid.UUID) ([]threat.Escalation, error)
	Reach(ctx context.Context, escalationID uuid.UUID) (threat.Reach, error)
	// RecordDecision keeps a decision whole. A repeated key gives the first decision back.
	RecordDecision(ctx context.Context, d threat.Decision, key string) (threat.Decision, error)
}

// Budget is a Store that can tell how many claims a tenant has used, so that people see a spent budget before they are
// asked. Without it Claim alone counts.
type Budget interface {
	// Used counts the claims since a time: those of the class, and those of the verb. Releases are not counted.
	Used(ctx context.Context, tenant uuid.UUID, class threat.Class, verb string, since time.Time) (byClass, byVerb int, err error)
}

// Shares is a Store that can tell what of a class of assets is cut off already, so that people see that a case goes too far
// before they are asked. Without it Claim alone counts.
type Shares interface {
	Shares(ctx context.Context, r threat.Response) (guard.Shares, error)
}

// Policies is what answers: *policies.Engine.
type Policies interface {
	Evaluate(ctx context.Context, q threat.Question, input any) policies.Answer
	Revision() string
}

// Deps are what a Service is made of.
type Deps struct {
	Store    Store
	Policies Policies
	Now      func() time.Time
	// Page tells the provider's people that policy gave no answer. At most once a minute for each question.
	Page func(ctx context.Context, what string)
	// Ours are Firebreak's own addresses and names, which no action may cut off.
	Ours []string
	Log  *slog.Logger
}

// Service asks. It is safe for use by many at once.
type Service struct {
	deps   Deps
	budget Budget // nil when the store cannot count
	shares Shares // likewise
	mu     sync.Mutex
	paged  map[threat.Question]time.Time
	trees  *lineages
}

// New makes a Service.
func New(d Deps) *Service {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Page == nil {
		d.Page = func(context.Context, string) {}
	}
	s := &Service{deps: d, paged: map[threat.Question]time.Time{}, trees: newLineages()}
	s.budget, _ = d.Store.(Budget)
	s.shares, _ = d.Store.(Shares)
	return s
}

// about says what a decision is about, for its record.
type about struct {
	tenant  uuid.UUID
	caseID  uuid.NullUUID
	subject uuid.UUID
}

// settle takes policy's answer into out, or the safe one when there is none, and records the decision. Out points to the
// question's answer; safe fills it in. The recorded decision is what counts: a step that is taken again gets the answer of
// the first time.
func (s *Service) settle(ctx context.Context, q threat.Question, of about, a policies.Answer, now time.Time, out any,
	safe func()) (threat.Decision, error) {
	answer, fault := s.read(ctx, q, a, out, safe)
	d := threat.Decision{TenantID: of.tenant, CaseID: of.caseID, SubjectID: of.subject, Question: q, Revision: a.Revision,
		Input: a.Input, Answer: answer, InputHash: hash(a.Input), AnswerHash: hash(answer), Rules: a.Rules,
		Reasons: a.Reasons, Fault: fault, At: now}
	if fault != "" {
		d.Reasons = []string{"policy gave no answer (" + fault + "): the safe one was taken"}
	}
	kept, err := s.deps.Store.RecordDecision(ctx, d, decisionKey(of, q, a, fault, now))
	if err != nil {
		return threat.Decision{}, err
	}
	if kept.AnswerHash != "" && kept.AnswerHash != d.AnswerHash && len(kept.Answer) > 0 {
		if err := json.Unmarshal(kept.Answer, out); err != nil {
			return threat.Decision{}, &threat.Fault{Kind: threat.Internal, What: "a recorded decision cannot be read", Err: err}
		}
	}
	return kept, nil
}

// read puts policy's answer, or the safe one, into out, and gives it as canonical JSON.
func (s *Service) read(ctx context.Context, q threat.Question, a policies.Answer, out any, safe func()) ([]byte, string) {
	fault := a.Fault
	if fault == "" {
		if err := json.Unmarshal(a.JSON, out); err == nil {
			return a.JSON, ""
		}
		fault = policies.FaultShape
	}
	s.page(ctx, q, a.Revision, fault)
	safe()
	doc, err := policies.Encode(out)
	if err != nil {
		return nil, fault + ": " + err.Error()
	}
	return doc.JSON, fault
}

// decisionKey is the same for the same question on the same facts under the same rules, whatever the clock says. An answer
// that policy did not give is never read back: it is asked anew.
func decisionKey(of about, q threat.Question, a policies.Answer, fault string, now time.Time) string {
	h := sha256.New()
	h.Write(a.Input[:a.InputAt[0]])
	h.Write(a.Input[a.InputAt[1]:])
	key := fmt.Sprintf("decision:%s:%s:%s:%s", q, of.subject, a.Revision, hex.EncodeToString(h.Sum(nil)))
	if fault != "" {
		key += ":" + now.UTC().Format(time.RFC3339Nano)
	}
	return key
}

func hash(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// page calls the provider's people. The text names the question, the rules' revision and where they failed, never an input.
func (s *Service) page(ctx context.Context, q threat.Question, revision, fault string) {
	now := s.deps.Now()
	s.mu.Lock()
	last, was := s.paged[q]
	quiet := was && now.Sub(last) < time.Minute
	if !quiet {
		s.paged[q] = now
	}
	s.mu.Unlock()
	s.deps.Log.ErrorContext(ctx, "policy gave no answer; the safe one was taken", "question", q, "revision", revision, "fault", fault)
	if !quiet {
		s.deps.Page(ctx, fmt.Sprintf("policy gave no answer to %s (%s) under revision %.12s; the safe answer was taken", q, fault, revision))
	}
}

// lineages remembers where organisations stand. An organisation never moves, so nothing in it goes stale.
type lineages struct {
	mu sync.RWMutex
	m  map[uuid.UUID]place
}

// place is an organisation's way up.
type place struct {
	ids       []string // root first, the node last
	simulated bool
}

const maxLineages = 20_000

func newLineages() *lineages { return &lineages{m: map[uuid.UUID]place{}} }

// place gives an organisation's way up. NotFound when there is no such organisation.
func (s *Service) place(ctx context.Context, id uuid.UUID) (place, error) {
	s.trees.mu.RLock()
	p, ok := s.trees.m[id]
	s.trees.mu.RUnlock()
	if ok {
		return p, nil
	}
	nodes, err := s.deps.Store.Lineage(ctx, id)
	if err != nil {
		return place{}, err
	}
	if len(nodes) == 0 {
		return place{}, threat.Faultf(threat.NotFound, "there is no such organisation")
	}
	for _, n := range nodes {
		p.ids = append(p.ids, n.ID.String())
	}
	p.simulated = nodes[len(nodes)-1].Simulated
	s.trees.mu.Lock()
	if len(s.trees.m) >= maxLineages {
		clear(s.trees.m)
	}
	s.trees.m[id] = p
	s.trees.mu.Unlock()
	return p, nil
}
