package access

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// kindRoles are the roles of machines' tokens: each kind has one, and no other kind has it.
var kindRoles = map[threat.TokenKind]threat.Role{threat.TokenSensor: threat.Sensor, threat.TokenFirewall: threat.Firewall,
	threat.TokenRelay: threat.Relay}

// MintToken makes a token for whoever may, and gives its secret, which is shown once and kept by nobody. It takes the right
// token.write over the token's organisation. Faults are Allow's, and Invalid with the place.
func (s *Service) MintToken(ctx context.Context, caller threat.Caller, k threat.Token) (string, threat.Token, error) {
	if err := s.Allow(ctx, caller, "token.write", k.OrgID); err != nil {
		return "", threat.Token{}, err
	}
	return s.IssueToken(ctx, caller.Actor(), k)
}

// IssueToken is MintToken for the program itself, which asks nobody for the right: at the first start, and in the lab.
func (s *Service) IssueToken(ctx context.Context, by string, k threat.Token) (string, threat.Token, error) {
	if k.Kind == "" {
		k.Kind = threat.TokenAPI
	}
	if err := s.fits(ctx, k); err != nil {
		return "", threat.Token{}, err
	}
	prefix := TokenPrefix
	if k.Kind == threat.TokenFirewall {
		prefix = FeedPrefix
	}
	secret, hash := newSecret(prefix)
	k.ID, k.Hash, k.RevokedAt = uuid.Nil, hash, nil
	kept, err := s.deps.Store.PutToken(ctx, by, k)
	if err != nil {
		return "", threat.Token{}, err
	}
	return secret, kept, nil
}

// fits refuses a token whose role is not one of its kind's, or whose connection is not below its organisation.
func (s *Service) fits(ctx context.Context, k threat.Token) error {
	role, machine := kindRoles[k.Kind]
	if machine && k.Role != role {
		return &threat.Fault{Kind: threat.Invalid, Place: "/role", What: "a token of this kind has the role " + string(role)}
	}
	for kind, r := range kindRoles {
		if k.Role == r && k.Kind != kind {
			return &threat.Fault{Kind: threat.Invalid, Place: "/kind",
				What: "the role " + string(r) + " takes a token of the kind " + string(kind)}
		}
	}
	if !k.ConnectionID.Valid {
		if k.Kind == threat.TokenFirewall {
			return &threat.Fault{Kind: threat.Invalid, Place: "/connection_id",
				What: "a firewall's token names the connection whose lists it fetches"}
		}
		return nil
	}
	none := &threat.Fault{Kind: threat.Invalid, Place: "/connection_id", What: "the organisation has no such connection"}
	c, err := s.deps.Store.Connection(ctx, k.ConnectionID.UUID)
	if threat.Is(err, threat.NotFound) {
		return none
	}
	if err != nil {
		return err
	}
	line, err := s.deps.Store.Lineage(ctx, c.TenantID)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(line, func(o threat.Organisation) bool { return o.ID == k.OrgID }) {
		return none
	}
	return nil
}

// RevokeToken ends a token at once: its next call is refused. Doing it again changes nothing. NotFound for a token of an
// organisation that the caller does not see or may not write tokens of.
func (s *Service) RevokeToken(ctx context.Context, caller threat.Caller, id uuid.UUID) error {
	orgs, err := s.Reach(ctx, caller, "token.write")
	if err != nil {
		return err
	}
	for _, o := range orgs {
		tokens, err := s.deps.Store.Tokens(ctx, o.ID)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(tokens, func(k threat.Token) bool { return k.ID == id }) {
			continue
		}
		if err := s.Allow(ctx, caller, "token.write", o.ID); err != nil {
			return err
		}
		return s.deps.Store.RevokeToken(ctx, id, caller.Actor())
	}
	return threat.Faultf(threat.NotFound, "no such token")
}

// FeedSubscriber gives whom a token in a feed's path stands for: the connection whose lists it fetches, and the firewall's
// name. Unauthenticated for one that is not known, Forbidden for one that was revoked, is over or has no right any more, and
// for a connection that was switched off.
func (s *Service) FeedSubscriber(ctx context.Context, token string) (threat.Connection, string, error) {
	none := threat.Connection{}
	if !shaped(token, FeedPrefix) {
		return none, "", errNobody("the token is not known")
	}
	k, err := s.deps.Store.TokenByHash(ctx, hashOf(token))
	switch {
	case threat.Is(err, threat.NotFound):
		return none, "", errNobody("the token is not known")
	case threat.Is(err, threat.Unauthenticated):
		return none, "", threat.Faultf(threat.Forbidden, "the token was revoked or is over")
	case err != nil:
		return none, "", err
	case k.Kind != threat.TokenFirewall || !k.ConnectionID.Valid:
		return none, "", threat.Faultf(threat.Forbidden, "the token is not a firewall's")
	}
	c, err := s.deps.Store.Connection(ctx, k.ConnectionID.UUID)
	if err != nil {
		return none, "", err
	}
	if !c.Enabled {
		return none, "", threat.Faultf(threat.Forbidden, "the connection is switched off")
	}
	if err := s.Allow(ctx, callerOf(k, "feed"), "feed.read", c.TenantID); err != nil {
		if threat.Is(err, threat.NotFound) {
			return none, "", threat.Faultf(threat.Forbidden, "the token has no right over this connection")
		}
		return none, "", err
	}
	return c, k.Name, nil
}
