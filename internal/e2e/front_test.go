//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/api/client"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/ingest"
	"github.com/firebreak/firebreak/internal/lab"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// hasty are settings at which blocks last seconds, and are released when their time is up.
func hasty() tenant.Settings {
	end, rounds := threat.EndRelease, 1
	return tenant.Settings{BlockFor: tenant.In(6 * time.Second), BlockMax: tenant.In(time.Hour), BlockEnd: &end,
		RequestOpen: tenant.In(10 * time.Minute), StepWait: tenant.In(2 * time.Second), Rounds: &rounds, Reverify: tenant.In(2 * time.Second),
		Settle: tenant.In(time.Second), Call: tenant.In(2 * time.Second), Lease: tenant.In(6 * time.Second),
		DedupWithin: tenant.In(time.Second), CorrelateWithin: tenant.In(2 * time.Second), QuietClose: tenant.In(4 * time.Second)}
}

// Front is a customer with a simulated network, which runs outside of the server and outlives its kills.
type Front struct {
	*Customer
	Net   *lab.Network
	Feed  threat.Connection
	token string // the firewall's
}

// NewFront sets a customer up whose simulated firewall polls the feeds of some servers, of the admin's own when none is named.
func NewFront(admin *User, slug string, mode threat.Mode, set tenant.Settings, servers ...*Server) *Front {
	t := admin.server.t
	t.Helper()
	f := &Front{Customer: NewCustomer(admin, slug, mode, set)}
	f.Feed = f.Connect("feed", "firewall", map[string]string{"interval": "1"})
	f.token = f.Token(wire.NewToken{Org: slug, Role: threat.Firewall, Name: "firewall", ConnectionID: &f.Feed.ID})
	if len(servers) == 0 {
		servers = []*Server{admin.server}
	}
	var lists []string
	for _, s := range servers {
		lists = append(lists, s.URL+"/feeds/"+f.token)
	}
	f.Net = must[*lab.Network](t)(lab.NewNetwork(lab.NetworkOptions{SensorURL: f.Sensor("suricata"), SensorToken: f.SensorToken,
		Feed: lists, Pace: lab.Pace{Poll: 250 * time.Millisecond, Beat: 150 * time.Millisecond, Repeat: 700 * time.Millisecond}}))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f.Net.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	Eventually(t, 20*time.Second, "the firewall has fetched its lists", func() bool {
		return !f.Net.Firewall.View().LastFetch.IsZero()
	})
	return f
}

// campaign has one controller after another give orders, some of them again later, until ctx ends. Then nothing is infected.
func (f *Front) campaign(ctx context.Context, rng *rand.Rand, controllers int) {
	defer f.Net.Heal()
	for i := 0; ctx.Err() == nil; i++ {
		n := i
		if i >= controllers || i > 0 && rng.IntN(3) == 0 {
			n = rng.IntN(min(i, controllers))
		}
		f.Net.Infect(fmt.Sprintf("203.0.113.%d", 1+n), fmt.Sprintf("c2-%d.%s.example", n, f.Slug), nil)
		f.pass(ctx, 1500*time.Millisecond+time.Duration(rng.Int64N(int64(2500*time.Millisecond))))
		f.Net.LeaveC2()
		f.pass(ctx, time.Duration(rng.Int64N(int64(time.Second))))
	}
}

