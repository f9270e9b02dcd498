// Package command holds the verbs of the command line, one file each. They call a server through the API's client, or
// work on files without one. It does not know the server: main hands in how one is started.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/firebreak/firebreak/internal/api/client"
	"github.com/firebreak/firebreak/internal/threat"
)

// Exit codes.
const (
	ExitDone        = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitRefused     = 3
	ExitNotFound    = 4
	ExitUnavailable = 5
)

// exits is the table from a fault's kind to the exit code; what is not in it failed.
var exits = map[threat.FaultKind]int{
	threat.Invalid:         ExitUsage,
	threat.Unsupported:     ExitUsage,
	threat.TooLarge:        ExitUsage,
	threat.Unauthenticated: ExitRefused,
	threat.Forbidden:       ExitRefused,
	threat.Conflict:        ExitRefused,
	threat.Stale:           ExitRefused,
	threat.Expired:         ExitRefused,
	threat.NotFound:        ExitNotFound,
	threat.RateLimited:     ExitUnavailable,
	threat.Unavailable:     ExitUnavailable,
}

// Serve starts a server and runs it until ctx ends.
type Serve func(ctx context.Context, o ServeOptions) error

// Build says what program this is.
type Build struct {
	Version string
	Commit  string
}

// Main runs one command line (without the program's name) and gives the exit code. Serve may be nil: then there is no
// server in this program.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer, build Build, serve Serve) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt ends the program at once
	p := &program{in: stdin, out: stdout, errs: stderr, build: build, serve: serve, env: os.Getenv}
	root := p.root()
	root.SetArgs(args)
	ran, err := root.ExecuteContextC(ctx)
	return p.exit(ran, err)
}

// program is one run.
type program struct {
	in        io.Reader
	out, errs io.Writer
	build     Build
	serve     Serve
	env       func(string) string

	json   bool
	server string
	token  string
}

// failed is an error of a command that ran. What cobra refuses before that is a wrong usage.
type failed struct{ err error }

func (f *failed) Error() string { return f.err.Error() }

func (f *failed) Unwrap() error { return f.err }

// quiet ends with a code after everything was said.
type quiet struct{ code int }

func (q *quiet) Error() string { return "" }

// exit tells what command ran into an error, on stderr, and gives the code.
func (p *program) exit(command *cobra.Command, err error) int {
	if err == nil {
		return ExitDone
	}
	var q *quiet
	if errors.As(err, &q) {
		return q.code
	}
	var ran *failed
	if !errors.As(err, &ran) {
		next := "usage: " + command.UseLine()
		if command.HasAvailableSubCommands() {
			next = "see `" + command.CommandPath() + " --help`"
		}
		p.complain(&threat.Fault{Kind: threat.Invalid, What: err.Error(), Next: next})
		return ExitUsage
	}
	if errors.Is(err, context.Canceled) {
		return ExitFailed
	}
	var f *threat.Fault
	if !errors.As(err, &f) {
		f = &threat.Fault{Kind: threat.Internal, What: err.Error()}
	}
	p.complain(f)
	if code, ok := exits[f.Kind]; ok {
		return code
	}
	return ExitFailed
}

func (p *program) complain(f *threat.Fault) {
	s := "firebreak: " + f.What
	if f.Place != "" {
		s += " (" + f.Place + ")"
	}
	if f.RetryAfter > 0 {
		s += "; try again in " + f.RetryAfter.String()
	}
	if f.Next != "" {
		s += "\n  " + f.Next
	}
	_, _ = fmt.Fprintln(p.errs, s) // there is nowhere else to say it
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{Use: "firebreak", SuggestionsMinimumDistance: 2, Short: "Turn security detections into contained threats",
		Long: "Firebreak turns security detections into contained threats, under the customer's control.\n\n" +
			"Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 not found, 5 unavailable.",
		SilenceErrors: true, SilenceUsage: true}
	root.SetIn(p.in)
	root.SetOut(p.out)
	root.SetErr(p.errs)
	root.CompletionOptions.HiddenDefaultCmd = false
	flags := root.PersistentFlags()
	flags.BoolVar(&p.json, "json", false, "write JSON for programs instead of tables for people")
	flags.StringVar(&p.server, "server", "", "the server's address; FIREBREAK_SERVER (default "+
		DefaultServer+", or where you signed in)")
	flags.StringVar(&p.token, "token", "", "the token to call with; better FIREBREAK_TOKEN, or sign in")
	root.AddCommand(p.serveCommand(), p.loginCommand(), p.logoutCommand(), p.whoamiCommand(), p.caseCommand(), p.planCommand(), p.actionCommand(),
		p.requestCommand(), p.approveCommand(), p.tenantCommand(), p.connectionCommand(), p.personCommand(), p.tokenCommand(),
		p.policyCommand(), p.feedCommand(), p.journalCommand(), p.detectionCommand(), p.versionCommand())
	return root
}

// or gives a variable of the environment, or what stands for it.
func (p *program) or(name, otherwise string) string {
	if v := p.env(name); v != "" {
		return v
	}
	return otherwise
}

// run wraps what a command does.
func run(do func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		err := do(c.Context(), args)
		if err == nil {
			return nil
		}
		var q *quiet
		if errors.As(err, &q) {
			return err
		}
		return &failed{err}
	}
}

// group is a command that only holds others.
func group(use, short string, of ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, SuggestionsMinimumDistance: 2}
	c.AddCommand(of...)
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			what := fmt.Sprintf("unknown command %q for %q", threat.Inert(args[0], 64), c.CommandPath())
			if near := c.SuggestionsFor(args[0]); len(near) > 0 {
				what += "; did you mean " + strings.Join(near, " or ") + "?"
			}
			return errors.New(what)
		}
		if _, err := fmt.Fprint(c.ErrOrStderr(), c.UsageString()); err != nil {
			return err
		}
		return &quiet{ExitUsage}
	}
	return c
}

// client gives the client of the server that was chosen.
func (p *program) client() (*client.Client, error) {
	server, token := p.server, p.token
	if server == "" {
		server = p.env("FIREBREAK_SERVER")
	}
	if token == "" {
		token = p.env("FIREBREAK_TOKEN")
	}
	if token == "" || server == "" {
		kept, err := readSignIn(p.configDir)
		if err != nil {
			return nil, err
		}
		if server == "" {
			server = kept.Server
		}
		if token == "" && server == kept.Server {
			token = kept.Secret // never sent to another server than the one that gave it
		}
	}
	if server == "" {
		server = DefaultServer
	}
	return client.New(client.Options{Server: server, Token: token, Version: p.build.Version})
}

// calling wraps a command that calls the server.
func (p *program) calling(do func(ctx context.Context, c *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return run(func(ctx context.Context, args []string) error {
		c, err := p.client()
		if err != nil {
			return err
		}
		return do(ctx, c, args)
	})
}
