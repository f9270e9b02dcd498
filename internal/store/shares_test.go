package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/guard"
	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// cutting gives an acting response of the case that cuts a target off.
func (w work) cutting(v string, t threat.Target) threat.Response {
	w.t.Helper()
	rs, err := w.s.ProposeResponses(w.ctx, w.c.ID, []threat.Response{{Action: threat.Action{Step: "cut", Verb: v, Target: t,
		Connections: []uuid.UUID{w.conn.ID}}}})
	require.NoError(w.t, err)
	return w.apply(rs[0], w.decision(threat.Execute))
}

func assetTarget(a threat.Asset) threat.Target {
	return threat.Target{Kind: threat.TargetAsset, Value: a.ID.String()}
}

func account(name string) threat.Target {
	return threat.Target{Kind: threat.TargetAccount, Value: name}
}

// parts sets what one case, and one sensor, may cut off of a class.
func (w work) parts(ofCase, ofSensor int, fns ...func(*tenant.Settings)) {
	w.t.Helper()
	set := tenant.Settings{CasePart: &ofCase, SensorPart: &ofSensor}
	for _, fn := range fns {
		fn(&set)
	}
	require.NoError(w.t, w.s.SetSettings(w.ctx, w.o.ID, set, threat.SystemActor))
}

func TestOneCaseCutsOffAPartOfAClass(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	w.parts(25, 100)
	var hosts []threat.Asset
	for i := range 8 {
		hosts = append(hosts, w.host(fmt.Sprintf("laptop-%d", i)))
	}
	first := w.cutting(verb.IsolateHost, assetTarget(hosts[0]))
	w.bring(first, w.conn.ID)
	second := w.cutting(verb.IsolateHost, assetTarget(hosts[1]))
	require.Equal(t, threat.ClaimGranted, w.claim(second).Verdict)
	third := w.cutting(verb.IsolateHost, assetTarget(hosts[2]))
	a := w.claim(third)
	require.Equal(t, threat.ClaimRefused, a.Verdict)
	require.Equal(t, guard.CasePart, a.Guard)
	require.Contains(t, a.Why, "2 of 8")
	require.NotEmpty(t, a.Narrower)
	shares, err := w.s.Shares(w.ctx, third)
	require.NoError(t, err)
	require.Equal(t, []guard.Share{{Class: "workstation", Total: 8, Adds: 1, Case: 2, Sensor: 2}}, shares.Classes, "people see it before they are asked")

	other := w.in(w.openCase())
	require.Equal(t, threat.ClaimGranted, other.claim(other.cutting(verb.IsolateHost, assetTarget(hosts[2]))).Verdict, "another case has its own part")
	w.undo(first)
	require.Equal(t, threat.ClaimGranted, w.claim(w.cutting(verb.IsolateHost, assetTarget(hosts[3]))).Verdict, "what was let go counts no more")
	w.verified()
}

// TestThePartHoldsUnderManyClaims holds that many at once get exactly their part.
func TestThePartHoldsUnderManyClaims(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	w.parts(25, 100)
	var rs []threat.Response
	for i := range 40 {
		rs = append(rs, w.cutting(verb.IsolateHost, assetTarget(w.host(fmt.Sprintf("laptop-%d", i)))))
	}
	rs = w.again(rs)
	var granted atomic.Int32
	var wg sync.WaitGroup
	for _, r := range rs {
		wg.Go(func() {
			a, err := w.s.Claim(w.ctx, threat.ClaimRequest{ResponseID: r.ID, ConnectionID: w.conn.ID})
			if assert.NoError(t, err) && a.Verdict == threat.ClaimGranted {
				granted.Add(1)
			} else {
				assert.Equal(t, guard.CasePart, a.Guard, a.Why)
			}
		})
	}
	wg.Wait()
	require.Equal(t, int32(10), granted.Load())
	w.verified()
}

