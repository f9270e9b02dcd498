package console

import (
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// casesShown is how many cases one page of the list holds.
const casesShown = 50

// casesPage lists cases, the newest first.
type casesPage struct {
	frame
	Cases   []caseRow
	Which   string // open, closed, all
	Tenant  string // a slug, or empty for all
	Tenants []choice
	Older   int64 // the number to go on before; zero at the end
}

// choice is one entry of a select.
type choice struct {
	Value, Text string
	Chosen      bool
}

func listCases(k *call) error {
	p := &casesPage{frame: k.frame("Cases", "/cases"), Which: "open"}
	p.live("")
	q := k.r.URL.Query()
	if w := q.Get("which"); w == "closed" || w == "all" {
		p.Which = w
	}
	tenants, ids, err := k.tenants("case.read")
	if err != nil {
		return err
	}
	for _, t := range tenants {
		chosen := q.Get("tenant") == t.Slug
		if chosen {
			p.Tenant, ids = t.Slug, []uuid.UUID{t.ID}
		}
		p.Tenants = append(p.Tenants, choice{Value: t.Slug, Text: threat.Inert(t.Name, maxName), Chosen: chosen})
	}
	query := threat.CaseQuery{Tenants: ids, Limit: casesShown}
	if p.Which != "all" {
		open := p.Which == "open"
		query.Open = &open
	}
	if b := q.Get("before"); b != "" {
		if query.Before, err = strconv.ParseInt(b, 10, 64); err != nil || query.Before < 1 {
			return &threat.Fault{Kind: threat.Invalid, What: "not a case's number", Place: "before"}
		}
	}
	var list []threat.Case
	if len(ids) > 0 {
		if list, err = k.deps.Store.Cases(k.ctx(), query); err != nil {
			return err
		}
	}
	if len(list) == casesShown {
		p.Older = list[len(list)-1].Number
	}
	waiting, err := k.waiting(ids)
	if err != nil {
		return err
	}
	if p.Cases, err = k.caseRows(&p.frame, list, waiting); err != nil {
		return err
	}
	return k.render(http.StatusOK, "cases", p)
}

// waiting counts the open requests of tenants by case.
func (k *call) waiting(ids []uuid.UUID) (map[uuid.UUID]int, error) {
	out := map[uuid.UUID]int{}
	if len(ids) == 0 {
		return out, nil
	}
	list, err := k.deps.Store.OpenRequests(k.ctx(), ids, maxRequests)
	for _, r := range list {
		out[r.CaseID]++
	}
	return out, err
}
