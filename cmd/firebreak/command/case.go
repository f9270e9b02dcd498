package command

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/internal/api/client"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

func (p *program) caseCommand() *cobra.Command {
	return group("case", "See cases, and write into them", p.caseList(), p.caseShow(), p.caseClose(), p.caseNote(), p.caseAck())
}

func (p *program) caseList() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List cases, the newest first", Args: cobra.NoArgs}
	tenant := c.Flags().String("tenant", "", "only this tenant's: an id or a slug")
	all := c.Flags().Bool("all", false, "closed ones too")
	limit := c.Flags().Int("limit", 50, "how many, at most 200")
	cursor := c.Flags().String("cursor", "", "go on where the list before ended")
	c.RunE = p.calling(func(ctx context.Context, c *client.Client, _ []string) error {
		open := "true"
		if *all {
			open = ""
		}
		page, err := c.Cases(ctx, *tenant, open, *cursor, *limit)
		if err != nil {
			return err
		}
		return p.show(page, func(w io.Writer) {
			table(w, []string{"CASE", "TENANT", "SEVERITY", "THREAT", "CONTACT", "OPENED", "TITLE"},
				rows(page.Items, func(k wire.Case) []string {
					return []string{k.Name, k.Tenant, k.Severity.String(), string(k.Threat), contactWords(k.Contact), utc(k.OpenedAt), k.Title}
				}))
			if page.Next != "" {
				fmt.Fprintf(w, "\nmore: --cursor %s\n", page.Next)
			}
		})
	})
	return c
}

func contactWords(s threat.ContactState) string {
	if s == threat.ContactNone {
		return "-"
	}
	return string(s)
}

// caseFile is everything about a case.
type caseFile struct {
	Case      wire.Case            `json:"case"`
	Responses []wire.Response      `json:"responses"`
	Requests  []wire.Request       `json:"requests"`
	Timeline  []threat.TimelineRow `json:"timeline"`
}

func (p *program) caseShow() *cobra.Command {
	return &cobra.Command{Use: "show CASE", Short: "Show a case: its state, responses, open requests and timeline",
		Args: cobra.ExactArgs(1), Example: "  firebreak case show FB-12",
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			f, err := readCase(ctx, c, args[0])
			if err != nil {
				return err
			}
			return p.show(f, f.write)
		})}
}

func readCase(ctx context.Context, c *client.Client, name string) (f caseFile, err error) {
	if f.Case, err = c.Case(ctx, name); err != nil {
		return f, err
	}
	id := f.Case.ID.String()
	if f.Responses, err = c.Responses(ctx, id); err != nil {
		return f, err
	}
	if f.Timeline, err = c.Timeline(ctx, id); err != nil {
		return f, err
	}
	f.Requests = []wire.Request{}
	open, err := c.Requests(ctx, f.Case.TenantID.String())
	if threat.Is(err, threat.Forbidden) { // some roles see cases and no requests
		return f, nil
	}
	for _, q := range open {
		if q.CaseID == f.Case.ID {
			f.Requests = append(f.Requests, q)
		}
	}
	return f, err
}

func (f caseFile) write(w io.Writer) {
	k := f.Case
	fmt.Fprintf(w, "%s  %s\n", k.Name, threat.Inert(k.Title, 200))
	state := "open since " + utc(k.OpenedAt)
	if !k.Open() {
		state = "closed at " + utcOr(k.ClosedAt, "-") + " by " + k.ClosedBy + ": " + k.CloseReason
	}
	simulated := ""
	if k.Simulated {
		simulated = "yes: made by the lab"
	}
	contact := contactWords(k.Contact)
	if k.AckUntil != nil {
		contact += ", by " + k.AckBy + " until " + utc(*k.AckUntil)
	}
	fields(w, "tenant", k.Tenant, "severity", k.Severity.String(), "threat", string(k.Threat), "contact", contact, "case", state,
		"simulated", simulated, "id", k.ID.String())
	f.writeResponses(w)
	f.writeRequests(w)
	fmt.Fprint(w, "\nTimeline (UTC)\n")
	table(w, []string{"TIME", "KIND", "WHAT", "TECHNIQUE"}, rows(f.Timeline, func(r threat.TimelineRow) []string {
		return []string{utc(r.At), string(r.Kind), r.Text, r.Tactic}
	}))
}