func (f *Front) pass(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// granted is what an entry of a granted claim says.
type granted struct {
	threat.Claim
	Seq    int64         `json:"-"` // of the entry
	Verb   string        `json:"verb"`
	Target threat.Target `json:"target"`
}

// grants reads the claims that a journal granted, in order.
func grants(t testing.TB, entries []threat.Entry) []granted {
	t.Helper()
	var out []granted
	for _, e := range entries {
		if e.Kind != threat.EntryClaimGranted {
			continue
		}
		var g granted
		if err := json.Unmarshal(e.Payload, &g); err != nil || g.ID == uuid.Nil || g.Target.Value == "" {
			t.Fatalf("entry %d cannot be read: %v: %s", e.Seq, err, e.Payload)
		}
		g.Seq = e.Seq
		out = append(out, g)
	}
	return out
}

// settled waits until nothing is under way any more: every detection is triaged, every response has ended, every case is
// closed or waits for people.
func (f *Front) settled(most time.Duration) {
	f.t.Helper()
	left := ""
	defer func() {
		if f.t.Failed() {
			f.t.Logf("%s: %s", f.Slug, left)
		}
	}()
	Eventually(f.t, most, f.Slug+" comes to rest", func() bool {
		left = ""
		if v := f.Net.Sensor.View(); v.Queued > 0 {
			left = fmt.Sprintf("%d records are not accepted: %s", v.Queued, v.Trouble)
			return false
		}
		var waiting wire.List[threat.Detection]
		f.Contact.get("/v1/tenants/"+f.Slug+"/detections?state=received", &waiting)
		if len(waiting.Items) > 0 {
			left = fmt.Sprintf("%d detections are not triaged", len(waiting.Items))
			return false
		}
		for _, k := range f.AllCases() {
			for _, r := range f.Responses(k.Name) {
				if !r.State.Terminal() {
					left += fmt.Sprintf("%s: %s %s is %s (%s); ", k.Name, r.Verb, r.Target.Value, r.State, r.Why)
				}
			}
			if k.Open() && k.Threat == threat.ThreatContained {
				left += k.Name + " is contained and open; "
			}
		}
		return left == ""
	})
}

// AllCases gives every case of the tenant.
func (c *Customer) AllCases() []wire.Case {
	c.t.Helper()
	var out []wire.Case
	for cursor := ""; ; {
		page := must[wire.Page[wire.Case]](c.t)(c.Contact.Cases(c.t.Context(), c.Slug, "", cursor, 200))
		out = append(out, page.Items...)
		if cursor = page.Next; cursor == "" {
			return out
		}
	}
}

// tally is what sound has counted.
type tally struct {
	accepted, assigned, suppressed, duplicates   int
	cases, open, responses, claims, acts, appear int
	states                                       map[threat.ResponseState]int
}

// plus adds two of them up.
func (n tally) plus(m tally) tally {
	out := tally{n.accepted + m.accepted, n.assigned + m.assigned, n.suppressed + m.suppressed, n.duplicates + m.duplicates,
		n.cases + m.cases, n.open + m.open, n.responses + m.responses, n.claims + m.claims, n.acts + m.acts, n.appear + m.appear,
		map[threat.ResponseState]int{}}
	for _, states := range []map[threat.ResponseState]int{n.states, m.states} {
		for state, count := range states {
			out.states[state] += count
		}
	}
	return out
}

// sound holds the promises against what happened: nothing accepted is lost or belongs twice, nothing was done twice, and what
// was let go is gone.
func (f *Front) sound(accepted []uuid.UUID) tally {
	t := f.t
	t.Helper()
	entries := f.Journal()
	n := tally{accepted: len(accepted), states: map[threat.ResponseState]int{}}
	fate := map[string]int{}
	for _, e := range entries {
		switch e.Kind {
		case threat.EntryDetectionAssigned:
			n.assigned++
		case threat.EntryDetectionSuppressed:
			n.suppressed++
		case threat.EntryDetectionDuplicate:
			n.duplicates++
		default:
			continue
		}
		fate[e.Subject]++
	}
	for _, id := range accepted {
		if got := fate["detection:"+id.String()]; got != 1 {
			t.Errorf("%s: detection %s was accepted, and belongs to %d cases and suppressions", f.Slug, id, got)
		}
		var d wire.Detection
		f.Contact.get("/v1/detections/"+id.String(), &d)
		if d.State == threat.DetectionReceived || (d.State == threat.DetectionSuppressed) == d.CaseID.Valid {
			t.Errorf("%s: detection %s is %s, its case is %v", f.Slug, id, d.State, d.CaseID)
		}
	}
	type generation struct {
		effect uuid.UUID
		number int64
	}
	acts, by := map[generation]int{}, map[string]int{}
	for _, g := range grants(t, entries) {
		n.claims++
		if g.Kind != threat.ClaimAct {
			continue
		}
		n.acts++
		by[g.Target.Value]++
		at := generation{g.EffectID, g.Generation}
		if acts[at]++; acts[at] > 1 {
			t.Errorf("%s: two claims act on generation %d of %s", f.Slug, g.Generation, g.Target.Value)
		}
	}
	for value, c := range f.Net.Firewall.View().Changes {
		n.appear += c.Appeared
		if c.Appeared > by[value] {
			t.Errorf("%s: %s came into force %d times, under %d claims", f.Slug, value, c.Appeared, by[value])
		}
	}
	for _, k := range f.AllCases() {
		n.cases++
		if k.Open() {
			n.open++
		}
		for _, r := range f.Responses(k.Name) {
			n.responses++
			n.states[r.State]++
			if r.State != threat.ResponseReleased && r.State != threat.ResponseHeld {
				t.Logf("%s: %s %s is %s: %s", k.Name, r.Verb, r.Target.Value, r.State, r.Why)
			}
			a := must[client.Action](t)(f.Contact.Action(t.Context(), r.ID.String()))
			for _, c := range a.Claims {
				if c.Sends > 1 {
					t.Errorf("%s: %d requests went out under claim %s", f.Slug, c.Sends, c.ID)
				}
				if c.ResultAt == nil {
					t.Errorf("%s: claim %s (%s of %s) has no result", f.Slug, c.ID, c.Kind, r.Target.Value)
				}
			}
		}
	}
	t.Logf("%s: %+v", f.Slug, n)
	return n
}

// released fails when the firewall still enforces something.
func (f *Front) released() {
	f.t.Helper()
	Eventually(f.t, 10*time.Second, f.Slug+"'s firewall enforces nothing", func() bool {
		return len(f.Net.Firewall.View().Enforced) == 0
	})
}

// proved has the server's journal checked where its data lie.
func (s *Server) proved() {
	s.t.Helper()
	var flags []string
	for i, flag := range s.Flags {
		if flag == "--database-url" || flag == "--key-file" {
			flags = append(flags, flag, s.Flags[i+1])
		}
	}
	s.VerifyJournal(flags...)
}

// attack is an OCSF finding: addresses outside attack a host inside.
func attack(uid string, addresses ...string) json.RawMessage {
	var seen []any
	for _, a := range addresses {
		seen = append(seen, map[string]any{"src_endpoint": map[string]any{"ip": a}, "dst_endpoint": map[string]any{"ip": "10.0.0.7"}})
	}
	b, err := json.Marshal(map[string]any{"activity_id": 1, "category_uid": 2, "class_uid": 2004, "type_uid": 200401, "severity_id": 4,
		"time": time.Now().UnixMilli(), "metadata": map[string]any{"version": "1.8.0", "product": map[string]any{"name": "Sensor",
			"vendor_name": "Example"}}, "finding_info": map[string]any{"uid": uid, "title": "Attack " + uid}, "evidences": seen})
	if err != nil {
		panic(err) // texts and numbers only
	}
	return b
}

// post sends findings to a server with the customer's sensor token, to the admin's own when none is named, and gives the ids
// that were accepted.
func (c *Customer) post(s *Server, findings ...json.RawMessage) []uuid.UUID {
	c.t.Helper()
	body := must[[]byte](c.t)(json.Marshal(findings))
	return must[ingest.Receipt](c.t)(s.Client(c.SensorToken).Post(c.t.Context(), c.Slug, "", body)).IDs
}

// approve clicks on what a person is asked about a target, and gives what the door said.
func (c *Customer) approve(who *User, target string, most time.Duration) threat.ClickAnswer {
	c.t.Helper()
	var q wire.Request
	Eventually(c.t, most, "somebody is asked about "+target, func() bool {
		for _, q = range must[[]wire.Request](c.t)(who.Requests(c.t.Context(), c.Slug)) {
			if q.Body.Targets[0].Value == target {
				return true
			}
		}
		return false
	})
	return must[threat.ClickAnswer](c.t)(who.Decide(c.t.Context(), q.ID.String(), wire.Verdict{Verdict: threat.VerdictApprove, Digest: q.Digest}))
}

// about waits until the newest response about a target stands in one of some states.
func (c *Customer) about(target string, most time.Duration, states ...threat.ResponseState) wire.Response {
	c.t.Helper()
	var r wire.Response
	defer func() {
		if c.t.Failed() {
			c.t.Logf("%s is %s: %s", target, r.State, r.Why)
		}
	}()
	Eventually(c.t, most, fmt.Sprintf("the response about %s is %v", target, states), func() bool {
		for _, k := range c.AllCases() {
			for _, x := range c.Responses(k.Name) {
				if x.Target.Value == target && !x.CreatedAt.Before(r.CreatedAt) {
					r = x
				}
			}
		}
		for _, state := range states {
			if r.State == state {
				return true
			}
		}
		return false
	})
	return r
}

// list fetches the feed's addresses from a server, as the firewall does.
func (f *Front) list(s *Server) string {
	f.t.Helper()
	res := must[*http.Response](f.t)(http.Get(s.URL + "/feeds/" + f.token + "/ips.txt"))
	defer res.Body.Close()
	b := must[[]byte](f.t)(io.ReadAll(res.Body))
	if res.StatusCode != http.StatusOK {
		f.t.Fatalf("the feed answers %d: %s", res.StatusCode, b)
	}
	return string(b)
}

// enforced waits until the simulated firewall drops a value, or lets it through again.
func (f *Front) enforced(value string, on bool, most time.Duration) {
	f.t.Helper()
	Eventually(f.t, most, fmt.Sprintf("that %s is dropped is %v", value, on), func() bool {
		return (f.Net.Firewall.Drops(value, "") != "") == on
	})
}
