package console

import (
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// entriesAPage is how many entries of the journal a page holds.
const entriesAPage = 50

// journalPage reads one organisation's journal, the newest entry first.
type journalPage struct {
	frame
	Orgs  []choice
	Org   string
	Slug  string
	Head  int64
	Rows  []journalRow
	Older int64 // the entry to go on before; zero at the end
	Newer int64
}

type journalRow struct {
	Seq     int64
	Kind    string
	At      moment
	Actor   string
	Subject string
	Case    string // the id
	Payload string
	Cut     bool
	Erased  bool
	Hash    string
	Key     string
}

func showJournal(k *call) error {
	all, err := k.orgs()
	if err != nil {
		return err
	}
	var readable []threat.Organisation
	for _, o := range all {
		if k.may("journal.read", o.ID) {
			readable = append(readable, o)
		}
	}
	q := k.r.URL.Query()
	if len(readable) == 0 || q.Get("org") != "" {
		name := q.Get("org")
		if name == "" {
			name = k.caller.OrgID.String()
		}
		o, err := k.deps.Access.Resolve(k.ctx(), k.caller, name, "journal.read")
		if err != nil {
			return err
		}
		return k.journal(o, readable)
	}
	return k.journal(readable[0], readable)
}

func (k *call) journal(o threat.Organisation, readable []threat.Organisation) error {
	p := &journalPage{frame: k.frame("Journal", "/journal"), Org: threat.Inert(o.Name, maxName), Slug: o.Slug}
	p.Simulated = o.Simulated
	for _, r := range readable {
		p.Orgs = append(p.Orgs, choice{Value: r.Slug, Text: threat.Inert(r.Name, maxName), Chosen: r.ID == o.ID})
	}
	heads, err := k.deps.Store.Heads(k.ctx(), []uuid.UUID{o.ID})
	if err != nil {
		return err
	}
	p.Head = heads[o.ID]
	before := p.Head + 1
	if b := k.r.URL.Query().Get("before"); b != "" {
		n, err := strconv.ParseInt(b, 10, 64)
		if err != nil || n < 1 {
			return &threat.Fault{Kind: threat.Invalid, What: "not a place in the journal", Place: "before"}
		}
		before = min(before, n)
	}
	after := max(before-1-entriesAPage, 0)
	var list []threat.Entry
	if n := before - 1 - after; n > 0 {
		if list, err = k.deps.Store.Entries(k.ctx(), o.ID, after, int(n)); err != nil {
			return err
		}
	}
	for i := len(list) - 1; i >= 0; i-- {
		p.Rows = append(p.Rows, p.row(k, list[i]))
	}
	if after > 0 {
		p.Older = after + 1
	}
	if before <= p.Head {
		p.Newer = min(before+entriesAPage, p.Head+1)
	}
	return k.render(http.StatusOK, "journal", p)
}

func (p *journalPage) row(k *call, e threat.Entry) journalRow {
	row := journalRow{Seq: e.Seq, Kind: threat.Inert(string(e.Kind), maxName), At: p.When(e.At), Actor: k.actor(e.Actor),
		Subject: threat.Inert(e.Subject, 200), Erased: e.Erased, Hash: threat.Inert(e.Hash, 80), Key: threat.Inert(e.Key, 200)}
	if e.CaseID.Valid {
		row.Case = e.CaseID.UUID.String()
	}
	row.Payload, row.Cut = document(e.Payload)
	return row
}
