package activities_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// agent is a simulated endpoint product: hosts that can be isolated, and processes that can be ended.
type agent struct {
	mu       sync.Mutex
	isolated map[uuid.UUID]string // by asset: the mark
	gone     map[string]bool      // processes, by target
	names    map[string]bool      // of the assets that it was told of
	refuse   error                // of every Apply
	applied  int
	removed  int
}

var agentInfo = adapters.Info{Name: "agents", Title: "Agents", Verbs: []adapters.Ability{
	{Verb: verb.IsolateHost, Sending: adapters.Natural, Settle: time.Second}, {Verb: verb.KillProcess, Sending: adapters.Natural, Settle: time.Second}}}

func (a *agent) Validate(adapters.Order) error { return nil }

func (a *agent) Read(_ context.Context, o adapters.Order) (adapters.Reading, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	mark, there := a.isolated[o.Asset.ID]
	if o.Verb == verb.KillProcess {
		there = a.gone[o.Target.Value]
	}
	switch {
	case !there:
		return adapters.Reading{Presence: adapters.Absent}, nil
	case mark == o.Mark:
		return adapters.Reading{Presence: adapters.Ours, InForce: true}, nil
	}
	return adapters.Reading{Presence: adapters.Foreign, InForce: true}, nil
}

func (a *agent) Apply(_ context.Context, o adapters.Order) (adapters.Receipt, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.applied++
	a.names[o.Asset.Name] = true
	if a.refuse != nil {
		return adapters.Receipt{}, a.refuse
	}
	if o.Verb == verb.KillProcess {
		if a.gone[o.Target.Value] {
			return adapters.Receipt{Outcome: threat.OutcomeDoesNotExist}, nil
		}
		a.gone[o.Target.Value] = true
		return adapters.Receipt{Outcome: threat.OutcomeSuccess}, nil
	}
	a.isolated[o.Asset.ID] = o.Mark
	return adapters.Receipt{Outcome: threat.OutcomeSuccess}, nil
}

func (a *agent) Remove(_ context.Context, o adapters.Order) (adapters.Receipt, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.removed++
	delete(a.isolated, o.Asset.ID)
	return adapters.Receipt{Outcome: threat.OutcomeSuccess}, nil
}

// agent adds the product to a house.
func (h *house) agent() *agent {
	h.Helper()
	c := storetest.Connection(h, h.s, h.tenant, "agents")
	a := &agent{isolated: map[uuid.UUID]string{}, gone: map[string]bool{}, names: map[string]bool{}}
	h.agents[c.ID] = a
	return a
}

func (h *house) asset(name string, managed bool, addresses ...string) threat.Asset {
	h.Helper()
	a, err := h.s.PutAsset(h.ctx, threat.SystemActor, threat.Asset{TenantID: h.tenant.ID, Kind: "host", Name: name, Role: threat.RoleWorkstation,
		Managed: managed, Addresses: addresses, Evidence: "told"})
	require.NoError(h, err)
	return a
}

// wants is a triage answer that wants a verb on a target.
func wants(v string, k threat.TargetKind, value string) func(*threat.Triage) {
	return func(a *threat.Triage) {
		a.Proposals = append(a.Proposals, threat.Proposal{Step: "cut", Verb: v, Required: true, Target: threat.Target{Kind: k, Value: value}})
	}
}

func (h *house) eradicate() {
	h.Helper()
	_, err := h.s.SetMode(h.ctx, threat.SystemActor, threat.Consent{TenantID: h.tenant.ID, Mode: threat.ModeAuthorize, Eradicate: true,
		GivenBy: storetest.Contact(h, h.s, h.tenant).ID, Words: "also what cannot be undone", Language: "en"})
	require.NoError(h, err)
}

func TestAProcessIsEndedOnce(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	h.eradicate()
	a := h.agent()
	host := h.asset("laptop-7", true, "10.1.2.3")
	c := h.detectAnd([]func(*threat.Triage){wants(verb.KillProcess, threat.TargetProcess, "laptop-7/4711@2026-03-02T08:00:00Z")})
	h.play(time.Minute)
	r := h.last(c)
	require.Equal(t, threat.ResponseReleased, r.State, r.Why)
	require.Equal(t, verb.Done, r.Why)
	require.Equal(t, host.ID, r.Target.AssetID.UUID)
	require.True(t, a.names["laptop-7"], "the adapter is told which machine it is")
	require.Equal(t, threat.ThreatContained, h.theCase(c).Threat, "what is done lasts by itself")
	h.play(2 * time.Hour)
	require.Equal(t, 1, a.applied)
	require.Zero(t, a.removed)
	require.Equal(t, threat.ThreatContained, h.theCase(c).Threat)
	h.sound()
}

func TestAProcessThatIsGoneIsNotCalledAFailure(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	h.eradicate()
	a := h.agent()
	host := h.asset("laptop-7", true, "10.1.2.3")
	target := host.ID.String() + "/4711@2026-03-02T08:00:00.000Z"
	a.gone[target] = true
	c := h.detectAnd([]func(*threat.Triage){wants(verb.KillProcess, threat.TargetProcess, target)})
	h.play(time.Minute)
	require.Equal(t, verb.Done, h.last(c).Why)
	h.sound()
}

