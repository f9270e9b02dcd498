package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/threat"
)

// pager calls the provider's people: what it is told stands in the provider's journal and in the log, and goes out over
// every channel that is a connection of the provider itself. The same words go out once in ten minutes.
type pager struct {
	store   *store.Store
	devices *devices
	root    uuid.UUID
	log     *slog.Logger
	count   func()
	now     func() time.Time

	mu   sync.Mutex
	last map[string]time.Time
}

const (
	pageAgain = 10 * time.Minute
	maxPaged  = 1000
	pageCall  = 15 * time.Second
)

// Page tells the provider's people. What fails on the way is logged: there is nobody else to tell.
func (p *pager) Page(ctx context.Context, what string) {
	what = threat.Inert(what, adapters.MaxDetail)
	now := p.now()
	p.mu.Lock()
	quiet := now.Sub(p.last[what]) < pageAgain
	if !quiet {
		if len(p.last) >= maxPaged {
			clear(p.last)
		}
		p.last[what] = now
	}
	p.mu.Unlock()
	p.log.ErrorContext(ctx, "the provider's people are called", "what", what, "repeated", quiet)
	if quiet {
		return
	}
	p.count()
	ctx = context.WithoutCancel(ctx)
	p.keep(ctx, what)
	go p.send(ctx, what) // nobody who found a fault waits for a pager
}

// keep journals a page before it goes out, so that the console shows it whatever becomes of the sending.
func (p *pager) keep(ctx context.Context, what string) {
	ctx, cancel := context.WithTimeout(ctx, journalWithin)
	defer cancel()
	payload, err := json.Marshal(map[string]string{"page": what})
	if err == nil {
		_, err = p.store.Append(ctx, threat.Entry{OrgID: p.root, Key: "page:" + uuid.Must(uuid.NewV7()).String(),
			Kind: threat.EntryPage, Actor: threat.SystemActor, Subject: "organisation:" + p.root.String(), Payload: payload})
	}
	if err != nil {
		p.log.ErrorContext(ctx, "a page could not be journalled", "error", err)
	}
}

func (p *pager) send(ctx context.Context, what string) {
	ctx, cancel := context.WithTimeout(ctx, 2*pageCall)
	defer cancel()
	list, err := p.store.Connections(ctx, p.root)
	if err != nil {
		p.log.ErrorContext(ctx, "the provider's channels cannot be read", "error", err)
		return
	}
	for _, c := range list {
		if !c.Enabled {
			continue
		}
		if err := p.over(ctx, c, what); err != nil {
			p.log.ErrorContext(ctx, "a page could not be sent", "connection", c.ID, "error", err)
		}
	}
}

// over sends a page over one of the provider's connections: once where it rings, for whoever is on call there, and else to
// each of the provider's analysts and shift leads. A product that is no channel is passed over.
func (p *pager) over(ctx context.Context, c threat.Connection, what string) error {
	s, err := p.devices.Speaker(ctx, c.ID)
	if threat.Is(err, threat.Unsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	to := []string{p.root.String()}
	if !s.Channel().Interruptive {
		if to, err = p.analysts(ctx); err != nil {
			return err
		}
	}
	var errs []error
	for _, address := range to {
		_, err := s.Notify(ctx, adapters.Message{AttemptID: uuid.Must(uuid.NewV7()), To: address, Subject: "Firebreak: " + what,
			Text: what + "\n", Severity: threat.SeverityCritical})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// analysts gives the mail addresses of the provider's analysts and shift leads.
func (p *pager) analysts(ctx context.Context) ([]string, error) {
	people, err := p.store.Persons(ctx, p.root)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, x := range people {
		if x.DisabledAt != nil || x.Email == "" {
			continue
		}
		grants, err := p.store.Grants(ctx, x.ID)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(grants, func(g threat.Grant) bool {
			return g.OrgID == p.root && (g.Role == threat.Analyst || g.Role == threat.ShiftLead)
		}) {
			out = append(out, x.Email)
		}
	}
	return out, nil
}
