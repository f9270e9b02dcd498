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

func (p *program) tenantCommand() *cobra.Command {
	return group("tenant", "See and set up organisations and tenants", p.tenantList(), p.tenantShow(), p.tenantCreate(), p.modeCommand(),
		p.contactsCommand(), p.assetsCommand(), p.protectCommand(), p.stopCommand(), p.settingsCommand())
}

func (p *program) tenantList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the organisations that you may see", Args: cobra.NoArgs,
		RunE: p.calling(func(ctx context.Context, c *client.Client, _ []string) error {
			list, err := c.Organisations(ctx)
			if err != nil {
				return err
			}
			return p.show(list, func(w io.Writer) {
				slugs := map[uuid.UUID]string{}
				for _, o := range list {
					slugs[o.ID] = o.Slug
				}
				table(w, []string{"SLUG", "NAME", "KIND", "TENANT", "BELOW", "ID"}, rows(list, func(o threat.Organisation) []string {
					below := slugs[o.ParentID.UUID]
					if below == "" {
						below = "-"
					}
					return []string{o.Slug, o.Name, words(string(o.Kind)), yes(o.Tenant), below, o.ID.String()}
				}))
			})
		})}
}

func (p *program) tenantShow() *cobra.Command {
	return &cobra.Command{Use: "show TENANT", Short: "Show an organisation, its mode and its stop switch", Args: cobra.ExactArgs(1),
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			t, err := c.Tenant(ctx, args[0])
			if err != nil {
				return err
			}
			return p.show(t, func(w io.Writer) {
				o := t.Organisation
				fields(w, "slug", o.Slug, "name", o.Name, "kind", words(string(o.Kind)), "language", o.Language, "zone", o.Zone,
					"id", o.ID.String())
				if st := t.State; st != nil {
					fields(w, "mode", words(string(st.Mode)), "eradicate", yes(st.Eradicate), "stopped", yes(st.Stopped))
				}
				if t.Stop.On {
					fields(w, "stop switch", "on, by "+t.Stop.By+": "+t.Stop.Why)
				}
			})
		})}
}

func (p *program) tenantCreate() *cobra.Command {
	c := &cobra.Command{Use: "create SLUG NAME", Short: "Add an organisation", Args: cobra.ExactArgs(2),
		Example: "  firebreak tenant create acme 'Acme Ltd' --parent provider --zone Europe/Berlin"}
	parent := c.Flags().String("parent", "", "the organisation that it stands below: an id or a slug")
	kind := c.Flags().String("kind", "customer", "partner, customer or sub_estate")
	language := c.Flags().String("language", "", "BCP 47, such as de")
	zone := c.Flags().String("zone", "", "IANA, such as Europe/Berlin")
	must(c, "parent")
	c.RunE = p.calling(func(ctx context.Context, c *client.Client, args []string) error {
		o, err := c.CreateOrganisation(ctx, wire.NewOrganisation{Parent: *parent, Kind: threat.OrganisationKind(*kind), Slug: args[0],
			Name: args[1], Language: *language, Zone: *zone})
		if err != nil {
			return err
		}
		return p.show(o, func(w io.Writer) {
			fmt.Fprintf(w, "%s is there, with the id %s; its mode is notify until somebody consents to more\n", o.Slug, o.ID)
		})
	})
	return c
}

func (p *program) stopCommand() *cobra.Command {
	c := &cobra.Command{Use: "stop TENANT", Short: "Stop acting for an organisation and all below it", Args: cobra.ExactArgs(1),
		Long: "Stop acting for an organisation and all below it. It binds at once; what is in flight is listed. What is held stays\n" +
			"held and is released as usual."}
	off := c.Flags().Bool("off", false, "go on")
	why := c.Flags().String("why", "", "why")
	must(c, "why")
	c.RunE = p.calling(func(ctx context.Context, c *client.Client, args []string) error {
		s, err := c.SetStop(ctx, args[0], !*off, *why)
		if err != nil {
			return err
		}
		return p.show(s, func(w io.Writer) {
			if !s.Stop.On {
				fmt.Fprintln(w, "the stop switch is off; what waits is decided anew")
				return
			}
			fmt.Fprintf(w, "stopped; %s in flight\n", count(len(s.InFlight), "claim"))
			if len(s.InFlight) > 0 {
				table(w, []string{"CLAIM", "KIND", "ACTION", "SENT", "LEASE UNTIL"}, rows(s.InFlight, func(k threat.Claim) []string {
					return []string{k.ID.String(), string(k.Kind), k.ResponseID.String(), utcOr(k.SentAt, "-"), utc(k.LeaseUntil)}
				}))
			}
		})
	})
	return c
}