// again decides anew what went stale while assets were added.
func (w work) again(rs []threat.Response) []threat.Response {
	w.t.Helper()
	for i, r := range rs {
		r = w.response(r)
		if r.Facts.Protection != w.facts().Protection {
			r, err := w.s.MarkStale(w.ctx, r.ID, "assets were added")
			require.NoError(w.t, err)
			rs[i] = w.apply(r, w.decision(threat.Execute))
		}
	}
	return rs
}

func TestOneSensorsWordAlone(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	w.parts(100, 25)
	var hosts []threat.Asset
	for i := range 4 {
		hosts = append(hosts, w.host(fmt.Sprintf("laptop-%d", i)))
	}
	sensor := func(d *threat.Detection) { d.Sensor = "edr-1" }
	cases := []work{}
	for range 2 {
		cases = append(cases, w.in(w.caseOf(w.assign(w.detect(storetest.Observing(), sensor)))))
	}
	require.Equal(t, threat.ClaimGranted, cases[0].claim(cases[0].cutting(verb.IsolateHost, assetTarget(hosts[0]))).Verdict)
	a := cases[1].claim(cases[1].cutting(verb.IsolateHost, assetTarget(hosts[1])))
	require.Equal(t, guard.SensorPart, a.Guard, "two cases on the word of one sensor: %s", a.Why)
	require.Contains(t, a.Narrower, "second sensor")
	other := w.in(w.caseOf(w.assign(w.detect(storetest.Observing(), func(d *threat.Detection) { d.Sensor = "edr-2" }))))
	require.Equal(t, threat.ClaimGranted, other.claim(other.cutting(verb.IsolateHost, assetTarget(hosts[1]))).Verdict)
	w.verified()
}

// TestEighteenOfEighteenAccounts is the attack on the defence itself: every account is named, and nobody listed any.
func TestEighteenOfEighteenAccounts(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	w.parts(25, 100)
	granted := 0
	for i := range 18 {
		a := w.claim(w.cutting(verb.DisableIdentity, account(fmt.Sprintf("user-%d@corp.example", i))))
		if a.Verdict == threat.ClaimGranted {
			granted++
			continue
		}
		require.Equal(t, guard.CasePart, a.Guard)
	}
	require.Equal(t, guard.UnlistedPart, granted)
	w.verified()
}

func TestTheLastAdministratorStays(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	w.parts(100, 100, func(s *tenant.Settings) { s.Administrators = []string{"Root@corp.example", "it@corp.example"} })
	require.Equal(t, threat.ClaimGranted, w.claim(w.cutting(verb.DisableIdentity, account("ROOT@corp.example"))).Verdict)
	other := w.in(w.openCase())
	a := other.claim(other.cutting(verb.DisableIdentity, account("it@corp.example")))
	require.Equal(t, guard.LastAdmin, a.Guard, "%s", a.Why)
	require.NotEmpty(t, a.Narrower)
	w.verified()
}

// TestAHostWithAListedAddressIsNotCutOff: the VPN gateway that nobody listed as one has the address by which people come in.
func TestAHostWithAListedAddressIsNotCutOff(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	w.parts(100, 100, func(s *tenant.Settings) { s.Egress = []string{"198.51.100.1"} })
	gate, err := w.s.PutAsset(w.ctx, threat.SystemActor, threat.Asset{TenantID: w.o.ID, Kind: "host", Name: "gate-1", Role: threat.RoleServer,
		Addresses: []string{"198.51.100.1", "10.0.0.1"}, Managed: true, Evidence: "told"})
	require.NoError(t, err)
	a := w.claim(w.cutting(verb.IsolateHost, assetTarget(gate)))
	require.Equal(t, guard.NeverBlock, a.Guard, "%s", a.Why)
	a = w.claim(w.cutting(verb.IsolateHost, threat.Target{Kind: threat.TargetAsset, Value: uuid.NewString()}))
	require.Equal(t, guard.NotOurs, a.Guard, "%s", a.Why)
	w.verified()
}
