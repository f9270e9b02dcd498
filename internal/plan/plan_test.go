package plan_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/plan"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

func id(name string) uuid.UUID { return threat.DerivedID("test", name) }

func connection(name, adapter string) threat.Connection {
	return threat.Connection{ID: id(name), Name: name, Adapter: adapter, ReachedFrom: threat.ReachedFromServer, Enabled: true}
}

func able(adapter, v string) bool {
	return adapter == "feed" || adapter == "nftables" && v == verb.BlockIP
}

var address = threat.Target{Kind: threat.TargetIP, Value: "203.0.113.9"}

func TestConnectionsAreThoseThatCanSortedById(t *testing.T) {
	list := []threat.Connection{connection("b", "nftables"), connection("a", "feed"), connection("mail", "smtp"), connection("c", "feed")}
	ids, left := plan.Connections(verb.BlockIP, address, list, able)
	require.Empty(t, left)
	require.ElementsMatch(t, []uuid.UUID{id("a"), id("b"), id("c")}, ids)
	require.True(t, slices.IsSortedFunc(ids, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }))
	slices.Reverse(list)
	again, _ := plan.Connections(verb.BlockIP, address, list, able)
	require.Equal(t, ids, again, "the order in which they are listed changes nothing")

	ids, _ = plan.Connections(verb.BlockDomain, threat.Target{Kind: threat.TargetDomain, Value: "bad.example"}, list, able)
	require.ElementsMatch(t, []uuid.UUID{id("a"), id("c")}, ids)
}

func TestWhatIsLeftOutIsTold(t *testing.T) {
	off, away := connection("off\u202e", "feed"), connection("away", "nftables")
	off.Enabled = false
	away.ReachedFrom = "relay:1"
	ids, left := plan.Connections(verb.BlockIP, address, []threat.Connection{off, away, connection("mail", "smtp")}, able)
	require.Empty(t, ids)
	require.Len(t, left, 2, "a channel to people was never meant")
	told := plan.Told(left)
	require.Contains(t, told, "off\uFFFD (it is disabled)")
	require.Contains(t, told, "away (it is not reached from this server)")
	require.Empty(t, plan.Told(nil))
}

func TestAVerbThatCannotActOnTheTargetGoesThroughNothing(t *testing.T) {
	list := []threat.Connection{connection("a", "feed")}
	ids, left := plan.Connections(verb.BlockDomain, address, list, able)
	require.Empty(t, ids)
	require.Empty(t, left)
	ids, _ = plan.Connections("format_disk", address, list, able)
	require.Empty(t, ids)
}

func TestComplete(t *testing.T) {
	a, err := plan.Complete(threat.Action{Verb: verb.BlockIP, Target: threat.Target{Kind: threat.TargetIP, Value: "::ffff:203.0.113.9"}})
	require.NoError(t, err)
	require.Equal(t, address, a.Target)
	require.Equal(t, map[string]string{"direction": "both"}, a.Params)
	require.Zero(t, a.Duration, "policy decides")
	_, err = plan.Complete(threat.Action{Verb: "format_disk", Target: address})
	require.True(t, threat.Is(err, threat.Unsupported), "%v", err)
	_, err = plan.Complete(threat.Action{Verb: verb.BlockIP, Target: threat.Target{Kind: threat.TargetIP, Value: "here"}})
	require.True(t, threat.Is(err, threat.Invalid), "%v", err)
}

func TestRound(t *testing.T) {
	now := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	ended := now.Add(-time.Minute)
	response := func(round int, state threat.ResponseState, ended *time.Time) threat.Response {
		return threat.Response{Action: threat.Action{Step: "block", Target: address, Round: round}, State: state, EndedAt: ended}
	}
	other := response(7, threat.ResponseHeld, nil)
	other.Step = "another"
	for name, c := range map[string]struct {
		among    []threat.Response
		received time.Time
		want     int
	}{
		"the first":                           {nil, now, 1},
		"another step's do not count":         {[]threat.Response{other}, now, 1},
		"one under way is enough":             {[]threat.Response{response(1, threat.ResponseAsked, nil)}, now, 0},
		"also when it is held":                {[]threat.Response{response(1, threat.ResponseHeld, nil)}, now, 0},
		"again after a release":               {[]threat.Response{response(1, threat.ResponseReleased, &ended)}, now, 2},
		"after an expiry":                     {[]threat.Response{response(1, threat.ResponseExpired, &ended)}, now, 2},
		"after a failure":                     {[]threat.Response{response(1, threat.ResponseFailed, &ended)}, now, 2},
		"after it was overtaken":              {[]threat.Response{response(1, threat.ResponseSuperseded, &ended)}, now, 2},
		"not for an older detection":          {[]threat.Response{response(1, threat.ResponseReleased, &ended)}, ended.Add(-time.Second), 0},
		"not for one of the same moment":      {[]threat.Response{response(1, threat.ResponseReleased, &ended)}, ended, 0},
		"not soon after a no":                 {[]threat.Response{response(1, threat.ResponseDenied, &ended)}, now, 0},
		"later after a no":                    {[]threat.Response{response(1, threat.ResponseDenied, &ended)}, ended.Add(time.Hour), 2},
		"the newest round counts, not a past": {[]threat.Response{response(2, threat.ResponseHeld, nil), response(1, threat.ResponseReleased, &ended)}, now, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, why := plan.Round("block", address, c.received, c.among, time.Hour)
			require.Equal(t, c.want, got)
			require.Equal(t, got == 0, why != "")
		})
	}
}

func TestLastRounds(t *testing.T) {
	r := func(step string, round int) threat.Response {
		return threat.Response{Action: threat.Action{Step: step, Target: address, Round: round}}
	}
	got := plan.LastRounds([]threat.Response{r("a", 2), r("b", 1), r("a", 1), r("b", 3)})
	require.Equal(t, []threat.Response{r("a", 2), r("b", 3)}, got)
}
