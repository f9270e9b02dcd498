package engine_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/firebreak/firebreak/internal/engine"
	"github.com/firebreak/firebreak/internal/threat"
)

// patience bounds what a test waits for; nothing is measured by it.
const patience = 30 * time.Second

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

var payloadKey = bytes.Repeat([]byte{7}, 32)

func start(t *testing.T, o engine.Options) *engine.Engine {
	t.Helper()
	if !o.ServeOnly {
		o.PayloadKey = payloadKey
	}
	e, err := engine.Start(within(t), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close(within(t))) })
	return e
}

// secretWord is what a customer would not want to see in Temporal's files.
const secretWord = "customer-named-acme-0xC0FFEE"

// wait is told a word, waits for a signal and then for a timer, and fails when the signal says so.
func wait(ctx workflow.Context, word string) (string, error) {
	var told string
	workflow.GetSignalChannel(ctx, "tell").Receive(ctx, &told)
	if err := workflow.Sleep(ctx, time.Second); err != nil {
		return "", err
	}
	if told == "fail" {
		return "", temporal.NewNonRetryableApplicationError("failed over "+word, "told", errors.New("because of "+word), word)
	}
	return word + " " + told, nil
}

func register(r worker.Registry) {
	r.RegisterWorkflowWithOptions(wait, workflow.RegisterOptions{Name: "wait"})
}

// tell signals a waiting workflow, and starts it where there is none.
func tell(t testing.TB, e *engine.Engine, id, what string) client.WorkflowRun {
	t.Helper()
	run, err := e.Client().SignalWithStartWorkflow(within(t), id, "tell", what,
		client.StartWorkflowOptions{TaskQueue: e.TaskQueue()}, "wait", secretWord)
	require.NoError(t, err)
	return run
}

func said(t testing.TB, run client.WorkflowRun) string {
	t.Helper()
	var s string
	require.NoError(t, run.Get(within(t), &s))
	return s
}

// history gives all events of a workflow as JSON.
func history(t testing.TB, e *engine.Engine, id string) string {
	t.Helper()
	var b strings.Builder
	it := e.Client().GetWorkflowHistory(within(t), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for it.HasNext() {
		event, err := it.Next()
		require.NoError(t, err)
		b.WriteString(protojson.Format(event))
	}
	return b.String()
}

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		if err := child(path); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// One server serves what needs no server of its own.
func TestEmbedded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a folder? with #odd% letters", "temporal.db")
	before := listening(t)
	e := start(t, engine.Options{SQLitePath: path})
	require.NoError(t, e.StartWorker(register))
	require.NoError(t, e.Healthy(within(t)))

	t.Run("a workflow runs", func(t *testing.T) {
		require.Equal(t, secretWord+" ok", said(t, tell(t, e, "runs", "ok")))
		require.Equal(t, secretWord+" again", said(t, tell(t, e, "runs", "again")), "the id of a closed one may be used again")
	})
	t.Run("nothing lies in clear", func(t *testing.T) {
		run := tell(t, e, "fails", "fail")
		err := run.Get(within(t), nil)
		require.ErrorContains(t, err, "failed over "+secretWord, "our own client reads it")
		h := history(t, e, "fails")
		require.Contains(t, h, "workflowExecutionFailedEventAttributes")
		require.NotContains(t, h, secretWord)
		files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		seen := false
		for _, f := range files {
			b, err := os.ReadFile(f)
			require.NoError(t, err)
			require.NotContains(t, string(b), secretWord, f)
			seen = seen || bytes.Contains(b, []byte("firebreak-key-id"))
			info, err := os.Stat(f)
			require.NoError(t, err)
			require.Zero(t, info.Mode().Perm()&0o077, f)
		}
		require.True(t, seen, "the histories lie there, encrypted")
	})
	t.Run("the credential", func(t *testing.T) { refusesStrangers(t, e) })
	t.Run("only this machine", func(t *testing.T) { listensOnLoopback(t, e, before) })
	t.Run("dialled", func(t *testing.T) { dialled(t, e) })
}

