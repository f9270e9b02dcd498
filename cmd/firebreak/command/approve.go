package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/internal/api/client"
	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

type approveFlags struct {
	verdict, reason, digest string
	span                    time.Duration
	connections             []string
	yes                     bool
}

func (p *program) approveCommand() *cobra.Command {
	var f approveFlags
	c := &cobra.Command{Use: "approve REQUEST", Short: "Decide a request: approve, deny, approve less, or ask for more",
		Args: cobra.ExactArgs(1),
		Long: "Decide a request. It is shown first, and the verdict is about exactly what was shown. With --yes nothing is asked; then\n" +
			"--digest says what was seen before. A person decides: sign in with `firebreak login`, a token will not do.",
		Example: "  firebreak approve 0197... --reason 'known C2'\n" +
			"  firebreak approve 0197... --verdict narrow --for 1h\n" +
			"  firebreak approve 0197... --verdict deny --reason 'our own scanner'"}
	c.Flags().StringVar(&f.verdict, "verdict", "approve", "approve, deny, narrow or more")
	c.Flags().StringVar(&f.reason, "reason", "", "why, for the journal")
	c.Flags().DurationVar(&f.span, "for", 0, "with narrow: a shorter time")
	c.Flags().StringArrayVar(&f.connections, "connection", nil, "with narrow: only over this connection, by id; may be given again")
	c.Flags().StringVar(&f.digest, "digest", "", "the digest of the request as you saw it")
	c.Flags().BoolVar(&f.yes, "yes", false, "do not ask; needs --digest")
	c.RunE = p.calling(func(ctx context.Context, c *client.Client, args []string) error { return p.approve(ctx, c, args[0], f) })
	return c
}

// ballot reads the flags.
func (f approveFlags) ballot() (wire.Verdict, error) {
	b := wire.Verdict{Verdict: threat.VerdictKind(f.verdict), Digest: f.digest, Reason: f.reason}
	bad := func(flag, what, next string) (wire.Verdict, error) {
		return b, &threat.Fault{Kind: threat.Invalid, What: what, Place: flag, Next: next}
	}
	narrows := f.span != 0 || len(f.connections) > 0
	switch b.Verdict {
	case threat.VerdictApprove, threat.VerdictDeny, threat.VerdictMore:
		if narrows {
			return bad("--verdict", "--for and --connection make it narrower", "give --verdict narrow")
		}
	case threat.VerdictNarrow:
		if !narrows {
			return bad("--verdict", "it is not said how it is narrower", "give --for or --connection")
		}
		n := &threat.Narrowing{}
		var err error
		if n.Seconds, err = seconds(f.span, "--for"); err != nil {
			return b, err
		}
		if n.Connections, err = readIDs(f.connections, "connection"); err != nil {
			return b, err
		}
		b.Narrower = n
	default:
		return bad("--verdict", fmt.Sprintf("unknown verdict %q", threat.Inert(f.verdict, 32)), "give approve, deny, narrow or more")
	}
	if f.yes && f.digest == "" {
		return bad("--yes", "without a question, --digest says what was seen", "see `firebreak request show`")
	}
	return b, nil
}

func (p *program) approve(ctx context.Context, c *client.Client, id string, f approveFlags) error {
	b, err := f.ballot()
	if err != nil {
		return err
	}
	if !f.yes {
		q, err := c.Request(ctx, id)
		if err != nil {
			return err
		}
		writeRequest(p.errs, q)
		if b.Digest == "" {
			b.Digest = q.Digest
		} else if b.Digest != q.Digest {
			return &threat.Fault{Kind: threat.Conflict, What: "the request is not the one of that digest", Place: "--digest",
				Next: "look at it again"}
		}
		ok, err := p.confirm("\n" + f.question())
		if err != nil {
			return err
		}
		if !ok {
			return &threat.Fault{Kind: threat.Conflict, What: "nothing was decided"}
		}
	}
	answer, err := c.Decide(ctx, id, b)
	var no *client.Refused
	if errors.As(err, &no) {
		answer = no.Answer
		if p.json {
			err = errors.Join(err, p.show(answer, nil))
		}
	}
	if err != nil {
		return err
	}
	return p.show(answer, func(w io.Writer) {
		fmt.Fprintln(w, threat.Inert(answer.Text, 500))
		next := ""
		if answer.Next.Valid {
			next = answer.Next.UUID.String()
		}
		fields(w, "request", string(answer.State), "approvals", fmt.Sprintf("%d of %d", answer.Have, answer.Need), "narrower request", next)
	})
}

func (f approveFlags) question() string {
	switch threat.VerdictKind(f.verdict) {
	case threat.VerdictDeny:
		return "Deny this?"
	case threat.VerdictMore:
		return "Ask for more about this?"
	case threat.VerdictNarrow:
		return "Approve less than this?"
	}
	return "Approve this?"
}
