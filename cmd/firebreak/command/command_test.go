package command_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/firebreak/firebreak/cmd/firebreak/command"
	"github.com/firebreak/firebreak/internal/api"
	"github.com/firebreak/firebreak/internal/api/apitest"
	"github.com/firebreak/firebreak/internal/secret"
	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"

	"github.com/google/uuid"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"firebreak": func() {
		os.Exit(command.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, command.Build{Version: "1.2.3", Commit: "abc"}, serve))
	}})
}

// serve stands in for the server: it tells what it would be started with.
func serve(_ context.Context, o command.ServeOptions) error {
	fmt.Printf("data=%s listen=%s base=%s lab=%v log=%s/%s temporal=%s/%s\n", o.Data, o.Listen, o.BaseURL, o.Lab, o.LogFormat, o.LogLevel,
		o.TemporalAddress, o.TemporalNamespace)
	o.Announce("sign in at " + o.Listen)
	return nil
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, "config"))
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("FIREBREAK_SERVER", "http://127.0.0.1:1") // nobody; a script that wants a server says so
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"world":   func(ts *testscript.TestScript, _ bool, _ []string) { world(t, ts) },
			"journal": func(ts *testscript.TestScript, _ bool, args []string) { journal(t, ts, args) },
		}})
}

// exits runs a program and holds its exit code: exits 3 firebreak ...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code program args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, and %d is right", got, want)
	}
}

// world serves a world, and puts its server, tokens and ids into the environment.
func world(t *testing.T, ts *testscript.TestScript) {
	w := apitest.Open(t, func(d *api.Deps) {
		d.TestConnection = func(context.Context, uuid.UUID) error { return nil }
	})
	conn := w.Connection(w.One)
	c := w.Case(w.One, "Beacon to a command server")
	q := w.Ask(c, "203.0.113.7")
	link, err := w.Access.SignInLink(context.Background(), w.Contact.ID, 0)
	ts.Check(err)
	for name, value := range map[string]string{"FIREBREAK_SERVER": w.Server.URL, "ADMIN": w.SignIn(w.Admin), "ANALYST": w.SignIn(w.Analyst),
		"CONTACT": w.SignIn(w.Contact), "OTHER": w.SignIn(w.Other), "AUDITOR": w.Token(w.Provider, threat.Auditor),
		"SENSOR": w.Token(w.One, threat.Sensor), "LINK": link, "CASE": c.Name(), "REQUEST": q.ID.String(), "DIGEST": q.Digest,
		"ACTION": q.ResponseID.String(), "CONNECTION": conn.ID.String(), "TENANT": w.One.Slug, "EMAIL": w.Contact.Email} {
		ts.Setenv(name, value)
	}
}

// journal makes a data directory with a key file beside it: journal DIR KEYFILE.
func journal(t *testing.T, ts *testscript.TestScript, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	keys, err := secret.Open(ts.MkAbs(args[1]), dir)
	ts.Check(err)
	s := storetest.Open(t, storetest.WithKeys(keys), storetest.WithURL("sqlite:"+filepath.Join(dir, "firebreak.db")))
	storetest.SetMode(t, s, storetest.Tenant(t, s), threat.ModeCollaborate)
}
