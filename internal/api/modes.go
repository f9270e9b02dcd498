package api

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// maxWaiting is how many waiting responses a preview looks at.
const maxWaiting = 1000

type modePreview struct {
	Tenant    string      `path:"tenant" doc:"an id or a slug"`
	Mode      threat.Mode `query:"mode" required:"true" enum:"notify,collaborate,collaborate_unreachable,authorize"`
	Eradicate bool        `query:"eradicate"`
}

func (a *API) modeRoutes() {
	handle(a, get("/v1/tenants/{tenant}/mode", "get-mode", "modes", "A tenant's response mode, and who consented to it"),
		func(ctx context.Context, c *call, p *inTenant, _ none) (wire.Mode, error) {
			o, err := a.tenant(ctx, c, p.Tenant, "tenant.read")
			if err != nil {
				return wire.Mode{}, err
			}
			return a.mode(ctx, o.ID)
		})
	handle(a, post("/v1/tenants/{tenant}/mode", "set-mode", "modes", "Consent to a response mode, in words"),
		func(ctx context.Context, c *call, p *inTenant, b wire.SetMode) (wire.Mode, error) {
			o, err := a.tenant(ctx, c, p.Tenant, "tenant.mode")
			if err != nil {
				return wire.Mode{}, err
			}
			if !c.caller.IsPerson() {
				return wire.Mode{}, &threat.Fault{Kind: threat.Forbidden, What: "a mode is a consent, and a person gives it",
					Next: "sign in"}
			}
			words, err := text(b.Words, "/words")
			if err != nil {
				return wire.Mode{}, err
			}
			if _, err = a.d.Store.SetMode(ctx, c.caller.Actor(), threat.Consent{TenantID: o.ID, Mode: b.Mode,
				Eradicate: b.Eradicate, GivenBy: c.caller.PersonID.UUID, Words: words, Language: b.Language}); err != nil {
				return wire.Mode{}, err
			}
			return a.mode(ctx, o.ID)
		})
	handle(a, get("/v1/tenants/{tenant}/mode/preview", "preview-mode", "modes",
		"What a mode would let go of that which waits now"), a.previewMode)
}

func (a *API) mode(ctx context.Context, org uuid.UUID) (wire.Mode, error) {
	st, err := a.d.Store.TenantState(ctx, org)
	if err != nil {
		return wire.Mode{}, err
	}
	consents, err := a.d.Store.Consents(ctx, org)
	consents = list(consents).Items
	slices.Reverse(consents)
	return wire.Mode{State: st, Consents: consents}, err
}

func (a *API) previewMode(ctx context.Context, c *call, p *modePreview, _ none) (wire.ModePreview, error) {
	o, err := a.tenant(ctx, c, p.Tenant, "tenant.read")
	if err != nil {
		return wire.ModePreview{}, err
	}
	st, err := a.d.Store.TenantState(ctx, o.ID)
	if err != nil {
		return wire.ModePreview{}, err
	}
	out := wire.ModePreview{Mode: p.Mode, Now: st.Mode, Stopped: st.Stopped, Waiting: []wire.PreviewRow{}}
	open, err := a.d.Store.ResponsesOf(ctx, []uuid.UUID{o.ID}, true, maxWaiting)
	if err != nil {
		return out, err
	}
	if open, err = withoutOwn(ctx, a, c, open, func(r threat.Response) (uuid.UUID, uuid.NullUUID) { return r.TenantID, valid(r.CaseID) }); err != nil {
		return out, err
	}
	cases := map[uuid.UUID]threat.Case{}
	for _, r := range open {
		if !waits(r.State) {
			continue
		}
		k, seen := cases[r.CaseID]
		if !seen {
			if k, err = a.d.Store.Case(ctx, r.CaseID); err != nil {
				return out, err
			}
			cases[r.CaseID] = k
		}
		row := a.underMode(r, k, p.Mode, p.Eradicate, st.Stopped)
		if row.LetGo {
			out.LetGo++
		}
		out.Waiting = append(out.Waiting, row)
	}
	return out, nil
}

func waits(s threat.ResponseState) bool {
	return s == threat.ResponseProposed || s == threat.ResponseAsked || s == threat.ResponseStale
}

// underMode tells on what a waiting response would rest in a mode. Policy may still say otherwise.
func (a *API) underMode(r threat.Response, k threat.Case, m threat.Mode, eradicate, stopped bool) wire.PreviewRow {
	row := wire.PreviewRow{Response: responseView(r), Case: k.Name(), Basis: threat.BasisApproval, Why: "people are asked"}
	v, _ := verb.Find(r.Verb)
	undone := v.Class != threat.Eradicate || eradicate
	switch {
	case m == threat.ModeNotify:
		row.Basis, row.Why = threat.BasisNone, "nothing is done in this mode"
	case m == threat.ModeAuthorize && undone:
		row.Basis, row.Why = threat.BasisMode, "the mode lets it go at once"
	case m == threat.ModeAuthorize:
		row.Why = "what cannot be undone is not granted: people are asked"
	case m == threat.ModeCollaborateUnreachable && k.Contact == threat.ContactUnreachable && !k.Acknowledged(a.d.Now()) &&
		k.Threat == threat.ThreatActive && undone:
		row.Basis, row.Why = threat.BasisUnreachable, "every contact was tried to the end, and the threat is active"
	}
	row.LetGo = row.Basis == threat.BasisMode || row.Basis == threat.BasisUnreachable
	if row.LetGo && stopped {
		row.LetGo, row.Why = false, "the stop switch is on; once it is off, "+row.Why
	}
	return row
}
