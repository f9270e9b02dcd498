package decide

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

type accessAnswer struct {
	Allow bool         `json:"allow"`
	Said  []saidAnswer `json:"said"`
}

// ActionTenantMode is the one action whose right stands in a tenant's list of contacts.
const ActionTenantMode = "tenant.mode"

// Access asks whether a caller may do an action on an organisation. Without an answer it is no. It is asked for every call,
// and is not recorded: who refuses journals it. An organisation that there is not is a no, told as a wrong right is, so
// that nobody learns what exists. Faults are the store's.
func (s *Service) Access(ctx context.Context, caller threat.Caller, action string, org uuid.UUID) (bool, string, error) {
	at, err := s.place(ctx, org)
	if threat.Is(err, threat.NotFound) {
		return false, "none of the caller's roles has this right here", nil
	}
	if err != nil {
		return false, "", err
	}
	in := accessInput{At: s.deps.Now().UTC().Truncate(time.Minute), Action: threat.Inert(action, 64), Lineage: at.ids,
		Caller: accessCaller{Kind: "system", Grants: make([]grantFacts, 0, len(caller.Grants))}}
	switch {
	case caller.PersonID.Valid:
		in.Caller.Kind = "person"
	case caller.TokenID.Valid:
		in.Caller.Kind = "token"
	}
	for _, g := range caller.Grants {
		in.Caller.Grants = append(in.Caller.Grants, grantFacts{Org: g.OrgID.String(), Role: g.Role})
	}
	if action == ActionTenantMode && caller.IsPerson() {
		entry, listed, err := s.contact(ctx, org, caller.PersonID.UUID)
		if err != nil {
			return false, "", err
		}
		in.Caller.ChangeMode = listed && entry.ChangeMode
	}
	var out accessAnswer
	s.read(ctx, threat.AskAccess, s.deps.Policies.Evaluate(ctx, threat.AskAccess, in), &out, func() {
		out = accessAnswer{Said: noAnswer()}
	})
	return out.Allow, whys(out.Said), nil
}