// dialled is about a second program that uses the first one's Temporal.
func dialled(t *testing.T, e *engine.Engine) {
	dial := func(change func(*engine.Dial)) (*engine.Engine, error) {
		d := engine.Dial{Address: e.Address(), APIKey: e.Credential()}
		change(&d)
		return engine.Start(within(t), engine.Options{Dial: &d, PayloadKey: payloadKey})
	}
	d, err := dial(func(*engine.Dial) {})
	require.NoError(t, err)
	require.NoError(t, d.Healthy(within(t)))
	require.Equal(t, engine.Namespace, d.Namespace())
	require.Equal(t, secretWord+" from outside", said(t, tell(t, d, "outside", "from outside")))
	require.NoError(t, d.Close(within(t)))
	require.True(t, threat.Is(d.Healthy(within(t)), threat.Unavailable))
	require.True(t, threat.Is(d.StartWorker(register), threat.Conflict))

	var f *threat.Fault
	_, err = dial(func(d *engine.Dial) { d.Namespace = "elsewhere" })
	require.ErrorAs(t, err, &f)
	require.Equal(t, threat.NotFound, f.Kind)
	require.Contains(t, f.Next, "temporal operator namespace create --retention 24h elsewhere")

	_, err = dial(func(d *engine.Dial) { d.APIKey = "" })
	require.Equal(t, threat.Forbidden, threat.KindOf(err), err)
	_, err = dial(func(d *engine.Dial) { d.APIKey = "wrong" })
	require.Equal(t, threat.Forbidden, threat.KindOf(err), err)
	require.NotContains(t, err.Error(), "wrong")
	_, err = dial(func(d *engine.Dial) { d.TLS.On = true }) // to a port that speaks no TLS
	require.Equal(t, threat.Unavailable, threat.KindOf(err), err)
	_, err = dial(func(d *engine.Dial) { d.Address = "temporal.example:7233" })
	require.ErrorAs(t, err, &f)
	require.Equal(t, "--temporal-api-key-file", f.Place, "it would go over the network in clear")
	_, err = dial(func(d *engine.Dial) { d.Address = "nonsense" })
	require.Equal(t, threat.Invalid, threat.KindOf(err))
}

func TestDialRefusesWhatCannotBeUsed(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for place, conf := range map[string]engine.TLS{
		"--temporal-tls-ca":   {CAFile: empty},
		"--temporal-tls-cert": {CertFile: empty, KeyFile: empty},
	} {
		_, err := engine.Start(within(t), engine.Options{PayloadKey: payloadKey,
			Dial: &engine.Dial{Address: "127.0.0.1:1", TLS: conf}})
		var f *threat.Fault
		require.ErrorAs(t, err, &f)
		require.Equal(t, threat.Invalid, f.Kind)
		require.Equal(t, place, f.Place)
	}
	_, err := engine.Start(within(t), engine.Options{PayloadKey: payloadKey, Dial: &engine.Dial{Address: "127.0.0.1:1"}})
	require.Equal(t, threat.Unavailable, threat.KindOf(err), "nobody listens")
}

func TestOptionsThatContradict(t *testing.T) {
	for name, o := range map[string]engine.Options{
		"none":          {PayloadKey: payloadKey},
		"two":           {PayloadKey: payloadKey, SQLitePath: "x", PostgresURL: "y"},
		"no key":        {SQLitePath: "x"},
		"a short key":   {SQLitePath: "x", PayloadKey: payloadKey[:31]},
		"dialled serve": {ServeOnly: true, Dial: &engine.Dial{}},
	} {
		_, err := engine.Start(within(t), o)
		require.Equal(t, threat.Invalid, threat.KindOf(err), name)
	}
}

func TestServesAnotherProgram(t *testing.T) {
	t.Parallel()
	port := freeRange(t, 21000)
	served := start(t, engine.Options{SQLitePath: filepath.Join(t.TempDir(), "t.db"), ServeOnly: true, Credential: "between-us",
		Ports: engine.Ports{Frontend: port}})
	require.Equal(t, fmt.Sprintf("127.0.0.1:%d", port), served.Address())
	e := start(t, engine.Options{Dial: &engine.Dial{Address: served.Address(), APIKey: "between-us"}})
	require.NoError(t, e.StartWorker(register))
	require.Equal(t, secretWord+" ok", said(t, tell(t, e, "w", "ok")))

	// Its Temporal goes away, and comes back empty.
	require.NoError(t, served.Close(within(t)))
	short, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	require.Equal(t, threat.Unavailable, threat.KindOf(e.Healthy(short)))
	start(t, engine.Options{SQLitePath: filepath.Join(t.TempDir(), "t.db"), ServeOnly: true, Credential: "between-us",
		Ports: engine.Ports{Frontend: port}})
	require.Equal(t, secretWord+" once more", said(t, tell(t, e, "w", "once more")), "client and workers find it again")
}

