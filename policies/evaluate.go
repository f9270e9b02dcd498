package policies

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/firebreak/firebreak/internal/threat"
)

// MaxInput is the largest input of a question, in bytes of its canonical JSON.
const MaxInput = 64 << 10

// Kinds of an Answer's Fault. After a colon may follow where, never what the input held.
const (
	FaultUndefined = "undefined" // no rule gave an answer
	FaultError     = "error"     // a rule failed: a division by zero, two values for one name
	FaultTimeout   = "timeout"   // it took longer than its time
	FaultShape     = "shape"     // the answer is not what its schema says
	FaultInput     = "input"     // the input is not what its schema says, or too large
	FaultBusy      = "busy"      // too many evaluations went past their time and have not come back
)

// maxStuck bounds how many evaluations may be past their time at once. Some built-in functions do not look at OPA's
// cancellation; each such call holds a processor until it ends.
const maxStuck = 4

// grace is how long past its time an evaluation may take to notice that it is cancelled.
const grace = 25 * time.Millisecond

// Answer is what the rules said, or why they said nothing. With a Fault the rest but Revision and Input is empty, and the
// caller takes the safe answer of the question.
type Answer struct {
	JSON     []byte // canonical (RFC 8785)
	Rules    []threat.RuleLabel
	Reasons  []string
	Revision string
	Fault    string
	Input    []byte // canonical JSON of what was asked
	// InputAt is where in Input the time of the question stands ("at" and its value), so that a key can leave it out.
	// Both are zero when there is none.
	InputAt [2]int
	// Detail is the whole error with a Fault. It may quote the input: for the author of a rule, never for a log.
	Detail string
}

// OK reports whether the rules answered.
func (a Answer) OK() bool { return a.Fault == "" }

// Evaluate asks one question of the rules in force. Input is a struct with json tags (see Encode), or JSON as []byte or
// json.RawMessage. It never fails: whatever goes wrong is the Answer's Fault. The caller's ctx bounds it too.
func (e *Engine) Evaluate(ctx context.Context, q threat.Question, input any) Answer {
	b := e.active.Load()
	a := Answer{Revision: b.revision}
	doc, err := Encode(input)
	if err != nil {
		a.Fault, a.Detail = FaultInput, err.Error()
		return a
	}
	a.Input, a.InputAt = doc.JSON, doc.At
	if len(a.Input) > MaxInput {
		a.Fault, a.Detail = FaultInput+": too large", fmt.Sprintf("%d bytes; the limit is %d", len(a.Input), MaxInput)
		return a
	}
	if q != threat.AskAccess {
		e.ask(ctx, b, q, doc.Value, &a)
		return a
	}
	if kept, ok := b.access.get(a.Input); ok {
		return kept
	}
	e.ask(ctx, b, q, doc.Value, &a)
	if a.OK() {
		b.access.put(a)
	}
	return a
}

// memory keeps access answers by their whole input, for as long as their bundle is in force: every call of the API asks, and
// rules give the same answer to the same input. The input's time is whole minutes, so that an entry serves one.
type memory struct {
	mu sync.RWMutex
	m  map[string]Answer
}

// maxRemembered bounds a memory; it is emptied when it is full.
const maxRemembered = 4096

func (m *memory) get(input []byte) (Answer, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	a, ok := m.m[string(input)]
	return a, ok
}

func (m *memory) put(a Answer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.m == nil || len(m.m) >= maxRemembered {
		m.m = map[string]Answer{}
	}
	m.m[string(a.Input)] = a
}

// finish turns what OPA gave into the answer.
func finish(q threat.Question, r outcome, a *Answer) {
	if r.err != nil {
		a.Fault, a.Detail = faultOf(r.err), r.err.Error()
		return
	}
	if len(r.rs) != 1 || len(r.rs[0].Expressions) != 1 {
		a.Fault = FaultUndefined
		return
	}
	term, ok := r.rs[0].Expressions[0].Value.(*ast.Term)
	if !ok {
		a.Fault = FaultUndefined
		return
	}
	out, err := shapes[q].answer.write(make([]byte, 0, 1024), term.Value, "")
	if err != nil {
		a.Fault, a.Detail = FaultShape+": "+err.where, err.Error()
		return
	}
	a.JSON = out
	a.Rules, a.Reasons = spoken(term.Value)
}

// spoken reads who took part, and why, from an answer whose shape was checked.
func spoken(answer ast.Value) ([]threat.RuleLabel, []string) {
	list, ok := answer.(ast.Object)
	if !ok {
		return nil, nil
	}
	said := list.Get(ast.InternedTerm("said"))
	if said == nil {
		return nil, nil
	}
	var rules []threat.RuleLabel
	var reasons []string
	add := func(t *ast.Term) {
		o, ok := t.Value.(ast.Object)
		if !ok {
			return
		}
		text := func(key string) string {
			if v := o.Get(ast.InternedTerm(key)); v != nil {
				if s, ok := v.Value.(ast.String); ok {
					return string(s)
				}
			}
			return ""
		}
		rules = append(rules, threat.RuleLabel{ID: text("id"), Title: text("title")})
		if why := text("why"); why != "" && !slices.Contains(reasons, why) {
			reasons = append(reasons, why)
		}
	}
	switch v := said.Value.(type) {
	case *ast.Array:
		v.Foreach(add)
	case ast.Set:
		v.Sorted().Foreach(add)
	}
	return rules, reasons
}

// faultOf names an evaluation error by its code and its place in the rules. OPA's messages may quote the input.
func faultOf(err error) string {
	if topdown.IsCancel(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return FaultTimeout
	}
	var te *topdown.Error
	if errors.As(err, &te) {
		s := FaultError + ": " + strings.TrimPrefix(te.Code, "eval_")
		if p := place(te.Location); p != "" {
			s += " at " + p
		}
		return s
	}
	return FaultError
}
