package adaptertest_test

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/adapters/adaptertest"
	"github.com/firebreak/firebreak/internal/threat"
)

// pager is a made-up provider with the channel before it in one, and a flaw at will.
type pager struct {
	mu    sync.Mutex
	taken []adaptertest.Received
	armed adaptertest.ChannelFault
	flaw  flaw
}

const pagerSecret = "p4ger/Secret+of=ours"

// The flaws of channels, and the tests that have to fail for each.
var channelNoticed = map[flaw]string{
	"quotes its secret":          "faults/too_many_messages",
	"rings twice":                "delivered_twice",
	"calls it not sent":          "faults/taken,_and_no_answer",
	"hears no deadline":          "faults/no_answer,_not_taken",
	"lets lines through":         "hostile_texts",
	"says accepted":              "faults/refused_for_good",
	"takes nothing back":         "taken_back",
	"has no id":                  "accepted",
	"calls too many unavailable": "faults/too_many_messages",
	"goes to everybody":          "to_nobody",
	"is called otherwise":        "declared",
}

var pagerInfo = adapters.Info{Name: "pager", Title: "Pager", Secret: "a token"}

func (p *pager) Channel() adapters.Channel {
	name := "pager"
	if p.flaw == "is called otherwise" {
		name = "phone"
	}
	return adapters.Channel{Name: name, Interruptive: true, TwoWay: true, Keyed: true}
}

func (p *pager) Notify(ctx context.Context, m adapters.Message) (adapters.Delivery, error) {
	if m.To != "ada" && p.flaw != "goes to everybody" {
		return adapters.Delivery{}, threat.Faultf(threat.Invalid, "nobody of that name")
	}
	switch p.armed {
	case adaptertest.MessageRefused:
		if p.flaw != "says accepted" {
			return adapters.Delivery{}, threat.Faultf(threat.Forbidden, "refused")
		}
		return adapters.Delivery{Accepted: true, ProviderID: "1"}, nil
	case adaptertest.MessageLimited:
		f := threat.Faultf(threat.RateLimited, "later")
		switch p.flaw {
		case "calls too many unavailable":
			f.Kind = threat.Unavailable
		case "quotes its secret":
			f.What += " " + strings.ToUpper(pagerSecret)
		}
		return adapters.Delivery{}, f
	case adaptertest.MessageHangs:
		if p.flaw == "hears no deadline" {
			return adapters.Delivery{Accepted: true, ProviderID: "1"}, nil
		}
		<-ctx.Done()
		return adapters.Delivery{}, threat.Faultf(threat.Unavailable, "no answer")
	case adaptertest.MessageDown:
		return adapters.Delivery{}, threat.Faultf(threat.Unavailable, "not there")
	case adaptertest.MessageDenied:
		return adapters.Delivery{}, threat.Faultf(threat.Unauthenticated, "who")
	}
	d := p.take(m)
	if p.armed == adaptertest.MessageLost {
		<-ctx.Done()
		if p.flaw == "calls it not sent" {
			return adapters.Delivery{}, threat.Faultf(threat.Unavailable, "no answer")
		}
		return adapters.Delivery{}, threat.Faultf(threat.Unknown, "no answer")
	}
	return d, nil
}

func (p *pager) take(m adapters.Message) adapters.Delivery {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := m.AttemptID.String()
	if p.flaw == "rings twice" {
		key = uuid.NewString()
	}
	subject := threat.Inert(m.Subject, 200)
	if p.flaw == "lets lines through" {
		subject = m.Subject
	}
	i := slices.IndexFunc(p.taken, func(r adaptertest.Received) bool { return r.Key == key })
	if i < 0 {
		p.taken, i = append(p.taken, adaptertest.Received{Key: key, Thread: m.CaseID.String(), To: m.To, Subject: subject, Text: m.Text}), len(p.taken)
	}
	p.taken[i].Resolved = m.Resolve && p.flaw != "takes nothing back"
	if p.flaw == "has no id" {
		key = ""
	}
	return adapters.Delivery{Accepted: true, ProviderID: key}
}

func conformChannel(t *testing.T, f flaw) {
	adaptertest.RunChannel(t, adaptertest.ChannelHarness{Info: pagerInfo, To: "ada", Secrets: []string{pagerSecret},
		Open: func(*testing.T) *adaptertest.ChannelBench {
			p := &pager{flaw: f}
			return &adaptertest.ChannelBench{Notifier: p, Arm: func(x adaptertest.ChannelFault) { p.armed = x },
				Received: func() []adaptertest.Received { p.mu.Lock(); defer p.mu.Unlock(); return slices.Clone(p.taken) }}
		}})
}

func TestChannelSuiteAcceptsAGoodChannel(t *testing.T) { conformChannel(t, none) }

// TestFlawedChannel is what TestChannelSuiteNoticesEachFlaw runs; alone it has no flaw to look at, and looks at none.
func TestFlawedChannel(t *testing.T) {
	if f := flaw(os.Getenv(flawEnv)); f != none {
		conformChannel(t, f)
	}
}

// TestChannelSuiteNoticesEachFlaw proves that the suite is no rubber stamp.
func TestChannelSuiteNoticesEachFlaw(t *testing.T) {
	if testing.Short() {
		t.Log("short: the flaws are left out")
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for f, test := range channelNoticed {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestFlawedChannel$/"+test, "-test.v")
			cmd.Env = append(os.Environ(), flawEnv+"="+string(f))
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestFlawedChannel/") {
				t.Fatalf("the suite did not notice (%v):\n%s", err, out)
			}
			if strings.Contains(string(out), "panic:") {
				t.Fatalf("it failed for another reason:\n%s", out)
			}
		})
	}
}