func (f caseFile) writeResponses(w io.Writer) {
	if len(f.Responses) == 0 {
		return
	}
	fmt.Fprint(w, "\nResponses\n")
	table(w, []string{"#", "WHAT", "STATE", "UNTIL", "WHY", "ID"}, rows(f.Responses, func(r wire.Response) []string {
		return []string{fmt.Sprint(r.Number), what(r.Verb, r.Target), words(string(r.State)), utcOr(r.HoldUntil, "-"), r.Why, r.ID.String()}
	}))
}

func (f caseFile) writeRequests(w io.Writer) {
	if len(f.Requests) == 0 {
		return
	}
	fmt.Fprint(w, "\nOpen requests\n")
	table(w, []string{"REQUEST", "WHAT", "FOR", "HAVE", "OPEN UNTIL"}, rows(f.Requests, requestRow))
	fmt.Fprintf(w, "decide with: firebreak approve %s\n", f.Requests[0].ID)
}

func what(verb string, t threat.Target) string { return verb + " " + t.Value }

func (p *program) caseClose() *cobra.Command {
	c := &cobra.Command{Use: "close CASE", Short: "Close a case; its responses keep running", Args: cobra.ExactArgs(1)}
	reason := c.Flags().String("reason", "", "why it is over")
	must(c, "reason")
	c.RunE = p.calling(func(ctx context.Context, c *client.Client, args []string) error {
		k, err := c.CloseCase(ctx, args[0], *reason)
		if err != nil {
			return err
		}
		return p.show(k, func(w io.Writer) { fmt.Fprintf(w, "%s is closed\n", k.Name) })
	})
	return c
}

func (p *program) caseNote() *cobra.Command {
	return &cobra.Command{Use: "note CASE TEXT...", Short: "Write a note into a case's timeline", Args: cobra.MinimumNArgs(2),
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.Note(ctx, args[0], strings.Join(args[1:], " ")); err != nil {
				return err
			}
			return p.say("noted")
		})}
}

func (p *program) caseAck() *cobra.Command {
	return &cobra.Command{Use: "ack CASE", Short: "Say that you are on a case; that authorises nothing", Args: cobra.ExactArgs(1),
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			k, err := c.Acknowledge(ctx, args[0])
			if err != nil {
				return err
			}
			return p.show(k, func(w io.Writer) {
				fmt.Fprintf(w, "%s is acknowledged until %s; new adversary activity breaks that\n", k.Name, utcOr(k.AckUntil, "-"))
			})
		})}
}

// must marks a flag as required. Cobra tells the user; a flag that is not there is a defect, and is told at once.
func must(c *cobra.Command, flags ...string) {
	for _, f := range flags {
		if err := c.MarkFlagRequired(f); err != nil {
			panic(err)
		}
	}
}

// named finds one of several by its id or its name.
func named[T any](list []T, text, noun string, id func(T) uuid.UUID, name func(T) string) (T, error) {
	var found []T
	for _, t := range list {
		if id(t).String() == text {
			return t, nil
		}
		if strings.EqualFold(name(t), text) {
			found = append(found, t)
		}
	}
	var zero T
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		names := make([]string, len(list))
		for i, t := range list {
			names[i] = threat.Inert(name(t), 64)
		}
		slices.Sort(names)
		f := &threat.Fault{Kind: threat.NotFound, What: fmt.Sprintf("no %s is called %q", noun, threat.Inert(text, 64))}
		if len(names) > 0 && len(names) <= 20 {
			f.Next = "there are " + strings.Join(names, ", ")
		}
		return zero, f
	}
	return zero, &threat.Fault{Kind: threat.Conflict, What: fmt.Sprintf("more than one %s is called %q", noun, threat.Inert(text, 64)),
		Next: "give its id"}
}
