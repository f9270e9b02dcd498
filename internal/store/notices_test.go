package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"
)

func TestEveryOtherContactHasToBeToldOfAChangeOfMode(t *testing.T) {
	r := newRig(t)
	ada := storetest.Contact(t, r.s, r.o)
	ben := storetest.Person(t, r.s, r.o, "ben@customer.example", threat.Contact)
	cleo := storetest.Person(t, r.s, r.o, "cleo@customer.example", threat.Contact)
	require.NoError(t, r.s.SetContacts(r.ctx, r.o.ID, []threat.ContactEntry{{PersonID: ada.ID}, {PersonID: ben.ID}, {PersonID: cleo.ID}}, "system"))
	woken := make(chan string, 20)
	r.s.OnWake(func(kind string) { woken <- kind })
	_, err := r.s.SetMode(r.ctx, "person:"+ada.ID.String(), threat.Consent{TenantID: r.o.ID, Mode: threat.ModeCollaborate, GivenBy: ada.ID,
		Words: "yes"})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"notice", "response"}, []string{<-woken, <-woken})

	first, err := r.s.LeaseModeNotices(r.ctx, 1, time.Minute)
	require.NoError(t, err)
	require.Len(t, first, 1)
	second, err := r.s.LeaseModeNotices(r.ctx, 10, time.Minute)
	require.NoError(t, err)
	require.Len(t, second, 1, "what is out is not handed out twice, and who made the change is not told")
	n := second[0]
	require.ElementsMatch(t, []string{ben.ID.String(), cleo.ID.String()}, []string{first[0].PersonID.String(), n.PersonID.String()})
	require.Equal(t, threat.ModeNotify, n.Was)
	require.Equal(t, threat.ModeCollaborate, n.Mode)
	require.Equal(t, "yes", n.Words)
	require.Equal(t, ada.ID, n.GivenBy)
	require.Equal(t, r.clock.Now(), n.At)

	require.NoError(t, r.s.FinishModeNotice(r.ctx, n, "smtp", ""))
	require.NoError(t, r.s.FinishModeNotice(r.ctx, n, "", "too late"))
	entries, err := r.s.Entries(r.ctx, r.o.ID, 0, 1000)
	require.NoError(t, err)
	var told []threat.Entry
	for _, e := range entries {
		if e.Kind == threat.EntryModeTold {
			told = append(told, e)
		}
	}
	require.Len(t, told, 1, "the first word counts")
	require.Contains(t, string(told[0].Payload), `"told"`)

	r.clock.Advance(time.Minute)
	again, err := r.s.LeaseModeNotices(r.ctx, 10, time.Minute)
	require.NoError(t, err)
	require.Equal(t, first, again, "a lease that ended is handed out again; what is done is not")
	n.Version = 99
	require.True(t, threat.Is(r.s.FinishModeNotice(r.ctx, n, "smtp", ""), threat.NotFound))
	report, err := r.s.Verify(r.ctx, nil)
	require.NoError(t, err)
	require.True(t, report.OK(), "%+v", report.Problems)
}

func TestNewContactsAreToldOfCasesThatNobodyCouldBeToldOf(t *testing.T) {
	r := newRig(t)
	told := storetest.Case(t, r.s, r.o, r.clock.Now())
	untold := storetest.Case(t, r.s, r.o, r.clock.Now(), storetest.Observing("198.51.100.77"))
	_, err := r.s.SetContact(r.ctx, untold.ID, threat.ContactUndeliverable, "nobody")
	require.NoError(t, err)
	all, err := r.s.LeaseNudges(r.ctx, "test", 100, 100, time.Minute)
	require.NoError(t, err)
	require.NoError(t, r.s.DoneNudges(r.ctx, "test", all))
	p := storetest.Contact(t, r.s, r.o)
	require.NoError(t, r.s.SetContacts(r.ctx, r.o.ID, []threat.ContactEntry{{PersonID: p.ID}}, "system"))
	all, err = r.s.LeaseNudges(r.ctx, "test", 100, 100, time.Minute)
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, untold.ID, all[0].SubjectID)
	require.NotEqual(t, told.ID, untold.ID)
}
