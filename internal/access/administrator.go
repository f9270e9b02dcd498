package access

import (
	"context"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// EnsureAdministrator sees that the provider has an administrator, who sets up and approves nothing, and gives a one-time
// sign-in link for as long as the one of this mail address has never signed in; otherwise the link is empty. Where no
// administrator is left at all, the person of the address becomes one: whoever starts the program on the machine that holds
// its data may do so. NotFound before the provider was made, Conflict when the address is that of a disabled person or of
// another organisation's.
func (s *Service) EnsureAdministrator(ctx context.Context, email, name string) (threat.Person, string, error) {
	root, err := s.deps.Store.Root(ctx)
	if err != nil {
		return threat.Person{}, "", err
	}
	has, err := s.hasAdministrator(ctx, root, uuid.Nil)
	if err != nil {
		return threat.Person{}, "", err
	}
	p, err := s.deps.Store.PersonByEmail(ctx, email)
	switch {
	case threat.Is(err, threat.NotFound) && has:
		return threat.Person{}, "", nil // somebody else administers; nobody is added behind their back
	case threat.Is(err, threat.NotFound):
		if p, err = s.deps.Store.PutPerson(ctx, threat.SystemActor, threat.Person{OrgID: root.ID, Name: name, Email: email}); err != nil {
			return threat.Person{}, "", err
		}
	case err != nil:
		return threat.Person{}, "", err
	case !has && (p.DisabledAt != nil || p.OrgID != root.ID):
		return p, "", &threat.Fault{Kind: threat.Conflict, What: "the address is that of a disabled person, or of another organisation's",
			Next: "give another address for the first administrator"}
	}
	grants, err := s.deps.Store.Grants(ctx, p.ID)
	if err != nil {
		return p, "", err
	}
	if !has {
		grants = append(grants, threat.Grant{PersonID: p.ID, OrgID: root.ID, Role: threat.Administrator})
		if err := s.deps.Store.SetGrants(ctx, p.ID, grants, threat.SystemActor); err != nil {
			return p, "", err
		}
	}
	if !administers(grants, root) {
		return p, "", nil
	}
	came, err := s.hasSignedIn(ctx, p)
	if err != nil || came {
		return p, "", err
	}
	link, err := s.SignInLink(ctx, p.ID, 0)
	return p, link, err
}

// LastAdministrator reports whether a person who would keep these roles only administers the provider until then, and nobody
// else does: nobody could set anything up any more. NotFound before the provider was made.
func (s *Service) LastAdministrator(ctx context.Context, person uuid.UUID, kept []threat.Grant) (bool, error) {
	root, err := s.deps.Store.Root(ctx)
	if err != nil {
		return false, err
	}
	grants, err := s.deps.Store.Grants(ctx, person)
	if err != nil || !administers(grants, root) || administers(kept, root) {
		return false, err
	}
	others, err := s.hasAdministrator(ctx, root, person)
	return !others, err
}

// hasAdministrator reports whether somebody of the provider administers it, but for one person.
func (s *Service) hasAdministrator(ctx context.Context, root threat.Organisation, but uuid.UUID) (bool, error) {
	people, err := s.deps.Store.Persons(ctx, root.ID)
	if err != nil {
		return false, err
	}
	for _, p := range people {
		if p.ID == but {
			continue
		}
		grants, err := s.deps.Store.Grants(ctx, p.ID) // none of a disabled person
		if err != nil {
			return false, err
		}
		if administers(grants, root) {
			return true, nil
		}
	}
	return false, nil
}

func administers(grants []threat.Grant, root threat.Organisation) bool {
	for _, g := range grants {
		if g.Role == threat.Administrator && g.OrgID == root.ID {
			return true
		}
	}
	return false
}

// maxLookedThrough bounds how much of a journal is looked through for a first sign-in. Where so much happened without one,
// somebody else runs the place, and no link is printed any more.
const maxLookedThrough = 5000

// hasSignedIn reports whether a person ever signed in, by the journal of their organisation.
func (s *Service) hasSignedIn(ctx context.Context, p threat.Person) (bool, error) {
	var after int64
	for range maxLookedThrough / 500 {
		entries, err := s.deps.Store.Entries(ctx, p.OrgID, after, 500)
		if err != nil {
			return false, err
		}
		for _, e := range entries {
			if e.Kind == threat.EntrySignIn && e.Subject == "person:"+p.ID.String() {
				return true, nil
			}
			after = e.Seq
		}
		if len(entries) < 500 {
			return false, nil
		}
	}
	return true, nil
}
