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

// meanings is what each mode says, for whoever consents to it.
var meanings = map[threat.Mode]string{
	threat.ModeNotify:      "Firebreak never acts; it tells the contacts and recommends.",
	threat.ModeCollaborate: "Firebreak acts only on the consent of an authorised contact.",
	threat.ModeCollaborateUnreachable: "Firebreak acts on the consent of an authorised contact; when every contact was tried to the " +
		"end and none answered, and the threat is still active, it contains by itself.",
	threat.ModeAuthorize: "Firebreak contains at once, then tells the contacts.",
}

func (p *program) modeCommand() *cobra.Command {
	return group("mode", "See and change a tenant's response mode", p.modeGet(), p.modeSet(), p.modePreview())
}

func (p *program) modeGet() *cobra.Command {
	return &cobra.Command{Use: "get TENANT", Short: "Show the mode, and who consented to it", Args: cobra.ExactArgs(1),
		RunE: p.calling(func(ctx context.Context, c *client.Client, args []string) error {
			m, err := c.Mode(ctx, args[0])
			if err != nil {
				return err
			}
			return p.show(m, func(w io.Writer) { writeMode(w, m) })
		})}
}

func writeMode(w io.Writer, m wire.Mode) {
	fields(w, "mode", words(string(m.State.Mode)), "eradicate", yes(m.State.Eradicate), "stopped", yes(m.State.Stopped))
	if len(m.Consents) == 0 {
		return
	}
	fmt.Fprint(w, "\nConsents\n")
	table(w, []string{"TIME", "MODE", "BY", "WORDS"}, rows(m.Consents, func(k threat.Consent) []string {
		return []string{utc(k.At), words(string(k.Mode)), k.GivenBy.String(), k.Words}
	}))
}

func (p *program) modeSet() *cobra.Command {
	c := &cobra.Command{Use: "set TENANT MODE", Short: "Consent to a mode: notify, collaborate, collaborate_unreachable or authorize",
		Args: cobra.ExactArgs(2),
		Long: "Consent to a response mode. What it would let go of is shown first. The words that you agree to are kept with your name:\n" +
			"--words, or what each mode means as this command shows it."}
	text := c.Flags().String("words", "", "the words of the consent")
	language := c.Flags().String("language", "en", "their language, BCP 47")
	eradicate := c.Flags().Bool("eradicate", false, "with authorize: grant what cannot be undone, too")
	sure := c.Flags().Bool("yes", false, "do not ask")
	c.RunE = p.calling(func(ctx context.Context, c *client.Client, args []string) error {
		m := threat.Mode(args[1])
		meaning, ok := meanings[m]
		if !ok {
			return &threat.Fault{Kind: threat.Invalid, What: fmt.Sprintf("unknown mode %q", threat.Inert(args[1], 32)), Place: "MODE",
				Next: "give notify, collaborate, collaborate_unreachable or authorize"}
		}
		if *eradicate {
			meaning += " What cannot be undone is granted, too."
		}
		if *text != "" {
			meaning = *text
		}
		if !*sure {
			v, err := c.PreviewMode(ctx, args[0], m, *eradicate)
			if err != nil {
				return err
			}
			writePreview(p.errs, v)
			yes, err := p.confirm(fmt.Sprintf("\n%s\nDo you consent to this for %s?", threat.Inert(meaning, 1000), threat.Inert(args[0], 64)))
			if err != nil {
				return err
			}
			if !yes {
				return &threat.Fault{Kind: threat.Conflict, What: "nothing was changed"}
			}
		}
		now, err := c.SetMode(ctx, args[0], wire.SetMode{Mode: m, Eradicate: *eradicate, Words: meaning, Language: *language})
		if err != nil {
			return err
		}
		return p.show(now, func(w io.Writer) { writeMode(w, now) })
	})
	return c
}

func (p *program) modePreview() *cobra.Command {
	c := &cobra.Command{Use: "preview TENANT MODE", Short: "Show what a mode would let go of that which waits now",
		Args: cobra.ExactArgs(2)}
	eradicate := c.Flags().Bool("eradicate", false, "with authorize: as if what cannot be undone were granted, too")
	c.RunE = p.calling(func(ctx context.Context, c *client.Client, args []string) error {
		v, err := c.PreviewMode(ctx, args[0], threat.Mode(args[1]), *eradicate)
		if err != nil {
			return err
		}
		return p.show(v, func(w io.Writer) { writePreview(w, v) })
	})
	return c
}

func writePreview(w io.Writer, v wire.ModePreview) {
	fmt.Fprintf(w, "%s to %s: %s would be let go, of %s\n", words(string(v.Now)), words(string(v.Mode)), count(v.LetGo, "action"),
		count(len(v.Waiting), "waiting one"))
	if len(v.Waiting) > 0 {
		table(w, []string{"CASE", "WHAT", "STATE", "LET GO", "WHY"}, rows(v.Waiting, func(r wire.PreviewRow) []string {
			return []string{r.Case, what(r.Response.Verb, r.Response.Target), words(string(r.Response.State)), yes(r.LetGo), r.Why}
		}))
	}
}
