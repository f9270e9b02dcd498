package nftables

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"time"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

// Output is what a run of nft gave.
type Output struct {
	Stdout, Stderr []byte
	Code           int // the exit status; -1 when a signal ended it
}

// Runner runs nft with arguments and a standard input.
type Runner interface {
	// Run gives nft's output whatever its exit status. An error means that nft did not run to its end: a *threat.Fault of
	// kind Unavailable when it was never started, else the context's error or another one of which it is not known how far
	// nft got.
	Run(ctx context.Context, args []string, stdin []byte) (Output, error)
}

// Exec runs the real nft, in the connection's namespace.
func Exec(s Settings) Runner { return execRunner{s} }

type execRunner struct{ s Settings }

func (r execRunner) Run(ctx context.Context, args []string, stdin []byte) (Output, error) {
	argv := append([]string{r.s.Nft}, args...)
	if r.s.Namespace != "" {
		argv = append([]string{r.s.IP, "netns", "exec", r.s.Namespace}, argv...)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.WaitDelay = time.Second
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if cmd.Err != nil {
		if cmd.Path, _ = sbin(argv[0]); cmd.Path == "" {
			return Output{}, notStarted(argv[0], cmd.Err)
		}
		cmd.Err = nil
	}
	if err := cmd.Start(); err != nil {
		return Output{}, notStarted(argv[0], err)
	}
	adapters.HandedOver(ctx)
	err := cmd.Wait()
	out := Output{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), Code: cmd.ProcessState.ExitCode()}
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return out, err
	}
	return out, nil
}

// sbin finds a program where administrators' programs lie, which is not in everybody's PATH.
func sbin(name string) (string, error) {
	if strings.Contains(name, "/") {
		return "", exec.ErrNotFound
	}
	for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

func notStarted(program string, err error) error {
	f := &threat.Fault{Kind: threat.Unavailable, What: program + " could not be started", Err: err}
	if errors.Is(err, exec.ErrNotFound) {
		f.Next = "install nftables, or name the program's path in the connection's settings"
	}
	return f
}

// failures is what nft's words mean: the kernel's errors come through it as text. Each is of a transaction that was
// refused whole.
var failures = []struct {
	words string
	kind  threat.FaultKind
	next  string
}{
	{"Cannot open network namespace", threat.Unavailable, "is the namespace there, and may we enter it?"},
	{"Operation not permitted", threat.Forbidden, "run with CAP_NET_ADMIN (and CAP_SYS_ADMIN for a namespace)"},
	{"Permission denied", threat.Forbidden, "run with CAP_NET_ADMIN (and CAP_SYS_ADMIN for a namespace)"},
	{"No such file or directory", threat.NotFound, ""},
	{"File exists", threat.Conflict, ""},
	{"Too many open files in system", threat.TooLarge, "the set is full"},
	{"No space left on device", threat.TooLarge, "the set is full"},
	{"Device or resource busy", threat.Unavailable, ""},
	{"Cannot allocate memory", threat.Unavailable, ""},
	{"Operation not supported", threat.Unsupported, "the kernel lacks nf_tables for this"},
	{"Protocol not supported", threat.Unsupported, "the kernel lacks nf_tables for this"},
	{"syntax error", threat.Internal, ""},
}

// failed gives the fault of an output, nil for a success. What nft does not explain is Unknown: it may have got through.
func failed(o Output) error {
	if o.Code == 0 {
		return nil
	}
	said := strings.TrimSpace(string(o.Stderr))
	if i := strings.IndexByte(said, '\n'); i >= 0 {
		said = said[:i]
	}
	for _, f := range failures {
		if strings.Contains(string(o.Stderr), f.words) {
			return &threat.Fault{Kind: f.kind, What: "nft: " + said, Next: f.next}
		}
	}
	if o.Code < 0 {
		said = "ended by a signal"
	}
	return &threat.Fault{Kind: threat.Unknown, What: "nft: " + said, Next: "read before repeating"}
}
