package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/internal/api/client"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/policies"
)

func (p *program) policyCommand() *cobra.Command {
	return group("policy", "Check, test and try rules; all but status need no server", p.policyCheck(), p.policyTest(), p.policyEval(), p.policyShow(),
		p.policyExport(), p.policyStatus())
}

// directory gives the one argument; none is the bundle built in.
func directory(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// broken makes rules that do not compile a failure of the run, and not of its usage.
func broken(p *program, err error) error {
	var f *threat.Fault
	if errors.As(err, &f) && f.Kind == threat.Invalid {
		p.complain(f)
		return &quiet{ExitFailed}
	}
	return err
}

func (p *program) policyCheck() *cobra.Command {
	return &cobra.Command{Use: "check [DIR]", Short: "Compile the rules of a directory, or those built in, and check them",
		Args: cobra.MaximumNArgs(1), RunE: run(func(_ context.Context, args []string) error {
			if err := policies.Check(directory(args)); err != nil {
				return broken(p, err)
			}
			return p.say("the rules are good")
		})}
}

func (p *program) policyTest() *cobra.Command {
	c := &cobra.Command{Use: "test [DIR]", Short: "Run the tests of the rules", Args: cobra.MaximumNArgs(1)}
	verbose := c.Flags().Bool("verbose", false, "list the tests that pass, too")
	c.RunE = run(func(ctx context.Context, args []string) error {
		r, err := policies.Test(ctx, directory(args))
		if err != nil {
			return broken(p, err)
		}
		if err := p.show(r, func(w io.Writer) { writeTests(w, r, *verbose) }); err != nil {
			return err
		}
		if !r.OK() {
			return &quiet{ExitFailed}
		}
		return nil
	})
	return c
}

func writeTests(w io.Writer, r policies.TestReport, verbose bool) {
	for _, t := range r.Results {
		switch {
		case !t.Pass && !t.Skipped:
			fmt.Fprintf(w, "FAIL  %s (%s)\n", t.Name, t.Place)
			if t.Error != "" {
				fmt.Fprintf(w, "      %s\n", threat.Inert(t.Error, 500))
			}
			if t.Output != "" {
				fmt.Fprintf(w, "      %s\n", threat.Inert(t.Output, 2000))
			}
		case t.Skipped:
			fmt.Fprintf(w, "SKIP  %s (%s)\n", t.Name, t.Place)
		case verbose:
			fmt.Fprintf(w, "pass  %s\n", t.Name)
		}
	}
	for _, name := range r.NotFired {
		fmt.Fprintf(w, "no test makes %s true\n", name)
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped; %.1f %% covered\n", r.Passed, r.Failed, r.Skipped, r.Coverage)
}

func (p *program) policyEval() *cobra.Command {
	c := &cobra.Command{Use: "eval QUESTION INPUT", Short: "Ask the rules one question: triage, escalate, respond, approve or access",
		Args:    cobra.ExactArgs(2),
		Long:    "Ask the rules one question. INPUT is a file of JSON; - reads standard input. What print says goes to standard error.",
		Example: "  firebreak policy eval respond input.json --dir ./rules"}
	dir := c.Flags().String("dir", "", "the rules' directory; left out, those built in")
	c.RunE = run(func(ctx context.Context, args []string) error {
		if !slices.Contains(threat.Questions, threat.Question(args[0])) {
			return &threat.Fault{Kind: threat.Invalid, What: "there is no such question", Place: "QUESTION",
				Next: "give " + join(threat.Questions)}
		}
		input, err := p.readFile(args[1])
		if err != nil {
			return err
		}
		t, err := policies.EvalOnce(ctx, *dir, threat.Question(args[0]), input)
		if err != nil {
			return broken(p, err)
		}
		if t.Output != "" {
			if _, err := fmt.Fprint(p.errs, t.Output); err != nil {
				return err
			}
		}
		if !t.OK() {
			p.complain(&threat.Fault{What: "the rules gave no answer: " + t.Fault, Next: threat.Inert(t.Detail, 500)})
			return &quiet{ExitFailed}
		}
		return p.show(json.RawMessage(t.JSON), func(w io.Writer) {
			var pretty any
			if err := json.Unmarshal(t.JSON, &pretty); err != nil {
				fmt.Fprintln(w, string(t.JSON))
				return
			}
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			_ = e.Encode(pretty) // w is a buffer; its own flush tells
		})
	})
	return c
}

// bundle is what show tells of rules.
type bundle struct {
	Revision string                                 `json:"revision"`
	Source   string                                 `json:"source"`
	Labels   map[threat.Question][]threat.RuleLabel `json:"labels"`
}

func (p *program) policyShow() *cobra.Command {
	return &cobra.Command{Use: "show [DIR]", Short: "Show which rules a directory holds, or which are built in",
		Args: cobra.MaximumNArgs(1),
		RunE: run(func(ctx context.Context, args []string) (err error) {
			e, err := policies.New(ctx, policies.Options{Dir: directory(args)})
			if err != nil {
				return broken(p, err)
			}
			defer func() { err = errors.Join(err, e.Close()) }()
			b := bundle{Revision: e.Revision(), Source: e.Active().Source, Labels: e.Labels()}
			return p.show(b, func(w io.Writer) { b.write(w) })
		})}
}

func (b bundle) write(w io.Writer) {
	fields(w, "rules", b.Source, "revision", b.Revision)
	for _, q := range threat.Questions {
		fmt.Fprintf(w, "\n%s\n", q)
		table(w, []string{"RULE", "WHAT IT SAYS"}, rows(b.Labels[q], func(l threat.RuleLabel) []string { return []string{l.ID, l.Title} }))
	}
}

func (p *program) policyExport() *cobra.Command {
	return &cobra.Command{Use: "export DIR", Short: "Write the rules built in, with their tests, into a new directory",
		Args: cobra.ExactArgs(1),
		RunE: run(func(_ context.Context, args []string) error {
			dir := args[0]
			if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
				return &threat.Fault{Kind: threat.Conflict, What: "the directory is not empty", Place: dir, Next: "name a new one"}
			}
			n, err := export(policies.BuiltIn(), dir)
			if err != nil {
				return &threat.Fault{Kind: threat.Unavailable, What: "the rules cannot be written", Place: dir, Err: err}
			}
			return p.say("wrote %s to %s; see firebreak policy check %s", count(n, "file"), dir, dir)
		})}
}

func export(from fs.FS, dir string) (n int, err error) {
	err = fs.WalkDir(from, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(path))
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		text, err := fs.ReadFile(from, path)
		if err != nil {
			return err
		}
		n++
		return os.WriteFile(to, text, 0o644)
	})
	return n, err
}

func (p *program) policyStatus() *cobra.Command {
	return &cobra.Command{Use: "status", Short: "Show the rules in force on the server", Args: cobra.NoArgs,
		RunE: p.calling(func(ctx context.Context, c *client.Client, _ []string) error {
			s, err := c.Policy(ctx)
			if err != nil {
				return err
			}
			return p.show(s, func(w io.Writer) {
				age := (time.Duration(s.AgeSeconds) * time.Second).String()
				fields(w, "rules", s.Source, "revision", s.Revision, "in force since", utc(s.LoadedAt)+" ("+age+")", "stale", yes(s.Stale),
					"not taken", s.Error)
			})
		})}
}
