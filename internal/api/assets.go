package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

// inAsset is the path of one asset of a tenant.
type inAsset struct {
	Tenant string `path:"tenant" doc:"an id or a slug"`
	ID     string `path:"id"`
}

func (a *API) assetRoutes() {
	handle(a, get("/v1/tenants/{tenant}/assets", "list-assets", "assets", "A tenant's assets"),
		func(ctx context.Context, c *call, p *inTenant, _ none) (wire.List[threat.Asset], error) {
			o, err := a.tenant(ctx, c, p.Tenant, "tenant.read")
			if err != nil {
				return wire.List[threat.Asset]{}, err
			}
			found, err := a.d.Store.Assets(ctx, o.ID)
			return list(found), err
		})
	handle(a, post("/v1/tenants/{tenant}/assets", "add-asset", "assets", "Add an asset").answers(http.StatusCreated),
		func(ctx context.Context, c *call, p *inTenant, b wire.NewAsset) (threat.Asset, error) {
			o, err := a.tenant(ctx, c, p.Tenant, "tenant.write")
			if err != nil {
				return threat.Asset{}, err
			}
			made := threat.Asset{TenantID: o.ID, Kind: b.Kind, Name: b.Name, Addresses: b.Addresses, Managed: b.Managed, Role: b.Role,
				Evidence: threat.Inert(b.Evidence, 200), Protected: b.Protected, Tags: b.Tags}
			if made.Evidence == "" && b.Role != "" {
				made.Evidence = "told by " + c.caller.Actor()
			}
			return a.d.Store.PutAsset(ctx, c.caller.Actor(), made)
		})
	handle(a, remove("/v1/tenants/{tenant}/assets/{id}", "remove-asset", "assets", "Remove an asset"),
		func(ctx context.Context, c *call, p *inAsset, _ none) (wire.Done, error) {
			found, err := a.assetOf(ctx, c, p)
			if err != nil {
				return wire.Done{}, err
			}
			return wire.Done{Done: true}, a.d.Store.DeleteAsset(ctx, found.TenantID, found.ID, c.caller.Actor())
		})
	handle(a, post("/v1/tenants/{tenant}/assets/{id}/protect", "protect-asset", "assets", "Protect an asset, or no longer"),
		func(ctx context.Context, c *call, p *inAsset, b wire.Protect) (threat.Asset, error) {
			found, err := a.assetOf(ctx, c, p)
			if err != nil || found.Protected == b.Protected {
				return found, err
			}
			found.Protected = b.Protected
			return a.d.Store.PutAsset(ctx, c.caller.Actor(), found)
		})
}

func (a *API) assetOf(ctx context.Context, c *call, p *inAsset) (threat.Asset, error) {
	o, err := a.tenant(ctx, c, p.Tenant, "tenant.write")
	if err != nil {
		return threat.Asset{}, err
	}
	id, err := pathID(p.ID, "asset")
	if err != nil {
		return threat.Asset{}, err
	}
	all, err := a.d.Store.Assets(ctx, o.ID)
	if err != nil {
		return threat.Asset{}, err
	}
	return named(all, id, func(x threat.Asset) uuid.UUID { return x.ID }, "asset")
}
