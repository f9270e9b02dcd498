package lab

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

// PagerName is the simulated pager's key in the registry.
const PagerName = "labpager"

// Page is one message that the simulated pager took.
type Page struct {
	AttemptID uuid.UUID
	CaseID    uuid.UUID
	To        string
	Subject   string // inert
	Text      string
	Resolved  bool // it was taken back
	At        time.Time
}

// Pager is a simulated pager: it accepts every message, rings nowhere, and nobody ever answers. It is there so that the lab
// can show a customer who cannot be reached, and is registered with the lab only.
type Pager struct {
	mu     sync.Mutex
	now    func() time.Time
	pages  []Page
	refuse bool
}

// maxPages is how many messages are remembered.
const maxPages = 1000

// NewPager makes a pager by a clock; nil is time.Now.
func NewPager(now func() time.Time) *Pager {
	if now == nil {
		now = time.Now
	}
	return &Pager{now: now}
}

// Product is the registry's row. All connections share the one pager.
func (p *Pager) Product() adapters.Product {
	return adapters.Product{Info: adapters.Info{Name: PagerName, Title: "Simulated pager of the lab", Local: true},
		Open: func(threat.Connection, string) (any, error) { return p, nil }}
}

var (
	_ adapters.Notifier = (*Pager)(nil)
	_ adapters.Tester   = (*Pager)(nil)
)

// Channel says that it rings and could bring an answer back, as a real pager's service does.
func (p *Pager) Channel() adapters.Channel {
	return adapters.Channel{Name: PagerName, Interruptive: true, TwoWay: true, Keyed: true}
}

// SetRefuse makes the pager refuse every message (Unavailable), or accept again.
func (p *Pager) SetRefuse(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = on
}

// Notify accepts a message. The same attempt again is the same page. Invalid for one without an attempt or to nobody.
func (p *Pager) Notify(_ context.Context, m adapters.Message) (adapters.Delivery, error) {
	switch {
	case m.AttemptID == uuid.Nil:
		return adapters.Delivery{}, &threat.Fault{Kind: threat.Invalid, What: "a message without its attempt", Place: "/attempt_id"}
	case m.To == "" || strings.ContainsAny(m.To, " ,;<>") || threat.Inert(m.To, 254) != m.To:
		return adapters.Delivery{}, &threat.Fault{Kind: threat.Invalid, What: "not the address of one pager", Place: "/to"}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse {
		return adapters.Delivery{}, threat.Faultf(threat.Unavailable, "the simulated pager was told to refuse")
	}
	taken := adapters.Delivery{Accepted: true, ProviderID: PagerName + "-" + m.AttemptID.String(),
		Detail: "simulated: accepted, and nobody will answer"}
	for i := range p.pages {
		if p.pages[i].AttemptID == m.AttemptID {
			p.pages[i].Resolved = p.pages[i].Resolved || m.Resolve
			return taken, nil
		}
	}
	p.pages = append(p.pages, Page{m.AttemptID, m.CaseID, m.To, threat.Inert(m.Subject, 200), m.Text, m.Resolve,
		p.now().UTC()})
	p.pages = p.pages[max(0, len(p.pages)-maxPages):]
	return taken, nil
}

// Test always succeeds.
func (p *Pager) Test(context.Context) error { return nil }

// Pages gives what was taken, in order.
func (p *Pager) Pages() []Page {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Page(nil), p.pages...)
}
