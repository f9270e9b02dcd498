package console

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// Most rows that the queue shows of each kind.
const (
	maxRequests = 200
	maxOpen     = 200
	maxAlarms   = 10
)

// queuePage is what waits: questions first, then open cases by severity.
type queuePage struct {
	frame
	Alarms   []alarmRow
	Stops    []stopRow
	Changed  *modeNews    // the response mode of the reader's own tenant, if somebody else changed it lately
	Mine     []requestRow // the reader may decide
	Others   []requestRow
	Cases    []caseRow
	CutShort bool // there are more than the page shows
}

type alarmRow struct {
	At   moment
	What string
}

// modeNews is a change of the response mode that the reader did not make.
type modeNews struct {
	Org, Slug string
	Mode      word
	By        string
	At        moment
	Eradicate bool
}

// newsFor is how long a change of mode stands on the first page of the tenant's other people.
const newsFor = 3 * 24 * time.Hour

// stopRow is one stop switch that is on.
type stopRow struct {
	Org       string
	Slug      string
	Why       string
	By        string
	Tenants   int // of those that the reader sees, how many it stops
	Simulated bool
}

// requestRow is one question in a list.
type requestRow struct {
	ID        string
	Title     string // "Block an address"
	Targets   []targetRow
	End       bool // it asks about the end of a containment
	Case      string
	CaseTitle string
	Severity  word
	Tenant    string
	Slug      string
	Expires   moment
	Approvers string
	Have      int
	Need      int
	Mine      bool
	Right     string // why they may decide, or why not
	Simulated bool
}

// InCase is the row on the page of its own case, which need not be named.
func (r requestRow) InCase() requestRow {
	r.Case = ""
	return r
}

// caseRow is one case in a list.
type caseRow struct {
	Name      string
	Title     string
	Tenant    string
	Slug      string
	Severity  word
	Threat    word
	Contact   word
	AckUntil  *moment
	Opened    moment
	Updated   moment
	Waiting   int // open requests
	Open      bool
	Simulated bool
}

// queue is the first page.
func queue(k *call) error {
	p := &queuePage{frame: k.frame("Queue", "/")}
	p.live("")
	p.Alarms = k.alarms()
	var err error
	if p.Stops, err = k.stops(); err != nil {
		return err
	}
	if p.Changed, err = k.modeNews(); err != nil {
		return err
	}
	waiting, err := p.requests(k)
	if err != nil {
		return err
	}
	if err := p.cases(k, waiting); err != nil {
		return err
	}
	return k.render(http.StatusOK, "queue", p)
}

// requests fills in the open questions and counts them by case.
func (p *queuePage) requests(k *call) (map[uuid.UUID]int, error) {
	waiting := map[uuid.UUID]int{}
	_, ids, err := k.tenants("request.read")
	if err != nil || len(ids) == 0 {
		return waiting, err
	}
	list, err := k.deps.Store.OpenRequests(k.ctx(), ids, maxRequests)
	if err != nil {
		return nil, err
	}
	p.CutShort = len(list) == maxRequests
	slices.SortStableFunc(list, func(a, b threat.Request) int { return a.ExpiresAt.Compare(b.ExpiresAt) })
	for _, r := range list {
		row, shown, err := k.requestRow(&p.frame, r)
		switch {
		case err != nil:
			return nil, err
		case !shown:
			continue
		case row.Mine:
			p.Mine = append(p.Mine, row)
		default:
			p.Others = append(p.Others, row)
		}
		waiting[r.CaseID]++
	}
	return waiting, nil
}

// requestRow makes a question's line. It is not shown to a subject of its case.
func (k *call) requestRow(f *frame, r threat.Request) (row requestRow, shown bool, err error) {
	c, err := k.deps.Store.Case(k.ctx(), r.CaseID)
	if err != nil {
		return row, false, err
	}
	if in, err := k.involved(c); err != nil || in {
		return row, false, err
	}
	o, err := k.org(r.TenantID)
	if err != nil {
		return row, false, err
	}
	j, err := k.judge(r)
	if err != nil {
		return row, false, err
	}
	row = requestRow{ID: r.ID.String(), Title: verbTitle(r.Body.Verb), End: r.Body.Kind == threat.RequestEnd, Case: c.Name(),
		CaseTitle: threat.Inert(c.Title, maxName), Severity: severityWord(c.Severity), Tenant: threat.Inert(o.Name, maxName),
		Slug: o.Slug, Expires: f.When(r.ExpiresAt), Approvers: approversWords(r.Approvers), Have: approvals(r),
		Need: max(r.Approvers.Needed, 1), Mine: j.may, Right: j.why, Simulated: o.Simulated || c.Simulated}
	for _, t := range r.Body.Targets {
		row.Targets = append(row.Targets, plainTarget(t))
	}
	return row, true, nil
}

