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

func (p *program) requestCommand() *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List open requests", Args: cobra.NoArgs}
	tenant := list.Flags().String("tenant", "", "only this tenant's: an id or a slug")
	list.RunE = p.calling(func(ctx context.Context, c *client.Client, _ []string) error {
		open, err := c.Requests(ctx, *tenant)
		if err != nil {
			return err
		}
		return p.show(open, func(w io.Writer) {
			table(w, []string{"REQUEST", "CASE", "TENANT", "WHAT", "FOR", "HAVE", "OPEN UNTIL"}, rows(open, func(q wire.Request) []string {
				r := requestRow(q)
				return append([]string{r[0], q.Case, q.Tenant}, r[1:]...)
			}))
		})
	})
	show := &cobra.Command{Use: "show REQUEST", Short: "Show a request as it is decided on", Args: cobra.ExactArgs(1),
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			q, err := c.Request(ctx, args[0])
			if err != nil {
				return err
			}
			return p.show(q, func(w io.Writer) { writeRequest(w, q) })
		})}
	return group("request", "See what people are asked", list, show)
}

func requestRow(q wire.Request) []string {
	return []string{q.ID.String(), asks(q), span(float64(q.Body.Seconds)), fmt.Sprintf("%d of %d", approvals(q), q.Approvers.Needed),
		utc(q.ExpiresAt)}
}

// asks says what a request asks, in a line.
func asks(q wire.Request) string {
	out := q.Body.Verb
	if q.Body.Kind == threat.RequestEnd {
		out = "release " + out
	}
	for _, t := range q.Body.Targets {
		out += " " + t.Value
	}
	return out
}

// approvals counts the persons who approved.
func approvals(q wire.Request) int {
	n := map[uuid.UUID]bool{}
	for _, v := range q.Votes {
		if v.Verdict == threat.VerdictApprove || v.Verdict == threat.VerdictNarrow {
			n[v.PersonID] = true
		}
	}
	return len(n)
}

// writeRequest shows what is decided on: the digest covers exactly this.
func writeRequest(w io.Writer, q wire.Request) {
	question := "may we do this?"
	if q.Body.Kind == threat.RequestEnd {
		question = "its time is up: approve releases it, deny holds it for as long again"
	}
	params := ""
	for _, name := range sortedNames(q.Body.Params) {
		params += name + "=" + q.Body.Params[name] + " "
	}
	fields(w, "request", q.ID.String(), "question", question, "what", q.Title, "verb", q.Body.Verb)
	for _, t := range q.Body.Targets {
		fields(w, "target", string(t.Kind)+" "+t.Value)
	}
	fields(w, "parameters", params, "for", span(float64(q.Body.Seconds)), "then", words(string(q.Body.End)),
		"undo", q.Undo, "if lost", q.Loss, "case", q.Case, "tenant", q.Tenant, "asked by", q.AskedBy,
		"state", string(q.State)+why(q.ClosedWhy), "open until", utc(q.ExpiresAt), "silence", q.Silence,
		"approvers", fmt.Sprintf("%d of %s", q.Approvers.Needed, join(q.Approvers.Roles)), "four eyes", yes(q.Approvers.FourEyes))
	for _, id := range q.Body.Connections {
		fields(w, "connection", id.String())
	}
	for _, r := range q.Reasons {
		fields(w, "because", r)
	}
	for _, v := range q.Votes {
		fields(w, "vote", v.Name+" ("+words(string(v.Role))+"): "+string(v.Verdict)+why(v.Reason))
	}
	fields(w, "digest", q.Digest)
}

func why(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}
