package plan_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/plan"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// products are what the made-up adapters can do; a list is only published.
func products(adapter, v string) (polled, ok bool) {
	can := map[string][]string{
		"edr":      {verb.IsolateHost, verb.KillProcess, verb.BlockHash},
		"ssh":      {verb.IsolateHost, verb.KillProcess},
		"nftables": {verb.BlockIP}, "feed": {verb.BlockIP, verb.BlockDomain},
		"switch": {verb.QuarantinePort}, "peers": {verb.ContainFromNeighbours}, "ldap": {verb.DisableIdentity},
	}
	for _, name := range can[adapter] {
		ok = ok || name == v
	}
	return adapter == "feed" && ok, ok
}

func host(name string, managed bool, tags ...string) threat.Asset {
	return threat.Asset{ID: id(name), Kind: "host", Name: name, Managed: managed, Tags: tags, Addresses: []string{"10.1.2.3", "10.2.0.0/24", "fd00::7"}}
}

func on(a threat.Asset) threat.Target {
	return threat.Target{Kind: threat.TargetAsset, Value: a.ID.String(), AssetID: uuid.NullUUID{UUID: a.ID, Valid: true}}
}

var network = []threat.Connection{connection("edr", "edr"), connection("shell", "ssh"), connection("wall", "nftables"), connection("list", "feed"),
	connection("core", "switch"), connection("peers", "peers"), connection("dir", "ldap")}

func places(ways []plan.Way) (out []plan.Place) {
	for _, w := range ways {
		out = append(out, w.Place)
	}
	return out
}

func TestAManagedHostsAgentComesFirst(t *testing.T) {
	a := host("laptop-7", true)
	ways, left := plan.Ways(verb.IsolateHost, on(a), []threat.Asset{a}, network, products)
	require.Empty(t, left)
	require.Equal(t, []plan.Place{plan.OnHost, plan.OnHost, plan.AtFirewall, plan.AtSwitch, plan.OnList, plan.AtNeighbours}, places(ways))
	for _, w := range ways[:2] {
		require.Equal(t, verb.IsolateHost, w.Parts[0].Verb)
		require.Len(t, w.Parts[0].Connections, 1, "one agent knows it")
	}
	wall := ways[2]
	require.Len(t, wall.Parts, 2, "its two addresses, and not its network")
	for _, p := range wall.Parts {
		require.Equal(t, verb.BlockIP, p.Verb)
		require.Equal(t, []uuid.UUID{id("wall")}, p.Connections)
		require.Equal(t, a.ID, p.Target.AssetID.UUID, "the address stays the host's")
		c, err := p.Target.Canonical()
		require.NoError(t, err)
		require.Equal(t, p.Target, c)
	}
	require.Equal(t, []uuid.UUID{id("list")}, ways[4].Parts[0].Connections)
}

func TestAnUnmanagedHostIsCutOffAroundIt(t *testing.T) {
	a := host("printer", false)
	ways, _ := plan.Ways(verb.IsolateHost, on(a), []threat.Asset{a}, network, products)
	require.Equal(t, []plan.Place{plan.AtFirewall, plan.AtSwitch, plan.OnList, plan.AtNeighbours}, places(ways))
	ways, _ = plan.Ways(verb.IsolateHost, on(a), []threat.Asset{a}, network[:1], products)
	require.Empty(t, ways, "nothing can")
}

func TestAPinnedAssetGoesToItsOwnProduct(t *testing.T) {
	a := host("server-1", false, "ssh:10.1.2.3")
	ways, _ := plan.Ways(verb.IsolateHost, on(a), []threat.Asset{a}, network, products)
	require.Equal(t, plan.OnHost, ways[0].Place)
	require.Equal(t, []uuid.UUID{id("shell")}, ways[0].Parts[0].Connections)
	require.Equal(t, plan.AtFirewall, ways[1].Place)
	process := threat.Target{Kind: threat.TargetProcess, Value: a.ID.String() + "/1@2026-03-02T08:00:00.000Z", AssetID: uuid.NullUUID{UUID: a.ID, Valid: true}}
	ways, _ = plan.Ways(verb.KillProcess, process, []threat.Asset{a}, network, products)
	require.Len(t, ways, 2, "nothing around it can end a process")
	require.Equal(t, []uuid.UUID{id("shell")}, ways[0].Parts[0].Connections)
	require.Contains(t, ways[0].Why, "own id")
}

