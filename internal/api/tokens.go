package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

// inOrg is the query that names one organisation.
type inOrg struct {
	Org string `query:"org" doc:"an id or a slug; left out: all that the caller may see"`
}

// machineKinds gives the kind of token that a machine's role needs.
var machineKinds = map[threat.Role]threat.TokenKind{threat.Sensor: threat.TokenSensor, threat.Firewall: threat.TokenFirewall,
	threat.Relay: threat.TokenRelay}

func (a *API) tokenRoutes() {
	handle(a, get("/v1/tokens", "list-tokens", "access", "Tokens of programs, without their secrets"),
		func(ctx context.Context, c *call, p *inOrg, _ none) (wire.List[threat.Token], error) {
			orgs, err := a.orgsOf(ctx, c, p.Org, "token.read")
			if err != nil {
				return wire.List[threat.Token]{}, err
			}
			var out []threat.Token
			for _, o := range orgs {
				found, err := a.d.Store.Tokens(ctx, o.ID)
				if err != nil {
					return wire.List[threat.Token]{}, err
				}
				out = append(out, found...)
			}
			return list(out), nil
		})
	handle(a, post("/v1/tokens", "create-token", "access", "Make a token; its secret is shown this once").answers(http.StatusCreated),
		a.mint)
	handle(a, remove("/v1/tokens/{id}", "revoke-token", "access", "Revoke a token at once"),
		func(ctx context.Context, c *call, p *byID, _ none) (wire.Done, error) {
			id, err := pathID(p.ID, "token")
			if err != nil {
				return wire.Done{}, err
			}
			return wire.Done{Done: true}, a.d.Access.RevokeToken(ctx, c.caller, id)
		})
}

func (a *API) mint(ctx context.Context, c *call, _ *none, b wire.NewToken) (wire.MintedToken, error) {
	o, err := a.org(ctx, c, b.Org, "token.write")
	if err != nil {
		return wire.MintedToken{}, err
	}
	k := threat.Token{OrgID: o.ID, Role: b.Role, Kind: b.Kind, Name: b.Name}
	if !slices.Contains(threat.Roles, b.Role) {
		return wire.MintedToken{}, &threat.Fault{Kind: threat.Invalid, What: "unknown role", Place: "/role"}
	}
	if k.Kind == "" {
		k.Kind = machineKinds[b.Role]
	}
	if b.ExpiresInSeconds < 0 || b.ExpiresInSeconds > 10*366*86400 {
		return wire.MintedToken{}, &threat.Fault{Kind: threat.Invalid, What: "this is no lifetime", Place: "/expires_in_seconds"}
	}
	if b.ExpiresInSeconds > 0 {
		ends := a.d.Now().UTC().Add(time.Duration(b.ExpiresInSeconds) * time.Second)
		k.ExpiresAt = &ends
	}
	if b.ConnectionID != nil {
		k.ConnectionID = uuid.NullUUID{UUID: *b.ConnectionID, Valid: true}
	}
	secret, made, err := a.d.Access.MintToken(ctx, c.caller, k)
	return wire.MintedToken{Token: made, Secret: secret}, err
}

// orgsOf gives the organisations in which the caller may do an action: all, or the one that was named.
func (a *API) orgsOf(ctx context.Context, c *call, named, action string) ([]threat.Organisation, error) {
	if named == "" {
		return a.where(ctx, c, action)
	}
	o, err := a.org(ctx, c, named, action)
	if err != nil {
		return nil, err
	}
	return []threat.Organisation{o}, nil
}