func TestPorts(t *testing.T) {
	t.Parallel()
	base := freeRange(t, 25000)
	var held []net.Listener
	hold := func(port int) {
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		require.NoError(t, err)
		held = append(held, l)
	}
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	hold(base)
	hold(base + 2)
	o := engine.Options{SQLitePath: filepath.Join(t.TempDir(), "t.db"), PayloadKey: payloadKey, Ports: engine.Ports{Base: base}}
	e := start(t, o)
	require.Equal(t, fmt.Sprintf("127.0.0.1:%d", base+1), e.Address(), "the first free one")

	o.SQLitePath = filepath.Join(t.TempDir(), "t.db")
	_, err := engine.Start(within(t), o)
	require.Equal(t, threat.Conflict, threat.KindOf(err), "too few are left")
	o.Ports = engine.Ports{Frontend: base}
	_, err = engine.Start(within(t), o)
	require.Equal(t, threat.Conflict, threat.KindOf(err))
	require.ErrorContains(t, err, fmt.Sprintf("port %d is not free", base))
}

// freeRange finds ten ports in a row that are free, from one on. Tests that run side by side begin apart.
func freeRange(t *testing.T, from int) int {
	t.Helper()
	for base := from; base < from+4000; base += 10 {
		free := true
		for port := base; port < base+10; port++ {
			l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				free = false
				break
			}
			l.Close()
		}
		if free {
			return base
		}
	}
	t.Fatal("no ten free ports in a row")
	return 0
}

func remove(t *testing.T, path string) {
	t.Helper()
	for _, ending := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + ending); !errors.Is(err, os.ErrNotExist) {
			require.NoError(t, err)
		}
	}
}

func TestADeletedFileStartsAfresh(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "temporal.db")
	e := start(t, engine.Options{SQLitePath: path})
	tell(t, e, "w", "ok")
	require.NoError(t, e.Close(within(t)))
	require.NoError(t, e.Close(within(t)), "twice is harmless")

	e = start(t, engine.Options{SQLitePath: path})
	_, err := e.Client().DescribeWorkflowExecution(within(t), "w", "")
	require.NoError(t, err, "what was written is there after an orderly end")
	require.NoError(t, e.Close(within(t)))

	remove(t, path)
	e = start(t, engine.Options{SQLitePath: path})
	var missing *serviceerror.NotFound
	_, err = e.Client().DescribeWorkflowExecution(within(t), "w", "")
	require.ErrorAs(t, err, &missing)
	require.NoError(t, e.StartWorker(register))
	require.Equal(t, secretWord+" ok", said(t, tell(t, e, "w", "ok")))
	require.NoError(t, e.Close(within(t)))

	remove(t, path)
	// A file that this server cannot read is kept beside the new one.
	require.NoError(t, os.WriteFile(path, []byte("of another version"), 0o600))
	e = start(t, engine.Options{SQLitePath: path})
	require.NoError(t, e.Healthy(within(t)))
	kept, err := os.ReadFile(path + ".aside")
	require.NoError(t, err)
	require.Equal(t, "of another version", string(kept))
}

const childEnv = "FIREBREAK_TEST_ENGINE_FILE"

// child runs an engine with two workflows, one of which waits for its timer and one for a signal, says so, and goes on
// until it is killed.
func child(path string) error {
	ctx := context.Background()
	e, err := engine.Start(ctx, engine.Options{SQLitePath: path, PayloadKey: payloadKey})
	if err != nil {
		return err
	}
	if err := e.StartWorker(register); err != nil {
		return err
	}
	options := client.StartWorkflowOptions{TaskQueue: e.TaskQueue()}
	if _, err := e.Client().SignalWithStartWorkflow(ctx, "timed", "tell", "ok", options, "wait", secretWord); err != nil {
		return err
	}
	options.ID = "signalled"
	if _, err := e.Client().ExecuteWorkflow(ctx, options, "wait", secretWord); err != nil {
		return err
	}
	for it := e.Client().GetWorkflowHistory(ctx, "timed", "", true, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
		event, err := it.Next()
		if err != nil {
			return err
		}
		if event.GetEventType() == enums.EVENT_TYPE_TIMER_STARTED {
			fmt.Println("waiting")
			select {}
		}
	}
	return errors.New("no timer was started")
}

func TestAKilledServerKeepsWhatItAccepted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "temporal.db")
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(within(t), self)
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "waiting\n", line)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())

	e := start(t, engine.Options{SQLitePath: path})
	require.NoError(t, e.StartWorker(register))
	require.Equal(t, secretWord+" ok", said(t, e.Client().GetWorkflow(within(t), "timed", "")))
	require.Equal(t, secretWord+" late", said(t, tell(t, e, "signalled", "late")))
}
