package adaptertest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

// ChannelFault is one way in which a message can fail to reach the provider of a channel, or its answer us.
type ChannelFault string

const (
	MessageRefused ChannelFault = "refused for good"
	MessageLimited ChannelFault = "too many messages"
	MessageHangs   ChannelFault = "no answer, not taken"
	MessageLost    ChannelFault = "taken, and no answer"
	MessageDown    ChannelFault = "no connection"
	MessageDenied  ChannelFault = "bad credential"
)

// channelMatrix is what every channel is put through: the kinds that a fault may answer, and whether the message was taken
// all the same.
var channelMatrix = []struct {
	fault ChannelFault
	kinds []threat.FaultKind
	taken bool
}{
	{MessageRefused, []threat.FaultKind{threat.Invalid, threat.Forbidden, threat.NotFound}, false},
	{MessageLimited, []threat.FaultKind{threat.RateLimited}, false},
	{MessageHangs, []threat.FaultKind{threat.Unavailable, threat.Unknown}, false},
	{MessageLost, []threat.FaultKind{threat.Unknown}, true},
	{MessageDown, []threat.FaultKind{threat.Unavailable}, false},
	{MessageDenied, []threat.FaultKind{threat.Unauthenticated}, false},
}

// Received is one message as the provider has it.
type Received struct {
	Key      string // by which the provider, or the reader's program, knows a repetition
	Thread   string // by which messages of one case stand together; empty where the channel has no such thing
	To       string
	Subject  string
	Text     string
	Resolved bool // it takes an earlier one back
}

// ChannelHarness is what a channel to people hands in.
type ChannelHarness struct {
	Info adapters.Info
	// Open gives a fresh provider with the bare channel before it. It is called for each test.
	Open func(t *testing.T) *ChannelBench
	// To gives an address in the channel.
	To string
	// Secrets are the parts of the credential that Open gives the channel. None may ever show.
	Secrets []string
	// Excuse lists faults that cannot befall this channel, each with its reason.
	Excuse map[ChannelFault]string
	// CallTime is the deadline of a call that is meant to run into it; zero is 300 ms.
	CallTime time.Duration
}

// ChannelBench is one provider and the channel before it.
type ChannelBench struct {
	Notifier adapters.Notifier
	// Received is what the provider has taken, in order. A repetition that it dropped by its key is not there twice.
	Received func() []Received
	// Arm makes the next message meet a fault.
	Arm func(f ChannelFault)
}

// RunChannel puts a channel through the whole suite.
func RunChannel(t *testing.T, h ChannelHarness) {
	t.Helper()
	if h.CallTime <= 0 {
		h.CallTime = 300 * time.Millisecond
	}
	for _, c := range []struct {
		name string
		run  func(*channelSuite)
	}{
		{"declared", (*channelSuite).declared},
		{"accepted", (*channelSuite).accepted},
		{"delivered twice", (*channelSuite).twice},
		{"taken back", (*channelSuite).takenBack},
		{"hostile texts", (*channelSuite).hostile},
		{"to nobody", (*channelSuite).toNobody},
		{"deadline is over", (*channelSuite).over},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(newChannelSuite(t, h)) })
	}
	for _, row := range channelMatrix {
		t.Run("faults/"+string(row.fault), func(t *testing.T) {
			if why, ok := h.Excuse[row.fault]; ok {
				t.Logf("not applicable: %s: %s", row.fault, why)
				return
			}
			newChannelSuite(t, h).fault(row.fault, row.kinds, row.taken)
		})
	}
}

// channelSuite is one test of one channel.
type channelSuite struct {
	*testing.T
	h       ChannelHarness
	bench   *ChannelBench
	speaker *adapters.Speaker
}

func newChannelSuite(t *testing.T, h ChannelHarness) *channelSuite {
	t.Helper()
	s := &channelSuite{T: t, h: h, bench: h.Open(t)}
	s.speaker = adapters.WrapNotifier(s.bench.Notifier, h.Info, adapters.Options{Secrets: h.Secrets, Call: 5 * time.Second})
	return s
}

func (s *channelSuite) message() adapters.Message {
	return adapters.Message{AttemptID: uuid.New(), CaseID: testTenant, To: s.h.To, Subject: "[FB-7] High: beaconing",
		Text: "A threat is active.\nhttps://firebreak.example/ack/abc\n", HTML: "<p>A threat is active.</p>",
		Link: "https://firebreak.example/ack/abc", Severity: threat.SeverityHigh}
}

// send demands that a message is taken.
func (s *channelSuite) send(m adapters.Message) adapters.Delivery {
	s.Helper()
	d, err := s.speaker.Notify(s.Context(), m)
	if err != nil || !d.Accepted {
		s.Fatalf("notify answered %+v, %v; want accepted", d, err)
	}
	if d.ProviderID == "" {
		s.Error("accepted without the provider's id of it: an answer could not be told apart")
	}
	s.clean(nil, d.Detail+d.ProviderID)
	return d
}

func (s *channelSuite) received(n int) []Received {
	s.Helper()
	got := s.bench.Received()
	if len(got) != n {
		s.Fatalf("the provider has %d messages; want %d: %+v", len(got), n, got)
	}
	return got
}

func (s *channelSuite) declared() {
	c := s.bench.Notifier.Channel()
	if c.Name != s.h.Info.Name || c.Name == "" {
		s.Errorf("the channel is called %q, and its adapter %q", c.Name, s.h.Info.Name)
	}
	if len(s.h.Info.Verbs) > 0 {
		s.Error("a channel to people that acts on devices")
	}
}

