package command

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/internal/api/client"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

func (p *program) actionCommand() *cobra.Command {
	return group("action", "See, propose and release actions", p.actionList(), p.actionShow(), p.actionPropose(), p.actionRelease(),
		p.actionVerbs())
}

func (p *program) actionList() *cobra.Command {
	return &cobra.Command{Use: "list CASE", Short: "List the actions of a case", Args: cobra.ExactArgs(1),
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			list, err := c.Responses(ctx, args[0])
			if err != nil {
				return err
			}
			return p.show(list, func(w io.Writer) {
				table(w, []string{"ACTION", "#", "WHAT", "STATE", "UNTIL", "WHY"}, rows(list, func(r wire.Response) []string {
					return []string{r.ID.String(), fmt.Sprint(r.Number), what(r.Verb, r.Target), words(string(r.State)),
						utcOr(r.HoldUntil, "-"), r.Why}
				}))
			})
		})}
}

func (p *program) actionShow() *cobra.Command {
	return &cobra.Command{Use: "show ACTION", Short: "Show an action with what its devices have of it", Args: cobra.ExactArgs(1),
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			a, err := c.Action(ctx, args[0])
			if err != nil {
				return err
			}
			return p.show(a, func(w io.Writer) { writeAction(w, a) })
		})}
}

func writeAction(w io.Writer, a client.Action) {
	r := a.Response
	fields(w, "action", what(r.Verb, r.Target), "state", words(string(r.State)), "why", r.Why, "for", span(r.DurationSeconds),
		"end", words(string(r.End)), "held until", utcOr(r.HoldUntil, ""), "ending", r.Ending, "asked by", r.AskedBy,
		"rests on", string(r.Basis), "request", nullID(r.RequestID), "decision", nullID(r.DecisionID), "case", r.CaseID.String(),
		"id", r.ID.String())
	if len(r.Holders) > 0 {
		fmt.Fprint(w, "\nDevices\n")
		table(w, []string{"CONNECTION", "HAS", "EFFECT", "UNTIL", "OUTCOME", "ERROR"}, rows(r.Holders, func(h threat.Holder) []string {
			effect := "-"
			if h.Effect != nil {
				effect = words(string(h.Effect.State))
			}
			return []string{h.ConnectionID.String(), string(h.State), effect, utcOr(h.Until, "-"), string(h.Outcome), h.Error}
		}))
	}
	if len(a.Claims) > 0 {
		fmt.Fprint(w, "\nClaims\n")
		table(w, []string{"TIME", "KIND", "SENT", "OUTCOME", "ERROR"}, rows(a.Claims, func(k threat.Claim) []string {
			return []string{utc(k.At), string(k.Kind), utcOr(k.SentAt, "-"), string(k.Outcome), k.Error}
		}))
	}
}

func (p *program) actionPropose() *cobra.Command {
	c := &cobra.Command{Use: "propose CASE VERB TARGET", Short: "Propose an action by hand; policy decides on it",
		Args: cobra.ExactArgs(3), Example: "  firebreak action propose FB-12 block_ip 203.0.113.7 --for 2h"}
	span := c.Flags().Duration("for", 0, "how long; left out, the tenant's setting")
	end := c.Flags().String("end", "", "what happens then: release, release_when_contained, ask or extend")
	params := c.Flags().StringArray("param", nil, "a parameter of the verb, name=value")
	connections := c.Flags().StringArray("connection", nil, "only over this connection, by id; may be given again")
	required := c.Flags().Bool("required", false, "the case is contained only when this is verified")
	kind := c.Flags().String("kind", "", "what TARGET is, for verbs that act on several kinds; left out, the first that fits")
	c.ValidArgsFunction = completeProposal
	complete(c, "end", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return ends(), cobra.ShellCompDirectiveNoFileComp
	})
	complete(c, "param", completeParam)
	c.RunE = p.calling(func(ctx context.Context, c *client.Client, args []string) error {
		b := wire.Propose{Verb: args[1], Target: wire.Target{Value: args[2]}, End: threat.End(*end), Required: *required}
		v, ok := verb.Find(args[1])
		if !ok {
			return &threat.Fault{Kind: threat.Invalid, What: fmt.Sprintf("unknown verb %q", threat.Inert(args[1], 64)), Place: "VERB",
				Next: "there are " + strings.Join(verb.Names(), ", ")}
		}
		b.Target.Kind = kindOf(v, args[2])
		if *kind != "" {
			b.Target.Kind = threat.TargetKind(*kind)
		}
		var err error
		if b.DurationSeconds, err = seconds(*span, "--for"); err != nil {
			return err
		}
		if len(*params) > 0 {
			if b.Params, err = pairs(*params, "--param"); err != nil {
				return err
			}
		}
		if b.Connections, err = readIDs(*connections, "connection"); err != nil {
			return err
		}
		r, err := c.Propose(ctx, args[0], b)
		if err != nil {
			return err
		}
		return p.show(r, func(w io.Writer) {
			fmt.Fprintf(w, "proposed %s as %s; see firebreak action show %s\n", what(r.Verb, r.Target), r.State, r.ID)
		})
	})
	return c
}

// seconds gives whole seconds of a flag.
func seconds(d time.Duration, flag string) (int64, error) {
	if d < 0 || d%time.Second != 0 {
		return 0, &threat.Fault{Kind: threat.Invalid, What: "a duration of whole seconds is needed", Place: flag}
	}
	return int64(d / time.Second), nil
}

func (p *program) actionRelease() *cobra.Command {
	c := &cobra.Command{Use: "release ACTION", Short: "Let go before the time is up", Args: cobra.ExactArgs(1)}
	why := c.Flags().String("why", "", "why")
	must(c, "why")
	c.RunE = p.calling(func(ctx context.Context, c *client.Client, args []string) error {
		r, err := c.Release(ctx, args[0], *why)
		if err != nil {
			return err
		}
		return p.show(r, func(w io.Writer) {
			fmt.Fprintf(w, "%s is being released; it is gone once the devices say so\n", what(r.Verb, r.Target))
		})
	})
	return c
}

func (p *program) actionVerbs() *cobra.Command {
	return &cobra.Command{Use: "verbs", Short: "List what Firebreak can do; needs no server", Args: cobra.NoArgs,
		RunE: run(func(context.Context, []string) error {
			type row struct {
				Verb    string              `json:"verb"`
				Once    bool                `json:"once"`
				Title   string              `json:"title"`
				Class   threat.Class        `json:"class"`
				Targets []threat.TargetKind `json:"targets"`
				Undo    string              `json:"undo"`
				Params  map[string][]string `json:"params"`
			}
			var list []row
			for _, v := range verb.All() {
				r := row{Verb: v.Name, Once: v.Once, Title: v.Title, Class: v.Class, Targets: v.Targets, Undo: v.UndoText, Params: map[string][]string{}}
				for _, q := range v.Params {
					if r.Params[q.Name] = q.Values; q.Values == nil {
						r.Params[q.Name] = []string{}
					}
				}
				list = append(list, r)
			}
			return p.show(list, func(w io.Writer) {
				table(w, []string{"VERB", "WHAT", "CLASS", "TARGET", "UNDO"}, rows(list, func(r row) []string {
					return []string{r.Verb, r.Title, string(r.Class), join(r.Targets), r.Undo}
				}))
			})
		})}
}

func join[T ~string](list []T) string {
	out := make([]string, len(list))
	for i, t := range list {
		out[i] = string(t)
	}
	return strings.Join(out, ", ")
}
