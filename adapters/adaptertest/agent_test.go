package adaptertest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/adapters/adaptertest"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// agents is a made-up endpoint product: processes that can be ended, and scans that run as jobs and bear a comment.
type agents struct {
	mu     sync.Mutex
	now    time.Time
	alive  map[string]bool   // by target
	scans  map[string][]scan // by asset
	killed map[string]string // by target: the comment of who ended it
}

type scan struct {
	Comment string `json:"comment"`
	Done    bool   `json:"done"`
}

func (p *agents) clock() time.Time { p.mu.Lock(); defer p.mu.Unlock(); return p.now }

func (p *agents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kind, id, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	var in struct{ Comment string }
	if r.Method == http.MethodPost && json.NewDecoder(r.Body).Decode(&in) != nil {
		w.WriteHeader(400)
		return
	}
	switch {
	case kind == "kill" && r.Method == http.MethodPost:
		if p.alive[id] {
			p.alive[id], p.killed[id] = false, in.Comment
		}
	case kind == "kill":
		_ = json.NewEncoder(w).Encode(map[string]any{"alive": p.alive[id], "by": p.killed[id]})
		return
	case r.Method == http.MethodPost:
		p.scans[id] = append(p.scans[id], scan{Comment: in.Comment})
	default:
		_ = json.NewEncoder(w).Encode(p.scans[id])
		return
	}
	_, _ = w.Write([]byte(`{"ok":true}`))
}

