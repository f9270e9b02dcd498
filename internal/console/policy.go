package console

import (
	"net/http"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
)

// policyPage tells which rules are in force.
type policyPage struct {
	frame
	Revision string
	Source   string
	Loaded   moment
	Age      time.Duration
	Stale    bool
	Error    string
	ErrorAt  moment
	Reloads  int
	Stuck    int
	Groups   []ruleGroup
}

type ruleGroup struct {
	Question string
	Asked    string
	Rules    []threat.RuleLabel
}

func showPolicy(k *call) error {
	if !k.mayAnywhere("policy.read") {
		return k.deps.Access.Allow(k.ctx(), k.caller, "policy.read", k.caller.OrgID)
	}
	st := k.deps.Policy.Active()
	p := &policyPage{frame: k.frame("Policy", "/policy"), Revision: threat.Inert(st.Revision, 80),
		Source: threat.Inert(st.Source, 400),
		Age:    st.Age, Stale: st.Stale, Reloads: int(st.Reloads), Stuck: int(st.Stuck)}
	p.live("")
	p.Loaded, p.ErrorAt = p.When(st.LoadedAt), p.When(st.ErrorAt)
	p.Error, _ = document([]byte(st.Error))
	labels := k.deps.Policy.Labels()
	for _, q := range threat.Questions {
		p.Groups = append(p.Groups, ruleGroup{Question: title(string(q)), Asked: questionWords[q], Rules: inertRules(labels[q])})
	}
	return k.render(http.StatusOK, "policy", p)
}
