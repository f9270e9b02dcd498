// Package policies holds the rules and the engine that asks them. A bundle (the one built in, or a directory) is compiled
// once, checked, and asked five questions in process; it is read anew when the directory changes, and a bad bundle
// leaves the last good one in force. The package knows the questions' schemas, not the facts: internal/decide gathers
// those. It opens no network and writes nothing.
package policies

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
)

// builtIn is the bundle that comes with the program.
//
//go:embed triage escalate respond approve access rule
var builtIn embed.FS

// BuiltIn gives the bundle that comes with the program, tests included: a start for one's own.
func BuiltIn() fs.FS { return builtIn }

// Options are how an Engine is made. Zero fields take what is written beside them.
type Options struct {
	Dir          string        // the bundle's directory; empty takes the one built in
	Timeout      time.Duration // of one evaluation; 100 ms
	CompileLimit time.Duration // of one compilation; 10 s
	Debounce     time.Duration // quiet time after a change before the directory is read anew; 250 ms
	Rescan       time.Duration // the directory is also read this often, should a notice be lost; 15 s
	Log          *slog.Logger
	Now          func() time.Time
}

// Engine asks the active bundle. It is safe for use by many at once.
type Engine struct {
	opts    Options
	active  atomic.Pointer[bundle]
	stuck   atomic.Int64 // evaluations that went past their time and have not come back
	compile chan struct{}
	idle    chan *worker
	closed  chan struct{} // ends the workers
	closing sync.Once

	mu      sync.Mutex
	tried   string // revision of the last bundle that was tried
	lastErr error
	errAt   time.Time
	reloads int64
	onLoad  []func(Status)

	stop func()
	done chan struct{}
}

// New compiles the bundle and, with a directory, begins to watch it. The first bundle must be good: a server does not
// start on rules that do not compile. Faults are Invalid with the place (file:row:col).
func New(ctx context.Context, o Options) (*Engine, error) {
	if o.Timeout <= 0 {
		o.Timeout = 100 * time.Millisecond
	}
	if o.CompileLimit <= 0 {
		o.CompileLimit = 10 * time.Second
	}
	if o.Debounce <= 0 {
		o.Debounce = 250 * time.Millisecond
	}
	if o.Rescan <= 0 {
		o.Rescan = 15 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &Engine{opts: o, compile: make(chan struct{}, 1),
		idle: make(chan *worker, idleWorkers()), closed: make(chan struct{}), done: make(chan struct{}), stop: func() {}}
	if err := e.load(ctx); err != nil {
		return nil, err
	}
	if o.Dir == "" {
		close(e.done)
		return e, nil
	}
	e.watch()
	return e, nil
}

// Close stops watching and lets the idle workers go. The engine must not be asked any more.
func (e *Engine) Close() error {
	e.closing.Do(func() { close(e.closed) })
	e.stop()
	<-e.done
	return nil
}

// Status is what operators see of the rules in force.
type Status struct {
	Revision string        `json:"revision"` // SHA-256 of the bundle's files
	Source   string        `json:"source"`   // "built in", or the directory
	LoadedAt time.Time     `json:"loaded_at"`
	Age      time.Duration `json:"age_ns"`
	// Stale means that the directory holds something else than what is in force, because that could not be taken.
	Stale   bool      `json:"stale"`
	Error   string    `json:"error,omitempty"` // why not, with the place
	ErrorAt time.Time `json:"error_at,omitzero"`
	Reloads int64     `json:"reloads"`
	// Stuck counts evaluations that went past their time and have not come back yet.
	Stuck int64 `json:"stuck"`
}

// Active tells which rules are in force, since when, and what stands against newer ones.
func (e *Engine) Active() Status {
	b := e.active.Load()
	e.mu.Lock()
	defer e.mu.Unlock()
	s := Status{Revision: b.revision, Source: "built in", LoadedAt: b.loadedAt, Age: e.opts.Now().Sub(b.loadedAt),
		Reloads: e.reloads, Stuck: e.stuck.Load()}
	if e.opts.Dir != "" {
		s.Source = e.opts.Dir
	}
	if e.lastErr != nil {
		s.Stale, s.Error, s.ErrorAt = true, e.lastErr.Error(), e.errAt
	}
	return s
}

// Revision gives that of the rules in force.
func (e *Engine) Revision() string { return e.active.Load().revision }

// Labels lists every rule of the bundle in force that can take part in an answer, by question.
func (e *Engine) Labels() map[threat.Question][]threat.RuleLabel { return e.active.Load().labels }

// OnLoad has fn called after every attempt to read the directory anew, good or bad: to journal it, to raise an alarm.
func (e *Engine) OnLoad(fn func(Status)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.onLoad = append(e.onLoad, fn)
}

// source gives the files that the engine reads.
func (e *Engine) source() (fs.FS, func(), error) {
	if e.opts.Dir == "" {
		return builtIn, func() {}, nil
	}
	root, err := os.OpenRoot(e.opts.Dir)
	if err != nil {
		return nil, nil, &threat.Fault{Kind: threat.Unavailable, What: "the policy directory cannot be read",
			Place: e.opts.Dir, Err: err}
	}
	return root.FS(), func() { _ = root.Close() }, nil // closing what was only read loses nothing
}

// load reads, compiles and puts in force. On a fault the last good bundle stays.
func (e *Engine) load(ctx context.Context) error {
	src, done, err := e.source()
	if err != nil {
		return err
	}
	files, err := readFiles(src)
	done()
	if err != nil {
		return err
	}
	revision := revisionOf(files)
	e.mu.Lock()
	e.tried = revision
	e.mu.Unlock()
	if b := e.active.Load(); b != nil && b.revision == revision {
		return nil
	}
	b, err := e.compileWithin(ctx, files, revision)
	if err != nil {
		return err
	}
	b.loadedAt = e.opts.Now()
	e.active.Store(b)
	return nil
}

// compileWithin compiles in a goroutine of its own. OPA's compiler cannot be cancelled: past the limit its goroutine is
// left to end by itself, its result is thrown away, and until it has ended no other compilation begins.
func (e *Engine) compileWithin(ctx context.Context, files []file, revision string) (*bundle, error) {
	select {
	case e.compile <- struct{}{}:
	default:
		return nil, &threat.Fault{Kind: threat.Unavailable, What: "an earlier compilation has not ended",
			Next: "simplify that bundle's rules; if it never ends, restart"}
	}
	type result struct {
		b   *bundle
		err error
	}
	out := make(chan result, 1)
	go func() {
		defer func() { <-e.compile }()
		defer func() {
			if r := recover(); r != nil {
				out <- result{err: threat.Faultf(threat.Internal, "the compiler failed on this bundle")}
			}
		}()
		b, err := compile(files, revision, false)
		out <- result{b, err}
	}()
	limit := time.NewTimer(e.opts.CompileLimit)
	defer limit.Stop()
	select {
	case r := <-out:
		return r.b, r.err
	case <-limit.C:
		return nil, &threat.Fault{Kind: threat.Invalid, What: fmt.Sprintf("compiling took longer than %s", e.opts.CompileLimit),
			Next: "simplify the rules"}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