func TestWhatStandsOnListsGoesEverywhereAtOnce(t *testing.T) {
	ways, _ := plan.Ways(verb.BlockIP, address, nil, network, products)
	require.Len(t, ways, 1)
	require.ElementsMatch(t, []uuid.UUID{id("wall"), id("list")}, ways[0].Parts[0].Connections)
	ways, _ = plan.Ways(verb.DisableIdentity, threat.Target{Kind: threat.TargetAccount, Value: "jdoe"}, nil, network, products)
	require.Equal(t, plan.AtService, ways[0].Place)
	off := connection("edr", "edr")
	off.Enabled = false
	ways, left := plan.Ways(verb.BlockHash, threat.Target{Kind: threat.TargetHash, Value: "00"}, nil, []threat.Connection{off}, products)
	require.Empty(t, ways)
	require.Contains(t, plan.Told(left), "disabled")
	ways, _ = plan.Ways(verb.BlockIP, on(host("x", true)), nil, network, products)
	require.Empty(t, ways, "not a target of the verb")
}

// TestThePlanDoesNotHangOnTheOrderOfItsFacts holds that what workflows call gives the same for the same.
func TestThePlanDoesNotHangOnTheOrderOfItsFacts(t *testing.T) {
	a := host("laptop-7", true)
	want, _ := plan.Ways(verb.IsolateHost, on(a), []threat.Asset{a}, network, products)
	for i := range network {
		turned := append(append([]threat.Connection{}, network[i:]...), network[:i]...)
		got, _ := plan.Ways(verb.IsolateHost, on(a), []threat.Asset{a}, turned, products)
		require.Equal(t, want, got)
	}
}

func TestNamesAreLookedUp(t *testing.T) {
	assets := []threat.Asset{host("laptop-7", true), host("Laptop-8", true), {ID: id("twin-1"), Kind: "host", Name: "twin"}, {ID: id("twin-2"), Kind: "host", Name: "TWIN"}}
	assets[1].Addresses = []string{"10.9.9.9"}
	for in, want := range map[string]string{"LAPTOP-7": id("laptop-7").String(), "laptop-8": id("Laptop-8").String(), "10.9.9.9": id("Laptop-8").String(),
		id("anything").String(): id("anything").String()} {
		got, err := plan.Resolve(threat.Target{Kind: threat.TargetAsset, Value: in}, assets)
		require.NoError(t, err)
		require.Equal(t, want, got.Value)
	}
	got, err := plan.Resolve(threat.Target{Kind: threat.TargetService, Value: "laptop-7/evil.service"}, assets)
	require.NoError(t, err)
	require.Equal(t, id("laptop-7").String()+"/evil.service", got.Value)
	got, err = plan.Resolve(threat.Target{Kind: threat.TargetSession, Value: "account:laptop-7/1"}, assets)
	require.NoError(t, err)
	require.Equal(t, "account:laptop-7/1", got.Value)
	for _, in := range []string{"twin", "nobody", "", "10.1.2.99", "laptop"} {
		_, err := plan.Resolve(threat.Target{Kind: threat.TargetAsset, Value: in}, assets)
		require.True(t, threat.Is(err, threat.Invalid), "%q: %v", in, err)
	}
}

func TestEveryHostIsEachHost(t *testing.T) {
	assets := []threat.Asset{host("a", true), {ID: id("net"), Kind: "network", Name: "net"}, host("b", false)}
	each, err := plan.Expand(threat.Proposal{Step: "cut", Verb: verb.IsolateHost, Target: threat.Target{Kind: threat.TargetAsset, Value: threat.EveryHost}, Required: true}, assets)
	require.NoError(t, err)
	require.Len(t, each, 2)
	for i, name := range []string{"a", "b"} {
		require.Equal(t, on(assets[i*2]), each[i].Target, name)
		require.True(t, each[i].Required)
	}
}

