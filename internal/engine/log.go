package engine

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	serverlog "go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// sdkLog keeps the SDK's warnings and errors. While Temporal is away every poller complains every few seconds: one a minute
// of those is enough.
type sdkLog struct {
	slog.Handler
	polls *polling
}

const (
	pollFailed = "Failed to poll for task."
	pollEvery  = time.Minute
)

// polling remembers when a failed poll was logged last.
type polling struct{ last atomic.Int64 }

// Enabled reports whether a record of that level is kept.
func (h sdkLog) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

// Handle passes a record on.
func (h sdkLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == pollFailed {
		last := h.polls.last.Load()
		if r.Time.Sub(time.Unix(0, last)) < pollEvery || !h.polls.last.CompareAndSwap(last, r.Time.UnixNano()) {
			return nil
		}
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps what is dropped.
func (h sdkLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return sdkLog{h.Handler.WithAttrs(attrs), h.polls}
}

// WithGroup keeps what is dropped.
func (h sdkLog) WithGroup(name string) slog.Handler {
	return sdkLog{h.Handler.WithGroup(name), h.polls}
}

// serverLog hands the server's errors to slog. What is below an error says nothing to our readers, and 400 lines of it
// come in the first ten seconds.
type serverLog struct {
	log   *slog.Logger
	quiet *atomic.Bool // while stopping, when parts complain about the others being gone
}

var (
	_ serverlog.Logger     = serverLog{}
	_ serverlog.WithLogger = serverLog{}
)

// fatal is what the server panics with where its own logger would have ended the process: a port that was taken, mostly.
type fatal struct{ text string }

// Error gives the text.
func (f fatal) Error() string { return f.text }

func attrs(tags []tag.Tag) []any {
	var out []any
	for _, t := range tags {
		out = append(out, slog.Any(t.Key(), t.Value()))
	}
	return out
}

func (serverLog) Debug(string, ...tag.Tag) {}
func (serverLog) Info(string, ...tag.Tag)  {}
func (serverLog) Warn(string, ...tag.Tag)  {}

func (l serverLog) Error(msg string, tags ...tag.Tag) {
	if !l.quiet.Load() {
		l.log.Error("temporal: "+msg, attrs(tags)...)
	}
}

func (l serverLog) DPanic(msg string, tags ...tag.Tag) { l.Error(msg, tags...) }

func (l serverLog) Panic(msg string, tags ...tag.Tag) { l.Fatal(msg, tags...) }

func (l serverLog) Fatal(msg string, tags ...tag.Tag) {
	for _, t := range tags {
		if t.Key() == "error" {
			msg += fmt.Sprint(": ", t.Value())
		}
	}
	panic(fatal{msg})
}

func (l serverLog) With(tags ...tag.Tag) serverlog.Logger {
	return serverLog{l.log.With(attrs(tags)...), l.quiet}
}
