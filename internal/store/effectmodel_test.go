package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/firebreak/firebreak/internal/threat"
)

// firewall is a simulated device that can hold one block. Requests reach it late, or never, and their answers get lost.
type firewall struct {
	mark    int64         // the generation of ours that it holds; 0: none
	foreign bool          // somebody else's stands there
	became  map[int64]int // how often it went from nothing to ours, by generation
}

func (f *firewall) apply(generation int64) (adopted bool) {
	switch {
	case f.foreign:
		return true
	case f.mark == 0:
		f.became[generation]++
		f.mark = generation
	case f.mark < generation: // a leftover of ours takes the new mark
		f.mark = generation
	}
	return false
}

func (f *firewall) remove(generation int64) (there bool) {
	if f.mark == 0 || f.mark > generation {
		return false
	}
	f.mark = 0
	return true
}

// request is one that went out under a claim.
type request struct {
	claim     threat.Claim
	until     time.Time // from then on it does not reach the device any more
	delivered bool
	adopted   bool
	there     bool
	answered  bool
}

// world is the device, what is on its way to it, and what was read from it and not recorded yet.
type world struct {
	work
	rt       *rapid.T
	dev      *firewall
	rs       []threat.Response
	effect   uuid.UUID
	claims   map[uuid.UUID]threat.Claim // granted
	sent     map[uuid.UUID]*request
	readings []threat.Sighting
	stopped  bool
}

// order gives the sent requests in the order of their claims, so that a failing run can be repeated.
func (x *world) requests(ok func(*request) bool) (out []*request) {
	for _, r := range x.rs {
		of, err := x.s.ClaimsOf(x.ctx, r.ID)
		require.NoError(x.rt, err)
		for _, c := range of {
			if q := x.sent[c.ID]; q != nil && ok(q) {
				out = append(out, q)
			}
		}
	}
	return out
}

func (x *world) unsent() (out []threat.Claim) {
	for _, r := range x.rs {
		of, err := x.s.ClaimsOf(x.ctx, r.ID)
		require.NoError(x.rt, err)
		for _, c := range of {
			if _, ok := x.claims[c.ID]; ok && c.Sends == 0 {
				out = append(out, c)
			}
		}
	}
	return out
}

func (x *world) take(a threat.ClaimAnswer) {
	if a.Verdict == threat.ClaimGranted {
		x.claims[a.Claim.ID] = a.Claim
	}
}

func (x *world) begin(c threat.Claim) {
	got, ok, err := x.s.BeginSend(x.ctx, c.ID, call)
	require.NoError(x.rt, err)
	if !ok {
		return
	}
	require.Nil(x.rt, x.sent[c.ID], "sent twice")
	require.Contains(x.rt, x.claims, c.ID, "sent without a claim")
	require.False(x.rt, x.stopped && c.Kind == threat.ClaimAct, "sent under a stop")
	x.sent[c.ID] = &request{claim: got, until: x.clock.Now().Add(call)}
}

// deliver has a request reach the device.
func (x *world) deliver(q *request) {
	q.delivered = true
	if q.claim.Kind == threat.ClaimAct {
		q.adopted = x.dev.apply(q.claim.Generation)
		return
	}
	q.there = x.dev.remove(q.claim.Generation)
}

// answer has a request's answer arrive, or tells that it will not.
func (x *world) answer(q *request, lost bool) {
	res := threat.ClaimResult{Outcome: threat.OutcomeSuccess, Adopted: q.adopted}
	switch {
	case lost:
		res.Outcome = threat.OutcomeUnknown
	case !q.delivered:
		res.Outcome = threat.OutcomeFailure
	case q.claim.Kind == threat.ClaimRelease && !q.there:
		res.Outcome = threat.OutcomeDoesNotExist
	}
	q.answered = true
	if end := x.clock.Now().Add(settle); res.Outcome != threat.OutcomeUnknown {
		q.until = x.clock.Now()
	} else if end.Before(q.until) { // what is still on its way arrives within the settle time, or not at all
		q.until = end
	}
	require.NoError(x.rt, x.s.FinishClaim(x.ctx, q.claim.ID, res))
}

