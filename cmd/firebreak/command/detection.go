package command

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/internal/api/client"
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
	return group("detection", "Send detections", c)
}
