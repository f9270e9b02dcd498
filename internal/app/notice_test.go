package app

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/adapters/console"
	"github.com/firebreak/firebreak/adapters/pagerduty"
	"github.com/firebreak/firebreak/internal/threat"
)

// told is a store of notices with one tenant, and its channels.
type told struct {
	waiting  []threat.ModeNotice
	contacts []threat.ContactEntry
	people   map[uuid.UUID]threat.Person
	settings map[uuid.UUID]map[string]string
	channels map[uuid.UUID]*line
	done     []string
	paged    []string
}

// line is a simulated channel.
type line struct {
	channel adapters.Channel
	err     error
	sent    []adapters.Message
}

func (l *line) Channel() adapters.Channel { return l.channel }

func (l *line) Notify(_ context.Context, m adapters.Message) (adapters.Delivery, error) {
	if l.err != nil {
		return adapters.Delivery{}, l.err
	}
	l.sent = append(l.sent, m)
	return adapters.Delivery{Accepted: true}, nil
}

func (s *told) LeaseModeNotices(context.Context, int, time.Duration) ([]threat.ModeNotice, error) {
	out := s.waiting
	s.waiting = nil
	return out, nil
}

func (s *told) FinishModeNotice(_ context.Context, n threat.ModeNotice, channel, fault string) error {
	s.done = append(s.done, s.people[n.PersonID].Name+" over "+channel+": "+fault)
	return nil
}

func (s *told) Organisation(context.Context, string) (threat.Organisation, error) {
	return threat.Organisation{Name: "Acme", Slug: "acme"}, nil
}

func (s *told) Person(_ context.Context, id uuid.UUID) (threat.Person, error) {
	return s.people[id], nil
}

func (s *told) Contacts(context.Context, uuid.UUID) ([]threat.ContactEntry, error) {
	return s.contacts, nil
}

func (s *told) Connection(_ context.Context, id uuid.UUID) (threat.Connection, error) {
	return threat.Connection{ID: id, Name: "c", Settings: s.settings[id]}, nil
}

var (
	mailID, pagerID = uuid.New(), uuid.New()
	changedAt       = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
)

// tellers gives a teller of one change, that Ada made and Ben is to be told of over some ways, at a time after it.
func tellers(after time.Duration, ways ...uuid.UUID) (*teller, *told) {
	ada, ben := uuid.New(), uuid.New()
	s := &told{people: map[uuid.UUID]threat.Person{ada: {ID: ada, Name: "Ada"}, ben: {ID: ben, Name: "Ben"}},
		settings: map[uuid.UUID]map[string]string{}, channels: map[uuid.UUID]*line{
			mailID:   {channel: adapters.Channel{Name: "smtp", TwoWay: true}},
			pagerID:  {channel: adapters.Channel{Name: "pagerduty", Interruptive: true, Keyed: true, Shared: true}},
			uuid.Nil: {channel: console.Console{}.Channel()}}}
	e := threat.ContactEntry{PersonID: ben}
	for _, w := range ways {
		e.Methods = append(e.Methods, threat.Method{ConnectionID: w, Address: "ben"})
	}
	s.contacts = []threat.ContactEntry{{PersonID: ada}, e}
	s.waiting = []threat.ModeNotice{{PersonID: ben, Was: threat.ModeCollaborate, Consent: threat.Consent{TenantID: uuid.New(), Version: 2,
		Mode: threat.ModeAuthorize, GivenBy: ada, Words: "act", At: changedAt}}}
	return &teller{store: s, now: func() time.Time { return changedAt.Add(after) }, log: slog.New(slog.DiscardHandler),
		page: func(_ context.Context, what string) { s.paged = append(s.paged, what) },
		link: func(o threat.Organisation) string { return "https://firebreak.example/tenants/" + o.Slug },
		speaker: func(_ context.Context, id uuid.UUID) (*adapters.Speaker, error) {
			return adapters.WrapNotifier(s.channels[id], adapters.Info{Name: "x"}, adapters.Options{}), nil
		}}, s
}

func TestAChangeOfModeIsToldOverWhatDoesNotRingFirst(t *testing.T) {
	for _, tt := range []struct {
		name   string
		ways   []uuid.UUID
		change func(*told)
		done   string
	}{
		{"mail before all", []uuid.UUID{pagerID, uuid.Nil, mailID}, func(*told) {}, "Ben over smtp: "},
		{"the console before the pager", []uuid.UUID{pagerID, uuid.Nil}, func(*told) {}, "Ben over console: "},
		{"the pager alone", []uuid.UUID{pagerID}, func(*told) {}, "Ben over pagerduty: "},
		{"mail is away", []uuid.UUID{pagerID, mailID}, func(s *told) { s.channels[mailID].err = errors.New("down") }, "Ben over pagerduty: "},
		{"mail may be the attacker's", []uuid.UUID{mailID, pagerID}, func(s *told) {
			s.settings[mailID] = map[string]string{"compromised": "true"}
		}, "Ben over pagerduty: "},
		{"no contact any more", []uuid.UUID{mailID}, func(s *told) { s.contacts = s.contacts[:1] },
			"Ben over : this person is no contact any more"},
	} {
		x, s := tellers(0, tt.ways...)
		tt.change(s)
		require.NoError(t, x.round(t.Context()), tt.name)
		require.Equal(t, []string{tt.done}, s.done, tt.name)
		require.Empty(t, s.paged, tt.name)
	}
	x, s := tellers(0, mailID)
	n := s.waiting[0]
	require.NoError(t, x.round(t.Context()))
	s.waiting = []threat.ModeNotice{n} // the process was killed before it wrote that down
	require.NoError(t, x.round(t.Context()))
	sent := s.channels[mailID].sent
	require.Len(t, sent, 2)
	require.Equal(t, sent[0], sent[1], "a repetition is the same message under the same key")
	require.Contains(t, sent[0].Text, "from collaborate to authorize")
	require.Equal(t, "https://firebreak.example/tenants/acme", sent[0].Link)
}

func TestWhoCannotBeToldIsTriedAgainAndThenCalled(t *testing.T) {
	x, s := tellers(noticeFor-time.Second, mailID)
	s.channels[mailID].err = errors.New("down")
	n := s.waiting[0]
	require.NoError(t, x.round(t.Context()))
	require.Empty(t, s.done, "it stays for the next round")
	require.Empty(t, s.paged)
	x.now = func() time.Time { return changedAt.Add(noticeFor) }
	s.waiting = []threat.ModeNotice{n}
	require.NoError(t, x.round(t.Context()))
	require.Len(t, s.done, 1)
	require.Len(t, s.paged, 1)
	require.Contains(t, s.paged[0], "Ben")

	x, s = tellers(noticeFor)
	require.NoError(t, x.round(t.Context()))
	require.Equal(t, []string{"Ben over : there is no way to reach them"}, s.done)
	require.Len(t, s.paged, 1)
}

func TestAnAcknowledgementThatTheAttackerOvertookDoesNotCount(t *testing.T) {
	given := pagerduty.Webhook{At: changedAt}
	at := func(d time.Duration) *time.Time { x := changedAt.Add(d); return &x }
	require.False(t, overtaken(given, threat.Case{}))
	require.False(t, overtaken(given, threat.Case{LastAdversaryAt: at(-time.Minute)}))
	require.False(t, overtaken(given, threat.Case{LastAdversaryAt: at(clockApart)}), "clocks are never quite together")
	require.True(t, overtaken(given, threat.Case{LastAdversaryAt: at(clockApart + time.Second)}))
}
