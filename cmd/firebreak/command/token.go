package command

import (
	"context"
	"fmt"
	"io"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/internal/api/client"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

func (p *program) tokenCommand() *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List programs' tokens", Args: cobra.NoArgs}
	org := list.Flags().String("org", "", "only this organisation's own: an id or a slug")
	list.RunE = p.calling(func(ctx context.Context, c *client.Client, _ []string) error {
		all, err := c.Tokens(ctx, *org)
		if err != nil {
			return err
		}
		return p.show(all, func(w io.Writer) {
			table(w, []string{"NAME", "ROLE", "KIND", "EXPIRES", "REVOKED", "ID"}, rows(all, func(k threat.Token) []string {
				return []string{k.Name, words(string(k.Role)), string(k.Kind), utcOr(k.ExpiresAt, "-"), utcOr(k.RevokedAt, "-"), k.ID.String()}
			}))
		})
	})
	revoke := &cobra.Command{Use: "revoke TOKEN", Short: "Revoke a token at once, by its id", Args: cobra.ExactArgs(1),
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.RevokeToken(ctx, args[0]); err != nil {
				return err
			}
			return p.say("revoked")
		})}
	return group("token", "See and make programs' tokens", p.tokenCreate(), list, revoke)
}

func (p *program) tokenCreate() *cobra.Command {
	c := &cobra.Command{Use: "create ORG ROLE NAME", Short: "Make a token; its secret is shown this once", Args: cobra.ExactArgs(3),
		Example: "  firebreak token create acme sensor 'suricata at the edge'\n" +
			"  firebreak token create acme firewall edge --connection 0197..."}
	life := c.Flags().Duration("expires-in", 0, "how long it is good; left out, until it is revoked")
	connection := c.Flags().String("connection", "", "the one connection that it serves, by id")
	c.RunE = p.calling(func(ctx context.Context, c *client.Client, args []string) error {
		b := wire.NewToken{Org: args[0], Role: threat.Role(args[1]), Name: args[2]}
		var err error
		if b.ExpiresInSeconds, err = seconds(*life, "--expires-in"); err != nil {
			return err
		}
		if *connection != "" {
			var id uuid.UUID
			if id, err = readID(*connection, "connection"); err != nil {
				return err
			}
			b.ConnectionID = &id
		}
		k, err := c.CreateToken(ctx, b)
		if err != nil {
			return err
		}
		return p.show(k, func(w io.Writer) { fmt.Fprintf(w, "%s\nits id is %s; the secret is shown this once\n", k.Secret, k.ID) })
	})
	return c
}
