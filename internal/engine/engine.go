// Package engine is Temporal: a server of its own inside this process, on a SQLite file or on PostgreSQL, or an outside
// cluster that is dialled. It is the only room that imports the Temporal server, so that every other one builds and tests
// without it.
//
// What Temporal keeps may be lost: the store is the truth, and dispatch starts every workflow anew from it. So a file that
// another version of the server wrote is set aside, not migrated.
package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"github.com/firebreak/firebreak/internal/threat"
)

const (
	// Namespace is Temporal's namespace of an embedded server, and what an outside one is expected to have unless told
	// otherwise.
	Namespace = "firebreak"
	// TaskQueue is where all workflows and activities wait. It is opaque: one for all tenants.
	TaskQueue = "firebreak"
	// BasePort is the first of the ten ports on 127.0.0.1 from which an embedded server takes its own.
	BasePort = 7310

	portRange = 10
)

// Options say which Temporal is used, and how. Exactly one of SQLitePath, PostgresURL and Dial is given.
type Options struct {
	// SQLitePath is the file of an embedded server, made when it is not there. Only one process may open it at a time;
	// the caller holds the lock.
	SQLitePath string
	// PostgresURL is the address of a PostgreSQL database. An embedded server keeps two beside it, named with the endings
	// _temporal and _temporal_visibility, under an advisory lock of that database.
	PostgresURL string
	// Dial names an outside cluster.
	Dial *Dial

	// Ports of an embedded server; see there.
	Ports Ports
	// Credential is what an embedded frontend accepts as a bearer, and nothing else; one is made at random when empty.
	// Only a second program that serves Temporal to the first gives one.
	Credential string

	// PayloadKey encrypts what workflows are told and say, 32 bytes. Required, but for ServeOnly.
	PayloadKey []byte
	// OldPayloadKeys still decrypt what was written under them.
	OldPayloadKeys [][]byte

	// ServeOnly has an embedded server run for other processes: no worker is started here, and no key is needed.
	ServeOnly bool
	// Interceptors are called around the client's and, where they are also worker interceptors, the workers' calls.
	Interceptors []interceptor.ClientInterceptor
	// Log gets the server's errors and the SDK's warnings; slog.Default() when nil.
	Log *slog.Logger
}

// Ports says where an embedded server listens, always on 127.0.0.1. The zero value takes any free ports.
type Ports struct {
	Base     int // the first of ten, of which the first free ones are taken; BasePort by default in the program
	Frontend int // exactly this one for the frontend, in place of the first free
}

// Engine is a running Temporal and the client of it. It is safe for concurrent use.
type Engine struct {
	log        *slog.Logger
	client     client.Client
	namespace  string
	address    string
	credential string
	server     *server // nil when dialled
	lock       *lock   // only on PostgreSQL

	mu      sync.Mutex
	workers []worker.Worker
	failed  error // what ended a worker for good
	closed  bool
}

// Start brings Temporal up and connects to it; ctx bounds the start only. It gives Invalid for options that contradict each
// other, Conflict when the ports or the databases are another process's, NotFound when an outside cluster lacks the
// namespace, Unauthenticated or Forbidden when it refuses our credential, and Unavailable when it cannot be reached.
func Start(ctx context.Context, o Options) (*Engine, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	worker.SetStickyWorkflowCacheSize(stickyCache)
	e := &Engine{log: o.Log, namespace: Namespace}
	begin := e.embed
	if o.Dial != nil {
		begin = e.dial
	}
	if err := begin(ctx, o); err != nil {
		return nil, errors.Join(err, e.Close(context.WithoutCancel(ctx)))
	}
	return e, nil
}

func (o Options) check() error {
	given := 0
	for _, is := range []bool{o.SQLitePath != "", o.PostgresURL != "", o.Dial != nil} {
		if is {
			given++
		}
	}
	if given != 1 {
		return threat.Faultf(threat.Invalid, "the engine takes one of a SQLite file, a PostgreSQL address and an outside cluster")
	}
	if o.ServeOnly {
		if o.Dial != nil {
			return threat.Faultf(threat.Invalid, "an outside cluster cannot be served")
		}
		return nil
	}
	for _, k := range append([][]byte{o.PayloadKey}, o.OldPayloadKeys...) {
		if len(k) != keySize {
			return threat.Faultf(threat.Invalid, "a payload key has %d bytes, not %d", len(k), keySize)
		}
	}
	return nil
}

// Client gives the connection to Temporal. It is closed with the engine.
func (e *Engine) Client() client.Client { return e.client }

// TaskQueue names where the workers listen.
func (e *Engine) TaskQueue() string { return TaskQueue }

// Namespace names where the workflows live.
func (e *Engine) Namespace() string { return e.namespace }

// Address gives host and port of the frontend.
func (e *Engine) Address() string { return e.address }

// Credential gives what the embedded frontend accepts. It is a secret, and empty for an outside cluster.
func (e *Engine) Credential() string { return e.credential }

// Healthy reports whether Temporal answers and our workers run, for /readyz: nil, or an Unavailable or Conflict fault.
func (e *Engine) Healthy(ctx context.Context) error {
	e.mu.Lock()
	failed, closed := e.failed, e.closed
	e.mu.Unlock()
	switch {
	case closed:
		return threat.Faultf(threat.Unavailable, "Temporal is closed")
	case failed != nil:
		return threat.Faultf(threat.Unavailable, "a worker of Temporal has ended: %w", failed)
	}
	if e.lock != nil {
		if err := e.lock.held(); err != nil {
			return err
		}
	}
	if _, err := e.client.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return &threat.Fault{Kind: threat.Unavailable, What: "Temporal does not answer", Err: err}
	}
	return nil
}

// Close ends the workers, which finish what they run for up to drainTime, then the connection and an embedded server. When
// ctx ends first it gives Unavailable, and the rest is left to the end of the process; nothing that was accepted is lost
// by that. A second call does nothing.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	workers, closed := e.workers, e.closed
	e.workers, e.closed = nil, true
	e.mu.Unlock()
	if closed {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- e.close(workers) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return threat.Faultf(threat.Unavailable, "Temporal did not end in time: %w", ctx.Err())
	}
}

func (e *Engine) close(workers []worker.Worker) error {
	var all sync.WaitGroup
	for _, w := range workers {
		all.Go(w.Stop)
	}
	all.Wait()
	if e.client != nil {
		e.client.Close()
	}
	var err error
	if e.server != nil {
		err = e.server.stop()
	}
	if e.lock != nil {
		e.lock.release()
	}
	return err
}
