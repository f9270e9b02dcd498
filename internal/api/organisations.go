package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

func (a *API) organisationRoutes() {
	handle(a, get("/v1/organisations", "list-organisations", "organisations", "The organisations that the caller may see"),
		func(ctx context.Context, c *call, _ *none, _ none) (wire.List[threat.Organisation], error) {
			found, err := a.where(ctx, c, "organisation.read")
			return list(found), err
		})
	handle(a, post("/v1/organisations", "create-organisation", "organisations", "Add an organisation").answers(http.StatusCreated),
		func(ctx context.Context, c *call, _ *none, b wire.NewOrganisation) (threat.Organisation, error) {
			parent, err := a.org(ctx, c, b.Parent, "organisation.write")
			if err != nil {
				return threat.Organisation{}, err
			}
			o := threat.Organisation{ParentID: uuid.NullUUID{UUID: parent.ID, Valid: true}, Kind: b.Kind, Slug: b.Slug,
				Name: strings.TrimSpace(b.Name), Language: b.Language, Zone: b.Zone,
				Tenant: b.Kind == threat.Customer || b.Kind == threat.SubEstate}
			if b.Tenant != nil {
				o.Tenant = *b.Tenant
			}
			return a.d.Store.CreateOrganisation(ctx, c.caller.Actor(), o)
		})
	handle(a, get("/v1/tenants/{tenant}", "get-tenant", "organisations", "An organisation, its mode and its stop switch"),
		func(ctx context.Context, c *call, p *inTenant, _ none) (wire.Tenant, error) {
			o, err := a.org(ctx, c, p.Tenant, "tenant.read")
			if err != nil {
				return wire.Tenant{}, err
			}
			out := wire.Tenant{Organisation: o}
			if o.Tenant {
				st, err := a.d.Store.TenantState(ctx, o.ID)
				if err != nil {
					return out, err
				}
				out.State = &st
			}
			out.Stop, err = a.stopOf(ctx, o.ID)
			return out, err
		})
	handle(a, get("/v1/tenants/{tenant}/settings", "get-settings", "organisations",
		"What an organisation sets itself, and what holds for it"),
		func(ctx context.Context, c *call, p *inTenant, _ none) (wire.Settings, error) {
			o, err := a.org(ctx, c, p.Tenant, "tenant.read")
			if err != nil {
				return wire.Settings{}, err
			}
			return a.settings(ctx, o.ID)
		})
	handle(a, put("/v1/tenants/{tenant}/settings", "set-settings", "organisations", "Replace what an organisation sets itself"),
		func(ctx context.Context, c *call, p *inTenant, b tenant.Settings) (wire.Settings, error) {
			o, err := a.org(ctx, c, p.Tenant, "tenant.write")
			if err != nil {
				return wire.Settings{}, err
			}
			if err := a.d.Store.SetSettings(ctx, o.ID, b, c.caller.Actor()); err != nil {
				return wire.Settings{}, err
			}
			return a.settings(ctx, o.ID)
		})
	handle(a, get("/v1/tenants/{tenant}/stop", "get-stop", "organisations", "The stop switch, and the claims that are in flight"),
		func(ctx context.Context, c *call, p *inTenant, _ none) (wire.Stopped, error) {
			o, err := a.org(ctx, c, p.Tenant, "tenant.read")
			if err != nil {
				return wire.Stopped{}, err
			}
			out := wire.Stopped{InFlight: []threat.Claim{}}
			if out.Stop, err = a.stopOf(ctx, o.ID); err != nil || !o.Tenant {
				return out, err
			}
			claims, err := a.d.Store.InFlight(ctx, o.ID)
			out.InFlight = list(claims).Items
			return out, err
		})
	handle(a, post("/v1/tenants/{tenant}/stop", "set-stop", "organisations",
		"Stop acting for an organisation and all below it, or go on; answers what is still in flight"),
		func(ctx context.Context, c *call, p *inTenant, b wire.SetStop) (wire.Stopped, error) {
			o, err := a.org(ctx, c, p.Tenant, "tenant.stop")
			if err != nil {
				return wire.Stopped{}, err
			}
			why, err := text(b.Why, "/why")
			if err != nil {
				return wire.Stopped{}, err
			}
			claims, err := a.d.Store.SetStop(ctx, o.ID, b.On, why, c.caller.Actor())
			if err != nil {
				return wire.Stopped{}, err
			}
			stop, err := a.stopOf(ctx, o.ID)
			return wire.Stopped{Stop: stop, InFlight: list(claims).Items}, err
		})
}

func (a *API) stopOf(ctx context.Context, org uuid.UUID) (wire.Stop, error) {
	on, why, by, err := a.d.StopOf(ctx, org)
	return wire.Stop{On: on, Why: why, By: by}, err
}

func (a *API) settings(ctx context.Context, org uuid.UUID) (wire.Settings, error) {
	own, err := a.d.Store.OwnSettings(ctx, org)
	if err != nil {
		return wire.Settings{}, err
	}
	all, err := a.d.Store.EffectiveSettings(ctx, org)
	return wire.Settings{Own: own, Effective: all}, err
}
