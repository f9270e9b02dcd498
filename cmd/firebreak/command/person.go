package command

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/internal/api/client"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

func (p *program) personCommand() *cobra.Command {
	return group("person", "See and set up people", p.personAdd(), p.personList(), p.personDisable(), p.personGrant(), p.personLink())
}

func (p *program) personAdd() *cobra.Command {
	c := &cobra.Command{Use: "add ORG EMAIL NAME", Short: "Add a person", Args: cobra.ExactArgs(3),
		Example: "  firebreak person add acme ada@acme.example 'Ada Acme' --role contact"}
	roles := c.Flags().StringArray("role", nil, "a role over ORG, or role:organisation; may be given again")
	language := c.Flags().String("language", "", "BCP 47, such as de")
	zone := c.Flags().String("zone", "", "IANA, such as Europe/Berlin")
	c.RunE = p.calling(func(ctx context.Context, c *client.Client, args []string) error {
		made, err := c.AddPerson(ctx, wire.NewPerson{Org: args[0], Email: args[1], Name: args[2], Language: *language, Zone: *zone,
			Grants: readGrants(*roles, args[0])})
		if err != nil {
			return err
		}
		return p.show(made, func(w io.Writer) {
			fmt.Fprintf(w, "added %s as %s; let them in with firebreak person link %s\n", threat.Inert(made.Name, 100), made.ID, made.Email)
		})
	})
	return c
}

// readGrants reads role or role:organisation.
func readGrants(list []string, org string) []wire.Grant {
	out := make([]wire.Grant, len(list))
	for i, text := range list {
		role, at, told := strings.Cut(text, ":")
		if !told {
			at = org
		}
		out[i] = wire.Grant{Org: at, Role: threat.Role(role)}
	}
	return out
}

func (p *program) personList() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List people with their roles", Args: cobra.NoArgs}
	org := c.Flags().String("org", "", "only this organisation's own: an id or a slug")
	c.RunE = p.calling(func(ctx context.Context, c *client.Client, _ []string) error {
		all, err := c.People(ctx, *org)
		if err != nil {
			return err
		}
		return p.show(all, func(w io.Writer) {
			table(w, []string{"EMAIL", "NAME", "ORG", "ROLES", "DISABLED", "ID"}, rows(all, func(q wire.Person) []string {
				roles := make([]string, len(q.Grants))
				for i, g := range q.Grants {
					roles[i] = words(string(g.Role))
				}
				return []string{q.Email, q.Name, q.Org, strings.Join(roles, ", "), utcOr(q.DisabledAt, "-"), q.ID.String()}
			}))
		})
	})
	return c
}

// findPerson finds somebody by id or mail address.
func findPerson(ctx context.Context, c *client.Client, text string) (wire.Person, error) {
	all, err := c.People(ctx, "")
	if err != nil {
		return wire.Person{}, err
	}
	return named(all, text, "person", func(q wire.Person) uuid.UUID { return q.ID }, func(q wire.Person) string { return q.Email })
}

func (p *program) personDisable() *cobra.Command {
	return &cobra.Command{Use: "disable PERSON", Short: "End a person's sessions, links and rights at once", Args: cobra.ExactArgs(1),
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			q, err := findPerson(ctx, c, args[0])
			if err != nil {
				return err
			}
			if q, err = c.DisablePerson(ctx, q.ID); err != nil {
				return err
			}
			return p.show(q, func(w io.Writer) { fmt.Fprintf(w, "%s is disabled\n", threat.Inert(q.Email, 254)) })
		})}
}

func (p *program) personGrant() *cobra.Command {
	c := &cobra.Command{Use: "grant PERSON [ROLE[:ORG]...]", Short: "Replace a person's roles; without any they have none",
		Args: cobra.MinimumNArgs(1), Example: "  firebreak person grant ada@acme.example contact:acme"}
	c.RunE = p.calling(func(ctx context.Context, c *client.Client, args []string) error {
		q, err := findPerson(ctx, c, args[0])
		if err != nil {
			return err
		}
		if q, err = c.SetGrants(ctx, q.ID, readGrants(args[1:], q.Org)); err != nil {
			return err
		}
		return p.show(q, func(w io.Writer) {
			fmt.Fprintf(w, "%s has %s\n", threat.Inert(q.Email, 254), count(len(q.Grants), "role"))
		})
	})
	return c
}

func (p *program) personLink() *cobra.Command {
	c := &cobra.Command{Use: "link PERSON", Short: "Make a one-time sign-in link", Args: cobra.ExactArgs(1)}
	life := c.Flags().Duration("for", 0, "how long it is good; left out, 15 minutes")
	c.RunE = p.calling(func(ctx context.Context, c *client.Client, args []string) error {
		q, err := findPerson(ctx, c, args[0])
		if err != nil {
			return err
		}
		n, err := seconds(*life, "--for")
		if err != nil {
			return err
		}
		l, err := c.LinkPerson(ctx, q.ID, n)
		if err != nil {
			return err
		}
		return p.show(l, func(w io.Writer) {
			fmt.Fprintf(w, "%s\ngood once until %s; whoever holds it signs in as %s\n", l.URL, utc(l.ExpiresAt), threat.Inert(q.Email, 254))
		})
	})
	return c
}
