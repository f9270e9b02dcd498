package api

import (
	"context"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// place writes the index of a JSON pointer.
func place(i int) string { return "/" + strconv.Itoa(i) }

type requestList struct {
	Tenant string `query:"tenant" doc:"an id or a slug; left out: all that the caller may see"`
	Limit  int    `query:"limit" minimum:"0" maximum:"200"`
}

func (a *API) requestRoutes() {
	handle(a, get("/v1/requests", "list-requests", "requests", "Open questions to people"),
		func(ctx context.Context, c *call, p *requestList, _ none) (wire.List[wire.Request], error) {
			orgs, err := a.tenantsOf(ctx, c, p.Tenant, "request.read")
			if err != nil {
				return wire.List[wire.Request]{}, err
			}
			found, err := a.d.Store.OpenRequests(ctx, ids(orgs), limit(p.Limit, 50, 200))
			if err != nil {
				return wire.List[wire.Request]{}, err
			}
			if found, err = withoutOwn(ctx, a, c, found, func(q threat.Request) (uuid.UUID, uuid.NullUUID) {
				return q.TenantID, valid(q.CaseID)
			}); err != nil {
				return wire.List[wire.Request]{}, err
			}
			names, cases := slugs(orgs), map[uuid.UUID]string{}
			out := make([]wire.Request, len(found))
			for i, q := range found {
				if _, known := cases[q.CaseID]; !known {
					k, err := a.d.Store.Case(ctx, q.CaseID)
					if err != nil {
						return wire.List[wire.Request]{}, err
					}
					cases[q.CaseID] = k.Name()
				}
				out[i] = requestView(q, cases[q.CaseID], names[q.TenantID])
			}
			return list(out), nil
		})
	handle(a, get("/v1/requests/{id}", "get-request", "requests", "One question, as it is shown before it is decided"),
		func(ctx context.Context, c *call, p *byID, _ none) (wire.Request, error) {
			q, err := a.requestOf(ctx, c, p.ID)
			if err != nil {
				return wire.Request{}, err
			}
			if err := a.uninvolved(ctx, c, q.TenantID, valid(q.CaseID), "request"); err != nil {
				return wire.Request{}, err
			}
			k, err := a.d.Store.Case(ctx, q.CaseID)
			if err != nil {
				return wire.Request{}, err
			}
			o, err := a.d.Store.Organisation(ctx, q.TenantID.String())
			return requestView(q, k.Name(), o.Slug), err
		})
	handle(a, post("/v1/requests/{id}/verdicts", "decide-request", "requests",
		"Approve, approve a narrower action, deny, or ask for more; a person decides, and the door has the last word"), a.verdict)
}

func (a *API) requestOf(ctx context.Context, c *call, text string) (threat.Request, error) {
	id, err := pathID(text, "request")
	if err != nil {
		return threat.Request{}, err
	}
	q, err := a.d.Store.Request(ctx, id)
	if err != nil {
		return threat.Request{}, noSuch(err, "request")
	}
	return q, a.may(ctx, c, "request.read", q.TenantID, "request")
}

// verdict hands a click to the door. Who may read the request and not decide it clicks without any role: the door refuses
// that, and journals it as it does every click.
func (a *API) verdict(ctx context.Context, c *call, p *byID, b wire.Verdict) (threat.ClickAnswer, error) {
	q, err := a.requestOf(ctx, c, p.ID)
	if err != nil {
		return threat.ClickAnswer{}, err
	}
	allowed, _, err := a.d.Rights.Access(ctx, c.caller, "request.decide", q.TenantID)
	if err != nil {
		return threat.ClickAnswer{}, err
	}
	who := c.caller
	if !allowed {
		who.Grants = nil
	}
	answered, err := a.d.Door.Decide(ctx, threat.Click{RequestID: q.ID, Caller: who, Verdict: b.Verdict, Digest: b.Digest,
		Narrower: b.Narrower, Reason: b.Reason})
	if err == nil && !answered.Accepted {
		err = &refused{answered}
	}
	return answered, err
}

func requestView(q threat.Request, name, tenant string) wire.Request {
	v, _ := verb.Find(q.Body.Verb)
	if q.Votes == nil {
		q.Votes = []threat.Vote{}
	}
	return wire.Request{Request: q, Case: name, Tenant: tenant, Title: v.Title, Undo: v.UndoText, Loss: v.LossText}
}

// named finds one of a list by id.
func named[T any](items []T, id uuid.UUID, of func(T) uuid.UUID, noun string) (T, error) {
	i := slices.IndexFunc(items, func(t T) bool { return of(t) == id })
	if i < 0 {
		var zero T
		return zero, threat.Faultf(threat.NotFound, "no such %s", noun)
	}
	return items[i], nil
}