func (x *world) read() {
	e, err := x.s.Effect(x.ctx, x.effect)
	if threat.Is(err, threat.NotFound) {
		return
	}
	require.NoError(x.rt, err)
	x.readings = append(x.readings, threat.Sighting{EffectID: e.ID, Generation: e.Generation, ResponseID: x.rs[0].ID,
		Ours: x.dev.mark > 0, Foreign: x.dev.mark == 0 && x.dev.foreign, InForce: true, At: x.clock.Now()})
}

func (x *world) record(s threat.Sighting) {
	_, err := x.s.RecordSighting(x.ctx, s)
	require.NoError(x.rt, err)
}

// check holds the promises against where the store and the device stand.
func (x *world) check() {
	for generation, n := range x.dev.became {
		require.LessOrEqual(x.rt, n, 1, "generation %d took effect twice", generation)
	}
	e, err := x.s.Effect(x.ctx, x.effect)
	if threat.Is(err, threat.NotFound) {
		require.Zero(x.rt, x.dev.mark, "an effect without a claim")
		return
	}
	require.NoError(x.rt, err)
	holders := 0
	for i, r := range x.rs {
		r = x.response(r)
		x.rs[i] = r
		h := r.Holders[0]
		if h.State == threat.HolderHolding {
			require.Equal(x.rt, e.Generation, h.Generation)
			require.Nil(x.rt, r.EndedAt, "it ended and holds something")
			holders++
		}
		if r.State == threat.ResponseHeld {
			require.Contains(x.rt, []threat.EffectState{threat.EffectInForce, threat.EffectReleasing, threat.EffectUnknown}, e.State,
				"held, and the device never said so")
			require.Equal(x.rt, threat.HolderHolding, h.State)
		}
	}
	if e.State == threat.EffectAbsent {
		require.Zero(x.rt, holders, "held, and not there")
		require.Zero(x.rt, x.dev.mark, "on the device, and the store does not know it")
		return
	}
	require.Positive(x.rt, holders, "%s without a holder", e.State)
	if e.Adopted && x.dev.mark == 0 {
		require.True(x.rt, x.dev.foreign, "what was there before us was undone")
	}
}

// drain ends everything, and works on it as the workflows do until it is over.
func (x *world) drain() {
	if x.stopped {
		_, err := x.s.SetStop(x.ctx, x.o.ID, false, "over", threat.SystemActor)
		require.NoError(x.rt, err)
	}
	for _, r := range x.rs {
		if _, err := x.s.EndHold(x.ctx, r.ID, "over", threat.SystemActor); err != nil {
			require.True(x.rt, threat.Is(err, threat.Conflict), err)
		}
	}
	for range 12 {
		open := 0
		for _, r := range x.rs {
			if r = x.response(r); r.EndedAt != nil {
				continue
			}
			open++
			a := x.release(r)
			x.take(a)
			if a.Verdict == threat.ClaimGranted {
				x.begin(a.Claim)
				if q := x.sent[a.Claim.ID]; q != nil && !q.delivered && !q.answered {
					x.deliver(q)
					x.answer(q, false)
				}
			}
		}
		x.clock.Advance(lease)
		x.readings = nil
		x.read()
		for _, s := range x.readings {
			x.record(s)
		}
		if open == 0 {
			break
		}
	}
	x.check()
	for _, r := range x.rs {
		r = x.response(r)
		require.NotNil(x.rt, r.EndedAt, "%s: %s", r.State, r.Why)
	}
	require.Zero(x.rt, x.dev.mark, "nothing of ours is left")
	flying, err := x.s.InFlight(x.ctx, x.o.ID)
	require.NoError(x.rt, err)
	for _, c := range flying {
		require.NotEqual(x.rt, x.effect, c.EffectID, "a claim is never settled")
	}
}

