package command

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/internal/api/client"
	"github.com/firebreak/firebreak/internal/threat"
)

func (p *program) detectionCommand() *cobra.Command {
	c := &cobra.Command{Use: "send TENANT FILE", Short: "Send detections, as a sensor does; - reads standard input",
		Args: cobra.ExactArgs(2)}
	product := c.Flags().String("product", "", "the product whose own format the file has; left out, OCSF 1.8")
	c.RunE = p.calling(func(ctx context.Context, c *client.Client, args []string) error {
		body, err := p.readFile(args[1])
		if err != nil {
			return err
		}
		r, err := c.Post(ctx, args[0], *product, body)
		if err != nil {
			return err
		}
		return p.show(r, func(w io.Writer) {
			fmt.Fprintf(w, "%s kept, %d of them quarantined; %d skipped\n", count(len(r.IDs), "detection"), r.Quarantined, r.Skipped)
			for _, n := range r.Notes {
				fields(w, fmt.Sprintf("item %d", n.Item), n.State+": "+n.Why)
			}
		})
	})
	return group("detection", "Send and see detections", c, p.detectionList(), p.detectionShow())
}

func (p *program) detectionList() *cobra.Command {
	c := &cobra.Command{Use: "list TENANT", Short: "List a tenant's detections, the newest first: what is in no case, too",
		Args: cobra.ExactArgs(1), Example: "  firebreak detection list acme --state suppressed\n  firebreak detection list acme --state quarantined"}
	state := c.Flags().String("state", "", "received, assigned, duplicate, suppressed or quarantined; left out, all")
	limit := c.Flags().Int("limit", 50, "how many, at most 200")
	c.RunE = p.calling(func(ctx context.Context, c *client.Client, args []string) error {
		all, err := c.Detections(ctx, args[0], threat.DetectionState(*state), *limit)
		if err != nil {
			return err
		}
		return p.show(all, func(w io.Writer) {
			table(w, []string{"RECEIVED", "STATE", "SEVERITY", "SENSOR", "TITLE", "WHY", "ID"}, rows(all, func(d threat.Detection) []string {
				return []string{utc(d.ReceivedAt), string(d.State), d.Severity.String(), d.Product, d.Title, d.Reason, d.ID.String()}
			}))
		})
	})
	return c
}

func (p *program) detectionShow() *cobra.Command {
	return &cobra.Command{Use: "show ID", Short: "Show a detection, with what its product sent", Args: cobra.ExactArgs(1),
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			id, err := uuid.Parse(args[0])
			if err != nil {
				return &threat.Fault{Kind: threat.Invalid, What: "this is no id of a detection", Place: "ID",
					Next: "see `firebreak detection list`"}
			}
			d, err := c.Detection(ctx, id)
			if err != nil {
				return err
			}
			return p.show(d, func(w io.Writer) {
				fields(w, "title", d.Title, "state", string(d.State), "why", d.Reason, "severity", d.Severity.String(), "product", d.Product,
					"sensor", d.Sensor, "clock", string(d.Clock), "at", utc(d.At), "received", utc(d.ReceivedAt), "case", nullID(d.CaseID),
					"id", d.ID.String())
				for _, o := range d.Observables {
					fields(w, string(o.Kind), strings.TrimSpace(o.Value+" "+string(o.Bearing)))
				}
				if d.Raw != "" {
					fmt.Fprintf(w, "\n%s\n", threat.Inert(d.Raw, maxRaw))
				}
			})
		})}
}

// maxRaw bounds how much of what a product sent is shown to people; --json has it all.
const maxRaw = 4000