// cases fills in the open cases, the most severe first, and of those the newest.
func (p *queuePage) cases(k *call, waiting map[uuid.UUID]int) error {
	_, ids, err := k.tenants("case.read")
	if err != nil || len(ids) == 0 {
		return err
	}
	open := true
	list, err := k.deps.Store.Cases(k.ctx(), threat.CaseQuery{Tenants: ids, Open: &open, Limit: maxOpen})
	if err != nil {
		return err
	}
	p.CutShort = p.CutShort || len(list) == maxOpen
	slices.SortStableFunc(list, func(a, b threat.Case) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(b.Number, a.Number))
	})
	p.Cases, err = k.caseRows(&p.frame, list, waiting)
	return err
}

// caseRows makes lines of cases, without those that the caller is a subject of.
func (k *call) caseRows(f *frame, list []threat.Case, waiting map[uuid.UUID]int) ([]caseRow, error) {
	var out []caseRow
	for _, c := range list {
		if in, err := k.involved(c); err != nil {
			return nil, err
		} else if in {
			continue
		}
		o, err := k.org(c.TenantID)
		if err != nil {
			return nil, err
		}
		row := caseRow{Name: c.Name(), Title: threat.Inert(c.Title, maxName), Tenant: threat.Inert(o.Name, maxName), Slug: o.Slug,
			Severity: severityWord(c.Severity), Threat: threatWord(c.Threat), Contact: contactWord(c.Contact),
			Opened: f.When(c.OpenedAt), Updated: f.When(c.UpdatedAt), Waiting: waiting[c.ID], Open: c.Open(),
			Simulated: o.Simulated || c.Simulated}
		if c.Acknowledged(k.now) {
			m := f.When(*c.AckUntil)
			row.AckUntil = &m
		}
		out = append(out, row)
	}
	return out, nil
}

// alarms are for people with a role over the whole provider.
func (k *call) alarms() []alarmRow {
	f := frame{Now: k.now}
	var out []alarmRow
	if st := k.deps.Policy.Active(); st.Stale && k.ofProvider() {
		out = append(out, alarmRow{At: f.When(st.ErrorAt),
			What: "New policy rules could not be taken. The older ones stay in force: see Policy."})
	}
	if k.deps.Alarms == nil || !k.ofProvider() {
		return out
	}
	for _, a := range k.deps.Alarms(k.ctx()) {
		if len(out) == maxAlarms {
			break
		}
		out = append(out, alarmRow{At: f.When(a.At), What: sentence(threat.Inert(a.What, maxText))})
	}
	return out
}

// ofProvider reports whether a grant of the caller names the root of the tree.
func (k *call) ofProvider() bool {
	root, err := k.deps.Store.Root(k.ctx())
	return err == nil && slices.ContainsFunc(k.caller.Grants, func(g threat.Grant) bool { return g.OrgID == root.ID })
}

// modeNews gives the last change of the response mode of the reader's own organisation, when it is recent and somebody
// else's.
func (k *call) modeNews() (*modeNews, error) {
	if k.ofProvider() || !k.may("tenant.read", k.caller.OrgID) {
		return nil, nil
	}
	list, err := k.deps.Store.Consents(k.ctx(), k.caller.OrgID)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	c := list[len(list)-1]
	if c.GivenBy == k.caller.PersonID.UUID || k.now.Sub(c.At) > newsFor {
		return nil, nil
	}
	o := k.byID[c.TenantID]
	f := frame{Now: k.now}
	return &modeNews{Org: threat.Inert(o.Name, maxName), Slug: o.Slug, Mode: modeWord(c.Mode), At: f.When(c.At),
		By: k.actor("person:" + c.GivenBy.String()), Eradicate: c.Eradicate}, nil
}

// stops lists the switches that are on over what the caller sees, also those of organisations above it.
func (k *call) stops() ([]stopRow, error) {
	tenants, _, err := k.tenants("tenant.read")
	if err != nil {
		return nil, err
	}
	at := map[uuid.UUID]int{}
	own := map[uuid.UUID]Stop{}
	var out []stopRow
	for _, t := range tenants {
		line, err := k.lineage(t.ID)
		if err != nil {
			return nil, err
		}
		for _, o := range line {
			if i, seen := at[o.ID]; seen {
				out[i].Tenants++
				continue
			}
			s, read := own[o.ID]
			if !read {
				if s, err = k.deps.StopOf(k.ctx(), o.ID); err != nil {
					return nil, err
				}
				own[o.ID] = s
			}
			if !s.On {
				continue
			}
			at[o.ID] = len(out)
			out = append(out, stopRow{Org: threat.Inert(o.Name, maxName), Slug: o.Slug, Why: threat.Inert(s.Why, maxText),
				By: k.actor(s.By), Tenants: 1, Simulated: o.Simulated})
		}
	}
	return out, nil
}