func TestTheLifeOfAnEffect(t *testing.T) {
	w := newWork(t, threat.ModeAuthorize)
	cases := []work{w, w.in(w.openCase()), w.in(w.openCase())}
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		w.clock.Advance(2 * time.Hour) // a fresh budget
		n++
		x := &world{work: w, rt: rt, dev: &firewall{became: map[int64]int{}}, claims: map[uuid.UUID]threat.Claim{}, sent: map[uuid.UUID]*request{}}
		x.dev.foreign = rapid.IntRange(0, 9).Draw(rt, "foreign") == 0
		for _, c := range cases {
			x.rs = append(x.rs, c.acting(address(n)))
		}
		x.effect = x.rs[0].Holders[0].EffectID
		one := func(label string, of int) int { return rapid.IntRange(0, of-1).Draw(rt, label) }
		pick := func(label string, qs []*request) *request {
			if len(qs) == 0 {
				rt.Skip("none")
			}
			return qs[one(label, len(qs))]
		}
		claim := func(rt *rapid.T) {
			a, err := w.s.Claim(w.ctx, threat.ClaimRequest{ResponseID: x.rs[one("response", len(x.rs))].ID, ConnectionID: w.conn.ID})
			require.NoError(rt, err)
			x.take(a)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"claim":  claim,
			"claim2": claim,
			"begin": func(rt *rapid.T) {
				cs := x.unsent()
				if len(cs) == 0 {
					rt.Skip("none")
				}
				x.begin(cs[one("claim", len(cs))])
			},
			"deliver": func(rt *rapid.T) {
				x.deliver(pick("request", x.requests(func(q *request) bool {
					return !q.delivered && w.clock.Now().Before(q.until)
				})))
			},
			"answer": func(rt *rapid.T) {
				q := pick("request", x.requests(func(q *request) bool { return !q.answered }))
				x.answer(q, one("lost", 3) == 0)
			},
			"answer twice": func(rt *rapid.T) {
				q := pick("request", x.requests(func(q *request) bool { return q.answered }))
				require.NoError(rt, w.s.FinishClaim(w.ctx, q.claim.ID, threat.ClaimResult{Outcome: threat.OutcomeUnknown}))
			},
			"read": func(*rapid.T) { x.read() },
			"record": func(rt *rapid.T) {
				if len(x.readings) == 0 {
					rt.Skip("none")
				}
				x.record(x.readings[one("reading", len(x.readings))]) // any of them, however old, and more than once
			},
			"look": func(*rapid.T) {
				if x.read(); len(x.readings) > 0 {
					x.record(x.readings[len(x.readings)-1])
				}
			},
			"lapse": func(*rapid.T) {
				for _, c := range x.unsent() {
					if err := w.s.LapseClaim(w.ctx, c.ID); err != nil {
						require.True(rt, threat.Is(err, threat.Conflict), err)
					}
				}
			},
			"end": func(rt *rapid.T) {
				if _, err := w.s.EndHold(w.ctx, x.rs[one("response", len(x.rs))].ID, "enough", threat.SystemActor); err != nil {
					require.True(rt, threat.Is(err, threat.Conflict), err)
				}
			},
			"release": func(rt *rapid.T) {
				r := x.rs[one("response", len(x.rs))]
				if r.Ending == "" {
					rt.Skip("not ended")
				}
				x.take(w.release(r))
			},
			"lose": func(*rapid.T) { x.dev.mark = 0 }, // somebody flushes the device
			"stop": func(*rapid.T) {
				x.stopped = !x.stopped
				_, err := w.s.SetStop(w.ctx, w.o.ID, x.stopped, "test", threat.SystemActor)
				require.NoError(rt, err)
			},
			"decide": func(*rapid.T) { // what a fact moved under is decided anew
				for _, r := range x.rs {
					if r = w.response(r); r.State == threat.ResponseStale && !x.stopped {
						w.apply(r, w.in(threat.Case{ID: r.CaseID}).decision(threat.Execute))
					}
				}
			},
			"wait": func(rt *rapid.T) {
				w.clock.Advance(time.Duration(rapid.SampledFrom([]int{1, 3, 10, 20, 61}).Draw(rt, "seconds")) * time.Second)
			},
			"": func(*rapid.T) { x.check() },
		})
		x.drain()
	})
	require.Empty(t, w.verified().Problems)
	t.Log(fmt.Sprintf("%d lives", n))
}
