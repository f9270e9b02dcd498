package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

// maxSecret is the longest credential that is kept, in bytes.
const maxSecret = 64 << 10

// inConnection is the path of one connection of a tenant.
type inConnection struct {
	Tenant string `path:"tenant" doc:"an id or a slug"`
	ID     string `path:"id"`
}

func (a *API) connectionRoutes() {
	handle(a, get("/v1/tenants/{tenant}/connections", "list-connections", "connections", "The configured products of an organisation"),
		func(ctx context.Context, c *call, p *inTenant, _ none) (wire.List[threat.Connection], error) {
			o, err := a.org(ctx, c, p.Tenant, "connection.read")
			if err != nil {
				return wire.List[threat.Connection]{}, err
			}
			found, err := a.d.Store.Connections(ctx, o.ID)
			return list(found), err
		})
	handle(a, post("/v1/tenants/{tenant}/connections", "add-connection", "connections", "Configure a product").answers(http.StatusCreated),
		func(ctx context.Context, c *call, p *inTenant, b wire.NewConnection) (threat.Connection, error) {
			o, err := a.org(ctx, c, p.Tenant, "connection.write")
			if err != nil {
				return threat.Connection{}, err
			}
			made := threat.Connection{TenantID: o.ID, Adapter: b.Adapter, Name: b.Name, Settings: b.Settings,
				ReachedFrom: b.ReachedFrom, Enabled: b.Enabled == nil || *b.Enabled}
			if made.ReachedFrom != "" && made.ReachedFrom != threat.ReachedFromServer {
				return made, &threat.Fault{Kind: threat.Unsupported, What: "connections are reached from the server", Place: "/reached_from",
					Next: "leave it out"}
			}
			if err := a.checked(made); err != nil {
				return made, err
			}
			return a.d.Store.PutConnection(ctx, c.caller.Actor(), made)
		})
	handle(a, get("/v1/tenants/{tenant}/connections/{id}", "get-connection", "connections", "One connection"),
		func(ctx context.Context, c *call, p *inConnection, _ none) (threat.Connection, error) {
			return a.connectionOf(ctx, c, p, "connection.read")
		})
	handle(a, route{method: http.MethodPatch, path: "/v1/tenants/{tenant}/connections/{id}", id: "change-connection", tag: "connections",
		summary: "Rename, reconfigure, enable or disable a connection"},
		func(ctx context.Context, c *call, p *inConnection, b wire.ChangeConnection) (threat.Connection, error) {
			found, err := a.connectionOf(ctx, c, p, "connection.write")
			if err != nil {
				return found, err
			}
			if b.Name != nil {
				found.Name = *b.Name
			}
			if b.Settings != nil {
				found.Settings = b.Settings
			}
			if b.Enabled != nil {
				found.Enabled = *b.Enabled
			}
			if err := a.checked(found); err != nil {
				return found, err
			}
			return a.d.Store.PutConnection(ctx, c.caller.Actor(), found)
		})
	handle(a, post("/v1/tenants/{tenant}/connections/{id}/test", "test-connection", "connections",
		"Try a connection without changing anything"),
		func(ctx context.Context, c *call, p *inConnection, _ none) (wire.Done, error) {
			found, err := a.connectionOf(ctx, c, p, "connection.write")
			if err != nil {
				return wire.Done{}, err
			}
			if a.d.TestConnection == nil {
				return wire.Done{}, threat.Faultf(threat.Unsupported, "connections cannot be tried here")
			}
			return wire.Done{Done: true}, a.d.TestConnection(ctx, found.ID)
		})
	handle(a, put("/v1/tenants/{tenant}/connections/{id}/secret", "set-secret", "connections",
		"Set a connection's credential; it is never given back"), a.setSecret)
}

// checked refuses a connection that its adapter does not know how to open.
func (a *API) checked(c threat.Connection) error {
	err := a.d.Registry.Check(c)
	if threat.Is(err, threat.NotFound) { // of a name in our body, not of a path
		return &threat.Fault{Kind: threat.Invalid, What: "no adapter is called that", Place: "/adapter", Next: "see /v1/adapters"}
	}
	return err
}

// connectionOf gives the connection of a path.
func (a *API) connectionOf(ctx context.Context, c *call, p *inConnection, action string) (threat.Connection, error) {
	o, err := a.org(ctx, c, p.Tenant, action)
	if err != nil {
		return threat.Connection{}, err
	}
	id, err := pathID(p.ID, "connection")
	if err != nil {
		return threat.Connection{}, err
	}
	found, err := a.d.Store.Connection(ctx, id)
	if err == nil && found.TenantID != o.ID {
		err = threat.Faultf(threat.NotFound, "no such connection")
	}
	if err != nil {
		return threat.Connection{}, noSuch(err, "connection")
	}
	return found, nil
}

func (a *API) setSecret(ctx context.Context, c *call, p *inConnection, b wire.Secret) (threat.Connection, error) {
	found, err := a.connectionOf(ctx, c, p, "connection.write")
	if err != nil {
		return found, err
	}
	if b.Value == "" || len(b.Value) > maxSecret {
		return threat.Connection{}, &threat.Fault{Kind: threat.Invalid, What: "a credential is neither empty nor that long", Place: "/value"}
	}
	by := c.caller.Actor()
	ref := SecretRef(found.ID)
	if err := a.d.Store.PutSecret(ctx, found.TenantID, ref, []byte(b.Value), by); err != nil {
		return threat.Connection{}, err
	}
	if found.SecretRef == ref {
		return found, nil
	}
	found.SecretRef = ref
	return a.d.Store.PutConnection(ctx, by, found)
}

// SecretRef names the credential of a connection.
func SecretRef(connection uuid.UUID) string { return "connection:" + connection.String() }
