package app

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/adapters/console"
	"github.com/firebreak/firebreak/internal/message"
	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/threat"
)

// How contacts are told of a change of mode.
const (
	noticeLease = 2 * time.Minute // one that was not delivered is tried again after that
	noticePoll  = 15 * time.Second
	noticeBatch = 4
	noticeCall  = 15 * time.Second
	noticeFor   = time.Hour // after that the provider's people are called instead
)

// noticeStore is what a teller needs of the store.
type noticeStore interface {
	LeaseModeNotices(ctx context.Context, n int, lease time.Duration) ([]threat.ModeNotice, error)
	FinishModeNotice(ctx context.Context, n threat.ModeNotice, channel, fault string) error
	Organisation(ctx context.Context, idOrSlug string) (threat.Organisation, error)
	Person(ctx context.Context, id uuid.UUID) (threat.Person, error)
	Contacts(ctx context.Context, tenant uuid.UUID) ([]threat.ContactEntry, error)
	Connection(ctx context.Context, id uuid.UUID) (threat.Connection, error)
}

// teller tells every other contact of a change of the response mode. Who has to be told was written down with the change, so
// a kill loses nobody: what was not finished is told again, under the same key. Each is told over one of their ways, those
// that do not ring first; the console's own pages count where there is no other.
type teller struct {
	store   noticeStore
	speaker func(ctx context.Context, connection uuid.UUID) (*adapters.Speaker, error)
	page    func(ctx context.Context, what string)
	link    func(o threat.Organisation) string
	now     func() time.Time
	log     *slog.Logger
	wake    chan struct{}
}

// wakeUp tells that somebody may have to be told. It never blocks.
func (t *teller) wakeUp() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// run tells until ctx ends. No fault of the store or of a channel ends it.
func (t *teller) run(ctx context.Context) error {
	tick := time.NewTicker(noticePoll)
	defer tick.Stop()
	for {
		if err := t.round(ctx); err != nil && ctx.Err() == nil {
			t.log.ErrorContext(ctx, "changes of mode could not be told; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.wake:
		case <-tick.C:
		}
	}
}

// round tells what waits now.
func (t *teller) round(ctx context.Context) error {
	for {
		list, err := t.store.LeaseModeNotices(ctx, noticeBatch, noticeLease)
		if err != nil {
			return err
		}
		for _, n := range list {
			if ctx.Err() != nil {
				return nil
			}
			if err := t.tell(ctx, n); err != nil {
				return err
			}
		}
		if len(list) < noticeBatch {
			return nil
		}
	}
}

// tell tells one contact, and writes down what came of it. One whom no channel took now stays for later.
func (t *teller) tell(ctx context.Context, n threat.ModeNotice) error {
	o, err := t.store.Organisation(ctx, n.TenantID.String())
	if err != nil {
		return err
	}
	p, err := t.store.Person(ctx, n.PersonID)
	if err != nil {
		return err
	}
	contacts, err := t.store.Contacts(ctx, n.TenantID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(contacts, func(c threat.ContactEntry) bool { return c.PersonID == n.PersonID })
	if i < 0 || p.DisabledAt != nil {
		return t.store.FinishModeNotice(ctx, n, "", "this person is no contact any more")
	}
	by, err := t.store.Person(ctx, n.GivenBy)
	if err != nil {
		return err
	}
	written := message.ModeChanged(message.ModeFacts{Tenant: o, Person: p, By: by.Name, Was: n.Was, Mode: n.Mode, Eradicate: n.Eradicate,
		Words: n.Words, At: n.At, Link: t.link(o)})
	m := adapters.Message{AttemptID: threat.DerivedID("mode-notice", n.TenantID.String(), strconv.FormatInt(n.Version, 10), n.PersonID.String()),
		Subject: written.Subject, Text: written.Text, HTML: written.HTML, Link: written.Link, Severity: written.Severity}
	channel, fault := t.over(ctx, contacts[i].Methods, m)
	if channel == "" && t.now().Before(n.At.Add(noticeFor)) {
		t.log.WarnContext(ctx, "a contact could not be told of a change of mode yet", "tenant", n.TenantID, "version", n.Version,
			"person", n.PersonID, "error", fault)
		return nil
	}
	if channel == "" {
		t.page(ctx, "the change of the response mode of "+threat.Inert(o.Name, 80)+" to "+string(n.Mode)+" could not be told to "+
			threat.Inert(p.Name, 80)+"; call them")
	}
	return t.store.FinishModeNotice(ctx, n, channel, fault)
}

// over hands a message to the first of a contact's ways that takes it: channel says which, and fault why none did.
func (t *teller) over(ctx context.Context, methods []threat.Method, m adapters.Message) (channel, fault string) {
	type way struct {
		threat.Method
		speaker *adapters.Speaker
		rank    int
	}
	var ways []way
	fault = "there is no way to reach them"
	for _, method := range methods {
		c, err := t.connection(ctx, method.ConnectionID)
		if err != nil {
			fault = err.Error()
			continue
		}
		if c.Settings["compromised"] == "true" {
			fault = "the channel " + threat.Inert(c.Name, 64) + " may be in an attacker's hands"
			continue
		}
		s, err := t.speaker(ctx, method.ConnectionID)
		if err != nil {
			fault = err.Error()
			continue
		}
		w := way{method, s, 0}
		switch {
		case s.Channel().Name == console.Info.Name:
			w.rank = 1
		case s.Channel().Interruptive:
			w.rank = 2
		}
		ways = append(ways, w)
	}
	slices.SortStableFunc(ways, func(a, b way) int { return cmp.Compare(a.rank, b.rank) })
	for _, w := range ways {
		m.To = w.Address
		call, cancel := context.WithTimeout(ctx, noticeCall)
		d, err := w.speaker.Notify(call, m)
		cancel()
		switch {
		case err == nil && d.Accepted:
			return w.speaker.Channel().Name, ""
		case err != nil:
			fault = err.Error()
		default:
			fault = d.Detail
		}
	}
	return "", cmp.Or(fault, "the provider did not take it")
}

// connection gives one; the zero id is the console, which has none.
func (t *teller) connection(ctx context.Context, id uuid.UUID) (threat.Connection, error) {
	if id == uuid.Nil {
		return threat.Connection{}, nil
	}
	return t.store.Connection(ctx, id)
}

// newTeller makes the program's own.
func (a *App) newTeller() *teller {
	t := &teller{store: a.store, speaker: a.devices.Speaker, page: a.pager.Page, now: time.Now, log: a.log,
		wake: make(chan struct{}, 1), link: func(o threat.Organisation) string { return a.base + "/tenants/" + o.Slug }}
	a.store.OnWake(func(kind string) {
		if kind == store.WakeNotice {
			t.wakeUp()
		}
	})
	return t
}