func (p *program) protectCommand() *cobra.Command {
	c := &cobra.Command{Use: "protect TENANT ASSET", Short: "Protect an asset from every action", Args: cobra.ExactArgs(2)}
	off := c.Flags().Bool("off", false, "no longer")
	c.RunE = p.calling(func(ctx context.Context, c *client.Client, args []string) error {
		a, err := findAsset(ctx, c, args[0], args[1])
		if err != nil {
			return err
		}
		if a, err = c.Protect(ctx, args[0], a.ID, !*off); err != nil {
			return err
		}
		return p.show(a, func(w io.Writer) { fmt.Fprintf(w, "%s protected: %s\n", threat.Inert(a.Name, 100), yes(a.Protected)) })
	})
	return c
}

func findAsset(ctx context.Context, c *client.Client, tenant, text string) (threat.Asset, error) {
	all, err := c.Assets(ctx, tenant)
	if err != nil {
		return threat.Asset{}, err
	}
	return named(all, text, "asset", func(a threat.Asset) uuid.UUID { return a.ID }, func(a threat.Asset) string { return a.Name })
}

func (p *program) assetsCommand() *cobra.Command {
	list := &cobra.Command{Use: "list TENANT", Short: "List a tenant's assets", Args: cobra.ExactArgs(1),
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			all, err := c.Assets(ctx, args[0])
			if err != nil {
				return err
			}
			return p.show(all, func(w io.Writer) {
				table(w, []string{"NAME", "KIND", "ADDRESSES", "ROLE", "MANAGED", "PROTECTED", "ID"}, rows(all, func(a threat.Asset) []string {
					return []string{a.Name, a.Kind, strings.Join(a.Addresses, " "), words(string(a.Role)), yes(a.Managed), yes(a.Protected),
						a.ID.String()}
				}))
			})
		})}
	add := &cobra.Command{Use: "add TENANT NAME", Short: "Add an asset", Args: cobra.ExactArgs(2),
		Example: "  firebreak tenant assets add acme dc1 --address 10.0.0.5 --role domain_controller --protected"}
	b := wire.NewAsset{}
	role := add.Flags().String("role", "", "workstation, server, domain_controller, hypervisor, vpn, dns, backup, relay or unknown")
	add.Flags().StringVar(&b.Kind, "kind", "host", "host, device, user or network")
	add.Flags().StringArrayVar(&b.Addresses, "address", nil, "an address or a range; may be given again")
	add.Flags().StringArrayVar(&b.Tags, "tag", nil, "a tag; may be given again")
	add.Flags().BoolVar(&b.Managed, "managed", false, "an agent runs on it")
	add.Flags().BoolVar(&b.Protected, "protected", false, "no action may touch it")
	add.RunE = p.calling(func(ctx context.Context, c *client.Client, args []string) error {
		b.Name, b.Role = args[1], threat.AssetRole(*role)
		a, err := c.AddAsset(ctx, args[0], b)
		if err != nil {
			return err
		}
		return p.show(a, func(w io.Writer) { fmt.Fprintf(w, "added %s as %s\n", threat.Inert(a.Name, 100), a.ID) })
	})
	remove := &cobra.Command{Use: "remove TENANT ASSET", Short: "Remove an asset, by id or name", Args: cobra.ExactArgs(2),
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			a, err := findAsset(ctx, c, args[0], args[1])
			if err != nil {
				return err
			}
			if err := c.RemoveAsset(ctx, args[0], a.ID); err != nil {
				return err
			}
			return p.say("removed %s", threat.Inert(a.Name, 100))
		})}
	return group("assets", "See and change a tenant's assets", list, add, remove)
}