func TestWhatCannotBeUndoneIsAskedAboutWithoutThatRight(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	a := h.agent()
	h.asset("laptop-7", true, "10.1.2.3")
	c := h.detectAnd([]func(*threat.Triage){wants(verb.KillProcess, threat.TargetProcess, "laptop-7/4711@2026-03-02T08:00:00Z")})
	h.play(time.Minute)
	require.Equal(t, threat.ResponseAsked, h.last(c).State, h.last(c).Why)
	require.Zero(t, a.applied)
}

// TestAnotherWayIsTakenWhenTheAgentFails: the agent refuses, so that the firewall blocks the host's address.
func TestAnotherWayIsTakenWhenTheAgentFails(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	a, w := h.agent(), h.wall("wall")
	a.refuse = threat.Faultf(threat.Forbidden, "the agent is not licensed")
	h.asset("laptop-7", true, "10.1.2.3")
	c := h.detectAnd([]func(*threat.Triage){wants(verb.IsolateHost, threat.TargetAsset, "laptop-7")})
	h.play(10 * time.Minute)
	list := h.responses(c)
	require.Len(t, list, 2, "%+v", list)
	require.Equal(t, threat.ResponseFailed, list[0].State)
	require.Equal(t, verb.IsolateHost, list[0].Verb)
	require.Equal(t, verb.BlockIP, list[1].Verb)
	require.Equal(t, "10.1.2.3", list[1].Target.Value)
	require.Equal(t, threat.ResponseHeld, list[1].State, list[1].Why)
	require.NotEmpty(t, w.holds("10.1.2.3"))
	require.Equal(t, threat.ThreatContained, h.theCase(c).Threat, "the way that was taken is what the case waits for")
	h.play(time.Hour)
	require.Len(t, h.responses(c), 2, "nothing is tried again while a way holds")
	h.sound()
}

func TestEveryHostIsAnActionOfItsOwn(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	a := h.agent()
	h.settings(tenant.Settings{SensorPart: ptr(100), CasePart: ptr(50)})
	for i, name := range []string{"laptop-1", "laptop-2", "laptop-3", "laptop-4"} {
		h.asset(name, true, "10.1.2."+string(rune('1'+i)))
	}
	c := h.detectAnd([]func(*threat.Triage){wants(verb.IsolateHost, threat.TargetAsset, threat.EveryHost)})
	h.play(time.Minute)
	states := map[threat.ResponseState]int{}
	for _, r := range h.responses(c) {
		states[r.State]++
	}
	require.Len(t, h.responses(c), 4)
	require.Equal(t, 2, states[threat.ResponseHeld], "half of them and no more: %v", states)
	require.Len(t, a.isolated, 2)
	require.NotEqual(t, threat.ThreatContained, h.theCase(c).Threat)
	h.sound()
}

// TestAListThatChangesLetsGoOfWhatStands: the address is put on the never-block list while it is blocked.
func TestAListThatChangesLetsGoOfWhatStands(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	c := h.detect()
	h.play(time.Minute)
	require.Equal(t, threat.ResponseHeld, h.last(c).State)
	h.settings(tenant.Settings{Egress: []string{attacker}})
	h.play(10 * time.Minute)
	r := h.last(c)
	require.Equal(t, threat.ResponseReleased, r.State, r.Why)
	require.Contains(t, r.Ending, "ways out")
	require.Empty(t, w.holds(attacker))
	require.NotZero(t, h.paged("is let go"))
	h.sound()
}

func ptr[T any](v T) *T { return &v }

// TestANameThatLeadsToTheTenantsOwnIsNotBlocked: an attacker points a name of theirs to the customer's way out.
func TestANameThatLeadsToTheTenantsOwnIsNotBlocked(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	h.feed()
	h.settings(tenant.Settings{Egress: []string{"198.51.100.1"}})
	leads := map[string][]string{"trap.example": {"198.51.100.1"}, "bad.example": {"203.0.113.5"}}
	h.deps.Resolve = func(_ context.Context, name string) []string { return leads[name] }
	h.restart()
	c := h.detectAnd([]func(*threat.Triage){func(a *threat.Triage) {
		for _, name := range []string{"trap.example", "bad.example"} {
			a.Proposals = append(a.Proposals, threat.Proposal{Step: "block-adversary-domain", Verb: verb.BlockDomain,
				Target: threat.Target{Kind: threat.TargetDomain, Value: name}})
		}
	}})
	h.play(time.Minute)
	for _, r := range h.responses(c) {
		if r.Target.Value == "trap.example" {
			require.Equal(t, threat.ResponseFailed, r.State, r.Why)
			require.Contains(t, r.Why, "ways out")
		} else {
			require.NotEqual(t, threat.ResponseFailed, r.State, r.Why)
		}
	}
	h.sound()
}
