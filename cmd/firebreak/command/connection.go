package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/internal/api/client"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

func (p *program) connectionCommand() *cobra.Command {
	secret := group("secret", "Set a connection's credential", p.secretSet())
	return group("connection", "See and set up connections to products", p.connectionList(), p.connectionAdd(), p.connectionTest(),
		secret, p.connectionSwitch("enable", "Use a connection again", true),
		p.connectionSwitch("disable", "Use a connection no more", false), p.connectionAdapters())
}

func (p *program) connectionList() *cobra.Command {
	return &cobra.Command{Use: "list TENANT", Short: "List an organisation's connections", Args: cobra.ExactArgs(1),
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			all, err := c.Connections(ctx, args[0])
			if err != nil {
				return err
			}
			return p.show(all, func(w io.Writer) {
				table(w, []string{"NAME", "ADAPTER", "ENABLED", "CREDENTIAL", "SETTINGS", "ID"}, rows(all, func(k threat.Connection) []string {
					set := make([]string, 0, len(k.Settings))
					for _, name := range sortedNames(k.Settings) {
						set = append(set, name+"="+k.Settings[name])
					}
					return []string{k.Name, k.Adapter, yes(k.Enabled), yes(k.SecretRef != ""), strings.Join(set, " "), k.ID.String()}
				}))
			})
		})}
}

func (p *program) connectionAdd() *cobra.Command {
	c := &cobra.Command{Use: "add TENANT ADAPTER NAME", Short: "Add a connection to a product", Args: cobra.ExactArgs(3),
		Example: "  firebreak connection add acme nftables edge --set hook=forward\n  firebreak connection add acme smtp mail --set host=mail.example.com --set from=soc@example.com\n  firebreak connection secret set acme mail < password"}
	set := c.Flags().StringArray("set", nil, "a setting of the adapter, name=value; never a secret")
	disabled := c.Flags().Bool("disabled", false, "do not use it yet")
	c.RunE = p.calling(func(ctx context.Context, c *client.Client, args []string) error {
		settings, err := pairs(*set, "--set")
		if err != nil {
			return err
		}
		on := !*disabled
		k, err := c.AddConnection(ctx, args[0], wire.NewConnection{Adapter: args[1], Name: args[2], Settings: settings, Enabled: &on})
		if err != nil {
			return err
		}
		return p.show(k, func(w io.Writer) { fmt.Fprintf(w, "added %s as %s\n", threat.Inert(k.Name, 100), k.ID) })
	})
	return c
}

func findConnection(ctx context.Context, c *client.Client, tenant, text string) (threat.Connection, error) {
	all, err := c.Connections(ctx, tenant)
	if err != nil {
		return threat.Connection{}, err
	}
	return named(all, text, "connection", func(k threat.Connection) uuid.UUID { return k.ID },
		func(k threat.Connection) string { return k.Name })
}

func (p *program) connectionTest() *cobra.Command {
	return &cobra.Command{Use: "test TENANT CONNECTION", Short: "Try a connection without changing anything", Args: cobra.ExactArgs(2),
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			k, err := findConnection(ctx, c, args[0], args[1])
			if err != nil {
				return err
			}
			if err := c.TestConnection(ctx, args[0], k.ID); err != nil {
				return err
			}
			return p.say("%s answers", threat.Inert(k.Name, 100))
		})}
}

func (p *program) secretSet() *cobra.Command {
	c := &cobra.Command{Use: "set TENANT CONNECTION", Short: "Set a credential, from standard input or a variable",
		Args: cobra.ExactArgs(2),
		Long: "Set a connection's credential. It is read from standard input, or from the variable that --env names; never from the\n" +
			"command line, where others can see it. One newline at its end is left out."}
	env := c.Flags().String("env", "", "read it from this variable of the environment")
	c.RunE = p.calling(func(ctx context.Context, c *client.Client, args []string) error {
		k, err := findConnection(ctx, c, args[0], args[1])
		if err != nil {
			return err
		}
		value, err := p.secret(*env)
		if err != nil {
			return err
		}
		if err := c.SetSecret(ctx, args[0], k.ID, value); err != nil {
			return err
		}
		return p.say("the credential of %s is set", threat.Inert(k.Name, 100))
	})
	return c
}

func (p *program) secret(env string) (string, error) {
	if env != "" {
		v, ok := os.LookupEnv(env)
		if !ok || v == "" {
			return "", &threat.Fault{Kind: threat.Invalid, What: "this variable is empty", Place: "--env"}
		}
		return v, nil
	}
	b, err := p.readFile("-")
	if err != nil {
		return "", err
	}
	v := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if v == "" {
		return "", &threat.Fault{Kind: threat.Invalid, What: "standard input holds no credential", Next: "pipe it in, or give --env"}
	}
	return v, nil
}

func (p *program) connectionSwitch(use, short string, on bool) *cobra.Command {
	return &cobra.Command{Use: use + " TENANT CONNECTION", Short: short, Args: cobra.ExactArgs(2),
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			k, err := findConnection(ctx, c, args[0], args[1])
			if err != nil {
				return err
			}
			if k, err = c.ChangeConnection(ctx, args[0], k.ID, wire.ChangeConnection{Enabled: &on}); err != nil {
				return err
			}
			return p.show(k, func(w io.Writer) { fmt.Fprintf(w, "%s enabled: %s\n", threat.Inert(k.Name, 100), yes(k.Enabled)) })
		})}
}

func (p *program) connectionAdapters() *cobra.Command {
	return &cobra.Command{Use: "adapters", Short: "List the products that the server knows, with their settings", Args: cobra.NoArgs,
		RunE: p.calling(func(ctx context.Context, c *client.Client, _ []string) error {
			all, err := c.Adapters(ctx)
			if err != nil {
				return err
			}
			return p.show(all, func(w io.Writer) {
				table(w, []string{"ADAPTER", "PRODUCT", "VERBS", "SETTINGS", "CREDENTIAL"}, rows(all, func(a wire.Adapter) []string {
					verbs, set := make([]string, len(a.Verbs)), make([]string, len(a.Settings))
					for i, v := range a.Verbs {
						verbs[i] = v.Verb
					}
					for i, s := range a.Settings {
						set[i] = s.Name
						if s.Required {
							set[i] += " (needed)"
						}
					}
					return []string{a.Name, a.Title, strings.Join(verbs, ", "), strings.Join(set, ", "), a.Secret}
				}))
			})
		})}
}