func (s *channelSuite) accepted() {
	m := s.message()
	s.send(m)
	got := s.received(1)[0]
	if got.Key == "" || got.Subject != m.Subject || !strings.Contains(got.Text, "A threat is active.") {
		s.Errorf("the provider has %+v", got)
	}
	if got.To != "" && got.To != s.h.To {
		s.Errorf("it went to %q", got.To)
	}
	other := s.message()
	s.send(other)
	if two := s.received(2); two[0].Key == two[1].Key || two[0].Thread != two[1].Thread {
		s.Errorf("two messages of one case are %+v", two)
	}
}

// twice sends the same attempt again, as after an answer that was lost: a keyed provider drops it, and any other gets what
// its reader's program can know by its key.
func (s *channelSuite) twice() {
	m := s.message()
	first, second := s.send(m), s.send(m)
	if first.ProviderID != second.ProviderID {
		s.Errorf("one attempt has the ids %q and %q", first.ProviderID, second.ProviderID)
	}
	if s.bench.Notifier.Channel().Keyed {
		s.received(1)
		return
	}
	if got := s.received(2); got[0].Key != got[1].Key {
		s.Errorf("one attempt has the keys %q and %q", got[0].Key, got[1].Key)
	}
}

func (s *channelSuite) takenBack() {
	m := s.message()
	s.send(m)
	m.Resolve, m.Subject, m.Text = true, "[FB-7] no answer needed", "Ben acknowledged it."
	s.send(m)
	got := s.bench.Received()
	if len(got) == 0 || !got[len(got)-1].Resolved {
		s.Errorf("the provider has %+v", got)
	}
}

// hostile sends what an attacker may have put into a name: no text may become a header, a recipient or a message of its own.
func (s *channelSuite) hostile() {
	m := s.message()
	m.Subject = "x\r\nBcc: all@evil.example\r\n\r\nbody \u202e\x00" + strings.Repeat("é", 5000)
	m.Text = "a\r\n.\r\nQUIT\r\n.\n..\n\x00" + strings.Repeat("long ", 5000)
	s.send(m)
	got := s.received(1)[0]
	if strings.ContainsAny(got.Subject, "\r\n\x00\u202e") || got.To != "" && got.To != s.h.To {
		s.Errorf("the provider has the subject %.60q for %q", got.Subject, got.To)
	}
	if !strings.Contains(got.Text, "QUIT") || !strings.Contains(got.Text, "long long") {
		s.Errorf("the text was cut: %.80q", got.Text)
	}
}

func (s *channelSuite) toNobody() {
	for _, to := range []string{"", "\r\n", s.h.To + "\r\nRCPT TO:<all@evil.example>", s.h.To + ", all@evil.example", "x\x00y"} {
		m := s.message()
		m.To = to
		_, err := s.speaker.Notify(s.Context(), m)
		if err != nil && threat.KindOf(err) != threat.Invalid {
			s.Errorf("to %q: %v; want invalid", to, err)
		}
		for _, r := range s.bench.Received() {
			if r.To != "" && r.To != s.h.To {
				s.Errorf("to %q: it went to %q", to, r.To)
			}
		}
	}
	m := s.message()
	m.To = ""
	if _, err := s.speaker.Notify(s.Context(), m); !threat.Is(err, threat.Invalid) {
		s.Errorf("to nobody: %v; want invalid", err)
	}
}

func (s *channelSuite) over() {
	ctx, cancel := context.WithDeadline(s.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := s.speaker.Notify(ctx, s.message()); !threat.Is(err, threat.Unavailable) {
		s.Errorf("under a deadline that is over: %v; want unavailable", err)
	}
	s.received(0)
}

func (s *channelSuite) fault(f ChannelFault, kinds []threat.FaultKind, taken bool) {
	s.bench.Arm(f)
	ctx, cancel := context.WithTimeout(s.Context(), 10*s.h.CallTime)
	if f == MessageHangs || f == MessageLost {
		cancel()
		ctx, cancel = context.WithTimeout(s.Context(), s.h.CallTime)
	}
	defer cancel()
	begun := time.Now()
	d, err := s.bench.Notifier.Notify(ctx, s.message()) // bare: the wrapper would come back for it, and leave it running
	if took := time.Since(begun); took > 10*s.h.CallTime+patience {
		s.Errorf("it took %s under a deadline", took)
	}
	if err == nil {
		s.Fatalf("notify answered %+v", d)
	}
	if !slices.Contains(kinds, threat.KindOf(err)) {
		s.Errorf("notify answered %q (%v); want one of %q", threat.KindOf(err), err, kinds)
	}
	s.clean(err, d.Detail+d.ProviderID)
	n := 0
	if taken {
		n = 1
	}
	s.received(n)
	s.bench = s.h.Open(s.T)
	s.bench.Arm(f)
	wrapped := adapters.WrapNotifier(s.bench.Notifier, s.h.Info, adapters.Options{Secrets: s.h.Secrets, Call: s.h.CallTime})
	_, err = wrapped.Notify(s.Context(), s.message())
	if !slices.Contains(kinds, threat.KindOf(err)) {
		s.Errorf("wrapped, notify answered %q (%v); want one of %q", threat.KindOf(err), err, kinds)
	}
	s.clean(err, "")
}

// clean looks for each part of the credential in whatever was said, causes among it.
func (s *channelSuite) clean(err error, text string) {
	s.Helper()
	for _, secret := range s.h.Secrets {
		look := &suite{T: s.T, bench: &Bench{Secret: secret}}
		look.clean(err)
		look.cleanText(text)
	}
}
