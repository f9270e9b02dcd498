package activities_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/threat"
)

func TestALyingDeviceIsFoundOut(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	w.lies = true
	k := h.detect()
	h.play(5 * time.Minute)
	r := h.last(k)
	require.Equal(t, threat.ResponseFailed, r.State)
	require.Contains(t, r.Why, "the device does not show it")
	require.Equal(t, 3, w.seen("apply"), "a generation each")
	require.Equal(t, threat.ThreatActive, h.theCase(k).Threat)
	require.Equal(t, 1, h.paged("failed"))
	w.lies = false
	h.detect()
	h.play(5 * time.Second)
	require.Equal(t, threat.ResponseHeld, h.last(k).State, "a new detection begins a new round")
	require.Equal(t, 2, h.last(k).Round)
	h.sound()
}

func TestADeviceThatSaysNoForGoodIsNotTriedOn(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	w.apply = func() error { return threat.Faultf(threat.Unsupported, "this model cannot") }
	k := h.detect()
	h.play(time.Minute)
	require.Equal(t, threat.ResponseFailed, h.last(k).State)
	require.Equal(t, 1, w.seen("apply"))
}

func TestADeviceThatIsAwayIsTriedLater(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	w.apply = times(3, &threat.Fault{Kind: threat.Unavailable, What: "nobody answers"})
	k := h.detect()
	h.play(2 * time.Minute)
	require.Equal(t, threat.ResponseHeld, h.last(k).State, h.last(k).Why)
	require.Equal(t, 4, w.seen("apply"))
	h.sound()
}

func TestADeviceThatIsAwayForLongIsToldAndTriedOn(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	w.apply = func() error { return threat.Faultf(threat.Unavailable, "nobody answers") }
	k := h.detect()
	h.play(40 * time.Minute)
	require.Equal(t, threat.ResponseActing, h.last(k).State, h.last(k).Why)
	require.Equal(t, 1, h.paged("could not be reached"))
	require.Less(t, w.seen("apply"), 10, "each try counts in the budget")
	w.apply = nil
	h.play(16 * time.Minute)
	require.Equal(t, threat.ResponseHeld, h.last(k).State, h.last(k).Why)
	w.apply = func() error { return threat.Faultf(threat.Unavailable, "nobody answers") }
	never := h.detectAnd([]func(*threat.Triage){propose("203.0.113.90")})
	h.play(5 * time.Hour)
	require.Equal(t, threat.ResponseFailed, h.last(never).State)
	h.sound()
}

func TestADeviceThatWantsToBeLeftAloneIs(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	w.apply = times(1, &threat.Fault{Kind: threat.RateLimited, What: "too many", RetryAfter: 90 * time.Second})
	k := h.detect()
	h.play(85 * time.Second)
	require.Equal(t, 1, w.seen("apply"))
	h.play(10 * time.Second)
	require.Equal(t, threat.ResponseHeld, h.last(k).State, h.last(k).Why)
}

func TestADeviceThatCannotBeReadKeepsItsStateAndIsTold(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	w.read = func() error { return threat.Faultf(threat.Unavailable, "nobody answers") }
	k := h.detect()
	h.play(10 * time.Minute)
	require.Equal(t, threat.ResponseActing, h.last(k).State, "nothing is called contained before the device said so")
	require.Equal(t, threat.ThreatActive, h.theCase(k).Threat)
	require.Equal(t, 1, h.paged("cannot be read"))
	require.Equal(t, 1, w.seen("apply"))
	reads := w.seen("read")
	require.Less(t, reads, 20, "it is asked less and less often")
	w.read = nil
	h.play(6 * time.Minute)
	require.Equal(t, threat.ResponseHeld, h.last(k).State)
	h.sound()
}

func TestAHeldResponseThatCannotBeReadStaysHeld(t *testing.T) {
	h := newHouse(t, threat.ModeAuthorize)
	w := h.wall("wall")
	k := h.detect()
	h.play(3 * time.Second)
	w.read = func() error { return threat.Faultf(threat.Unavailable, "nobody answers") }
	h.play(30 * time.Minute)
	require.Equal(t, threat.ResponseHeld, h.last(k).State)
	require.Equal(t, 1, h.paged("cannot be read"))
	w.read = nil
	h.play(6 * time.Minute)
	before := w.seen("read")
	h.play(20 * time.Minute)
	require.InDelta(t, 4, w.seen("read")-before, 1, "back to every five minutes")
	h.sound()
}
