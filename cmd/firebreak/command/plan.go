package command

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/internal/api/client"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

func (p *program) planCommand() *cobra.Command {
	return &cobra.Command{Use: "plan CASE", Short: "Show what a case wants done, to what, through what, decided how and why",
		Args: cobra.ExactArgs(1), Example: "  firebreak plan FB-12",
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			steps, err := c.Plan(ctx, args[0])
			if err != nil {
				return err
			}
			return p.show(steps, func(w io.Writer) {
				if len(steps) == 0 {
					fmt.Fprintln(w, "nothing is planned")
				}
				for i, s := range steps {
					writeStep(w, i+1, s)
				}
			})
		})}
}

func writeStep(w io.Writer, n int, s wire.PlanStep) {
	on := threat.Inert(s.Target.Value, 200)
	if s.Asset != "" {
		on = s.Asset + " (" + on + ")"
	}
	must := ""
	if s.Required {
		must = ", required"
	}
	fmt.Fprintf(w, "%d. %s: %s (%s%s)\n", n, s.Title, on, s.Class, must)
	for i, way := range s.Ways {
		mark := " "
		if i+1 == s.Taken {
			mark = "*"
		}
		fmt.Fprintf(w, "   %s %d. %s: %s\n", mark, i+1, way.Place, way.Why)
		for _, part := range way.Parts {
			fmt.Fprintf(w, "        %s over %s\n", what(part.Verb, part.Target), overWords(part.Connections))
		}
	}
	if len(s.Ways) == 0 {
		fmt.Fprint(w, "     no connection can do it\n")
	}
	if s.LeftOut != "" {
		fmt.Fprintf(w, "     %s\n", s.LeftOut)
	}
	for _, r := range s.Actions {
		fmt.Fprintf(w, "     action %s: %s", r.ID, words(string(r.State)))
		if r.Basis != "" {
			fmt.Fprintf(w, ", by %s", r.Basis)
		}
		if r.Why != "" {
			fmt.Fprintf(w, ": %s", threat.Inert(r.Why, 300))
		}
		fmt.Fprintln(w)
	}
}

func overWords(list []wire.PlanConnection) string {
	out := ""
	for i, c := range list {
		if i > 0 {
			out += ", "
		}
		out += c.Name + " (" + c.Adapter + ")"
	}
	return out
}
