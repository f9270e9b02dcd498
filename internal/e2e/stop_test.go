//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// waitingResponses is how many responses wait when the switch is turned.
const waitingResponses = 1000

// approvals are given before it is turned, twice. All of them are acted on in the end, within the hour's budget.
const approvals = 18

// crowd puts n questions to a customer who collaborates, and gives the detections' ids.
func (f *Front) crowd(n, perFinding int) []uuid.UUID {
	f.t.Helper()
	var findings []json.RawMessage
	for i := 0; i < n; i += perFinding {
		var addresses []string
		for j := i; j < min(n, i+perFinding); j++ {
			addresses = append(addresses, fmt.Sprintf("198.51.%d.%d", 100+j/250, 1+j%250))
		}
		findings = append(findings, attack(fmt.Sprintf("crowd-%d", i), addresses...))
	}
	return f.post(f.server, findings...)
}

// states counts the responses by where they stand.
func (f *Front) states() map[threat.ResponseState]int {
	f.t.Helper()
	n := map[threat.ResponseState]int{}
	for _, k := range f.AllCases() {
		for _, r := range f.Responses(k.Name) {
			n[r.State]++
		}
	}
	return n
}

// clickers have a contact approve whatever waits, several at once: some requests at first, and as many as they can once let
// loose. Refused counts what the door did not take.
type clickers struct {
	accepted, refused atomic.Int64
	some              chan struct{}
	all               sync.WaitGroup
	stop              context.CancelFunc
}

func (f *Front) click(ctx context.Context, hands, some int) *clickers {
	ctx, stop := context.WithCancel(ctx)
	c := &clickers{stop: stop, some: make(chan struct{}, some)}
	for range some {
		c.some <- struct{}{}
	}
	queue := make(chan wire.Request)
	c.all.Go(func() {
		defer close(queue)
		for ctx.Err() == nil {
			open, err := f.Contact.Requests(ctx, f.Slug)
			if err != nil {
				continue // a stop refuses nobody's reading; the test's end does
			}
			for _, q := range open {
				select {
				case queue <- q:
				case <-ctx.Done():
					return
				}
			}
		}
	})
	for range hands {
		c.all.Go(func() {
			for q := range queue {
				select {
				case <-c.some:
				case <-ctx.Done():
					return
				}
				a, err := f.Contact.Decide(ctx, q.ID.String(), wire.Verdict{Verdict: threat.VerdictApprove, Digest: q.Digest})
				if err == nil && a.Accepted {
					c.accepted.Add(1)
				} else {
					c.refused.Add(1)
				}
			}
		})
	}
	return c
}

func (c *clickers) loose() { close(c.some) }

func (c *clickers) rest() {
	c.stop()
	c.all.Wait()
}

// since gives the claims to act that were granted behind an entry of the journal, and the entry itself: the newest of a kind.
func (f *Front) since(kind threat.EntryKind) (threat.Entry, []granted, int) {
	f.t.Helper()
	entries := f.Journal()
	i := len(entries) - 1
	for ; i >= 0 && entries[i].Kind != kind; i-- {
	}
	if i < 0 {
		f.t.Fatalf("the journal has no entry %s", kind)
	}
	var behind []granted
	before := 0
	for _, g := range grants(f.t, entries) {
		switch {
		case g.Kind == threat.ClaimRelease:
		case g.Seq > entries[i].Seq:
			behind = append(behind, g)
		default:
			before++
		}
	}
	return entries[i], behind, before
}

// TestNothingIsClaimedBehindAStop has a thousand responses wait and people approve them as fast as they can. Then the stop
// switch is turned, later the mode is narrowed: by the order of the journal not one claim is granted behind either.
func TestNothingIsClaimedBehindAStop(t *testing.T) {
	s := StartServer(t)
	admin := s.SignIn(s.Link)
	set := hasty()
	set.BlockFor, set.CorrelateWithin = tenant.In(20*time.Minute), tenant.In(time.Hour)
	f := NewFront(admin, "crowded", threat.ModeCollaborate, set)
	began := time.Now()
	ids := f.crowd(waitingResponses, 10)
	Eventually(t, 6*time.Minute, "all responses wait for people", func() bool { return f.states()[threat.ResponseAsked] == waitingResponses })
	t.Logf("%d responses wait after %s", waitingResponses, time.Since(began).Round(time.Second))

	claims, after := 0, int64(0)
	counted := func() int {
		for {
			page := must[wire.JournalPage](t)(admin.Journal(t.Context(), f.Slug, after, 500))
			claims += len(grants(t, page.Items))
			if len(page.Items) > 0 {
				after = page.Items[len(page.Items)-1].Seq
			}
			if page.Next == 0 {
				return claims
			}
		}
	}
	behind := func(kind threat.EntryKind, moving []threat.ResponseState, turn func()) {
		t.Helper()
		first := counted()
		hands := f.click(t.Context(), 8, approvals)
		Eventually(t, time.Minute, "the first approvals are acted on", func() bool { return counted() >= first+3 })
		turn()
		hands.loose()
		// Clicks go on, and whatever was approved before it has its chance to claim.
		clicked := hands.accepted.Load() + hands.refused.Load()
		Eventually(t, time.Minute, "people click on", func() bool { return hands.accepted.Load()+hands.refused.Load() > clicked+20 })
		hands.rest()
		f.atRest(moving...)
		t.Logf("then they stand at %v", f.states())
		entry, late, before := f.since(kind)
		t.Logf("%s is entry %d: %d claims before it, %d clicks were accepted and %d refused", kind, entry.Seq, before, hands.accepted.Load(),
			hands.refused.Load())
		for _, g := range late {
			t.Errorf("entry %d grants %s of %s behind %s in entry %d", g.Seq, g.Kind, g.Target.Value, kind, entry.Seq)
		}
	}
	acting := []threat.ResponseState{threat.ResponseActing, threat.ResponseUnknown}
	moving := append([]threat.ResponseState{threat.ResponseProposed, threat.ResponseStale}, acting...)
	behind(threat.EntryStopChanged, acting, func() {
		stopped := must[wire.Stopped](t)(f.Contact.SetStop(t.Context(), f.Slug, true, "we look first"))
		t.Logf("%d claims were in flight", len(stopped.InFlight))
	})
	must[wire.Stopped](t)(f.Contact.SetStop(t.Context(), f.Slug, false, "go on"))
	f.atRest(moving...) // what waits has been decided anew
	t.Logf("without the stop they stand at %v", f.states())
	behind(threat.EntryModeChanged, moving, func() { f.SetMode(threat.ModeNotify) })
	for _, id := range ids {
		var d wire.Detection
		f.Contact.get("/v1/detections/"+id.String(), &d)
		if d.State != threat.DetectionAssigned {
			t.Errorf("detection %s is %s", id, d.State)
		}
	}
	s.proved()
}

// atRest waits until no response stands in some states.
func (f *Front) atRest(moving ...threat.ResponseState) {
	f.t.Helper()
	Eventually(f.t, 4*time.Minute, fmt.Sprintf("no response is %v", moving), func() bool {
		states := f.states()
		return !slices.ContainsFunc(moving, func(s threat.ResponseState) bool { return states[s] > 0 })
	})
}