func TestOutline(t *testing.T) {
	a := host("laptop-7", true)
	ip := address
	ip.AssetID = on(a).AssetID
	r := func(step, v string, target threat.Target, state threat.ResponseState) threat.Response {
		return threat.Response{Action: threat.Action{Step: step, Verb: v, Target: target, Round: 1}, State: state, Required: true}
	}
	list := []threat.Response{r("block", verb.BlockIP, address, threat.ResponseAsked),
		r(plan.WayStep("cut", verb.IsolateHost, 1), verb.IsolateHost, on(a), threat.ResponseFailed),
		r(plan.WayStep("cut", verb.IsolateHost, 3), verb.BlockIP, ip, threat.ResponseHeld)}
	got := plan.Outline(list, []threat.Asset{a}, network, products)
	require.Len(t, got, 2)
	require.Equal(t, []any{"block", 1, 1}, []any{got[0].Name, got[0].Taken, len(got[0].Ways)})
	cut := got[1]
	require.Equal(t, []any{"cut", verb.IsolateHost, on(a), 3, 2, 6, true}, []any{cut.Name, cut.Verb, cut.Target, cut.Taken, len(cut.Actions), len(cut.Ways), cut.Required})
	require.ElementsMatch(t, []uuid.UUID{id("wall")}, cut.Ways[2].Connections())
}

func TestStepsOfWays(t *testing.T) {
	step := plan.WayStep("cut/off", verb.IsolateHost, 2)
	base, name, n, ok := plan.ParseWay(step)
	require.True(t, ok)
	require.Equal(t, []any{"cut/off", verb.IsolateHost, 2}, []any{base, name, n})
	for _, s := range []string{"", "block", "a/b", "a/isolate_host/0", "a/nothing/1", "a/isolate_host/x"} {
		_, _, _, ok := plan.ParseWay(s)
		require.False(t, ok, s)
	}
}

func TestTheNextWayIsTakenOnce(t *testing.T) {
	a, b := host("a", true), host("b", true)
	now := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	r := func(n int, target threat.Target, state threat.ResponseState, at time.Time) threat.Response {
		out := threat.Response{Action: threat.Action{Step: plan.WayStep("cut", verb.IsolateHost, n), Verb: verb.IsolateHost, Target: target}, State: state, CreatedAt: at}
		if state.Terminal() {
			out.EndedAt = &at
		}
		return out
	}
	ip := address
	ip.AssetID = on(a).AssetID
	failed := r(1, on(a), threat.ResponseFailed, now)
	n, ok := plan.Next(failed, []threat.Response{failed})
	require.True(t, ok)
	require.Equal(t, 2, n)
	require.False(t, plan.Overtaken(failed, []threat.Response{failed}))
	second := r(2, ip, threat.ResponseHeld, now.Add(time.Minute))
	_, ok = plan.Next(failed, []threat.Response{failed, second})
	require.False(t, ok)
	require.True(t, plan.Overtaken(failed, []threat.Response{failed, second}))
	_, ok = plan.Next(failed, []threat.Response{failed, r(2, on(b), threat.ResponseHeld, now.Add(time.Minute))})
	require.True(t, ok, "another host's way is not this one's")
	_, ok = plan.Next(failed, []threat.Response{failed, r(2, ip, threat.ResponseFailed, now.Add(-time.Hour))})
	require.True(t, ok, "one of an earlier round is over")
	for _, s := range []threat.ResponseState{threat.ResponseDenied, threat.ResponseExpired, threat.ResponseHeld, threat.ResponseReleased} {
		_, ok = plan.Next(r(1, on(a), s, now), nil)
		require.False(t, ok, "%s is no failure", s)
	}
	require.True(t, plan.UnderWay("cut", verb.IsolateHost, on(a), []threat.Response{second}))
	require.False(t, plan.UnderWay("cut", verb.IsolateHost, on(b), []threat.Response{second}))
	require.False(t, plan.UnderWay("cut", verb.IsolateHost, on(a), []threat.Response{failed}))
}