func (p *agents) state() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var lines []string
	for t, alive := range p.alive {
		lines = append(lines, fmt.Sprint(t, " ", alive, " ", p.killed[t]))
	}
	for t, s := range p.scans {
		lines = append(lines, fmt.Sprint(t, " ", s))
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

const (
	undoes  flaw = "undoes"   // says that it took back what cannot be
	hasty   flaw = "hasty"    // calls a job done that is under way
	claims  flaw = "claims"   // calls done by us what another did
	mixesUp flaw = "mixes up" // takes an earlier order's scan for this one's
)

var onceFlaws = map[flaw]string{undoes: "kill_process/no_way_back", hasty: "scan_host/apply,_read", claims: "kill_process/what_is_so_already",
	mixesUp: "scan_host/a_later_generation"}

// agent is the adapter before them.
type agent struct {
	client *adapters.Client
	flaw   flaw
}

var agentInfo = adapters.Info{Name: "agents", Title: "Agents", Verbs: []adapters.Ability{
	{Verb: verb.KillProcess, Sending: adapters.Natural}, {Verb: verb.ScanHost, Sending: adapters.Findable}}}

func (a *agent) path(o adapters.Order) string {
	if o.Verb == verb.ScanHost {
		return "scan/" + url.PathEscape(o.Target.Value)
	}
	return "kill/" + url.PathEscape(o.Target.Value)
}

func (a *agent) Validate(o adapters.Order) error {
	if o.Asset.ID != o.Target.AssetID.UUID || o.Asset.Name == "" {
		return &threat.Fault{Kind: threat.Invalid, What: "no machine", Place: "/target"}
	}
	return nil
}

func (a *agent) Read(ctx context.Context, o adapters.Order) (adapters.Reading, error) {
	if o.Verb == verb.KillProcess {
		var got struct {
			Alive bool
			By    string
		}
		_, err := a.client.Do(ctx, adapters.Call{Method: http.MethodGet, Path: a.path(o), Into: &got})
		switch {
		case err != nil || got.Alive:
			return adapters.Reading{Presence: adapters.Absent}, err
		case o.Owns(got.By) || a.flaw == claims:
			return adapters.Reading{Presence: adapters.Ours, InForce: true}, nil
		}
		return adapters.Reading{Presence: adapters.Foreign, InForce: true}, nil
	}
	var scans []scan
	if _, err := a.client.Do(ctx, adapters.Call{Method: http.MethodGet, Path: a.path(o), Into: &scans}); err != nil {
		return adapters.Reading{}, err
	}
	for _, s := range scans {
		if s.Comment != o.Mark && a.flaw != mixesUp {
			continue
		}
		if s.Done || a.flaw == hasty {
			return adapters.Reading{Presence: adapters.Ours, InForce: true}, nil
		}
		return adapters.Reading{Presence: adapters.Pending}, nil
	}
	return adapters.Reading{Presence: adapters.Absent}, nil
}

func (a *agent) Apply(ctx context.Context, o adapters.Order) (adapters.Receipt, error) {
	if o.Verb == verb.KillProcess {
		r, err := a.Read(ctx, o)
		if err != nil {
			return adapters.Receipt{}, err
		}
		if r.Presence != adapters.Absent {
			return adapters.Receipt{Outcome: threat.OutcomeDoesNotExist}, nil
		}
	}
	_, err := a.client.Do(ctx, adapters.Call{Method: http.MethodPost, Path: a.path(o), Body: map[string]string{"comment": o.Mark}, Changes: true})
	if err != nil {
		return adapters.Receipt{}, err
	}
	return adapters.Receipt{Outcome: threat.OutcomeSuccess}, nil
}

func (a *agent) Remove(context.Context, adapters.Order) (adapters.Receipt, error) {
	if a.flaw == undoes {
		return adapters.Receipt{Outcome: threat.OutcomeSuccess}, nil
	}
	return adapters.Receipt{}, threat.Faultf(threat.Unsupported, "cannot be taken back")
}

func conformOnce(t *testing.T, f flaw) {
	const one, two = "0192f0c1-0000-7000-8000-00000000000a", "0192f0c1-0000-7000-8000-00000000000b"
	const process = "/4711@2026-03-01T01:00:00.000Z"
	h := adaptertest.Harness{
		Info: agentInfo,
		Targets: map[string][2]threat.Target{
			verb.KillProcess: {{Kind: threat.TargetProcess, Value: one + process}, {Kind: threat.TargetProcess, Value: two + process}},
			verb.ScanHost:    {{Kind: threat.TargetAsset, Value: one}, {Kind: threat.TargetAsset, Value: two}},
		},
		Params: map[string]map[string]string{verb.KillProcess: {"children": "leave"}, verb.ScanHost: {"depth": "quick"}},
	}
	open := func(t *testing.T) (*adaptertest.Bench, *agents) {
		p := &agents{now: time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC), alive: map[string]bool{}, scans: map[string][]scan{},
			killed: map[string]string{}}
		proxy := adaptertest.NewProxy(t, p)
		client, err := adapters.NewClient(adapters.ClientOptions{Base: proxy.URL, Transport: proxy.Transport(http.DefaultTransport)})
		if err != nil {
			t.Fatal(err)
		}
		locked := func(fn func()) { p.mu.Lock(); defer p.mu.Unlock(); fn() }
		return &adaptertest.Bench{Actor: &agent{client, f}, Now: p.clock, Advance: func(d time.Duration) { locked(func() { p.now = p.now.Add(d) }) },
			State: p.state, Sends: proxy.Changes, Arm: proxy.Arm,
			Stage: func(o adapters.Order) { locked(func() { p.alive[o.Target.Value] = true }) },
			Plant: func(o adapters.Order) {
				locked(func() { p.alive[o.Target.Value], p.killed[o.Target.Value] = false, "by hand" })
			},
			Holds: func(o adapters.Order) (is bool) {
				locked(func() {
					if is = !p.alive[o.Target.Value]; o.Verb == verb.ScanHost {
						is = strings.Contains(fmt.Sprint(p.scans[o.Target.Value]), o.Mark+" true")
					}
				})
				return is
			},
		}, p
	}
	kill, look := h, h
	kill.Info.Verbs, look.Info.Verbs = agentInfo.Verbs[:1], agentInfo.Verbs[1:]
	kill.Open = func(t *testing.T) *adaptertest.Bench { b, _ := open(t); return b }
	look.NoAdoption = "a scan of somebody else's is not ours to rest on"
	look.Open = func(t *testing.T) *adaptertest.Bench {
		b, p := open(t)
		b.Finish = func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, list := range p.scans {
				for i := range list {
					list[i].Done = true
				}
			}
		}
		return b
	}
	adaptertest.Run(t, kill)
	adaptertest.Run(t, look)
}

// TestSuiteAcceptsWhatIsDoneOnce runs the suite over what is done once: at once, and as a job that is polled.
func TestSuiteAcceptsWhatIsDoneOnce(t *testing.T) { conformOnce(t, none) }

// TestFlawedOnce is what TestSuiteNoticesEachFlawOfOnce runs.
func TestFlawedOnce(t *testing.T) {
	if f := flaw(os.Getenv(flawEnv)); f != none {
		conformOnce(t, f)
	}
}

func TestSuiteNoticesEachFlawOfOnce(t *testing.T) {
	if testing.Short() {
		t.Log("short: the flaws are left out")
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for f, test := range onceFlaws {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			parts := strings.SplitN(test, "/", 2)
			cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestFlawedOnce$/^"+parts[0]+"$/^"+parts[1]+"$", "-test.v")
			cmd.Env = append(os.Environ(), flawEnv+"="+string(f))
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestFlawedOnce/") || strings.Contains(string(out), "panic:") {
				t.Fatalf("the suite did not notice (%v):\n%s", err, out)
			}
		})
	}
}
