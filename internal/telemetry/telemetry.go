// Package telemetry is the operators' view: logs that carry the ids of their trace, Prometheus metrics, and OpenTelemetry
// traces. It counts and names; it decides nothing, and no text of a customer's goes through it.
package telemetry

import (
	"context"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.26.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/firebreak/firebreak/internal/threat"
)

// Logger makes the program's log: format is "text" or "json", level one of slog's names. Each record that is written within
// a trace carries its trace_id and span_id. Invalid for another format or level.
func Logger(w io.Writer, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, &threat.Fault{Kind: threat.Invalid, What: "unknown log level", Place: "--log-level", Next: "give debug, info, warn or error"}
	}
	o := &slog.HandlerOptions{Level: l}
	switch strings.ToLower(format) {
	case "text":
		return slog.New(traced{slog.NewTextHandler(w, o)}), nil
	case "json":
		return slog.New(traced{slog.NewJSONHandler(w, o)}), nil
	}
	return nil, &threat.Fault{Kind: threat.Invalid, What: "unknown log format", Place: "--log-format", Next: "give text or json"}
}

// traced adds the ids of the trace in the context.
type traced struct{ slog.Handler }

func (t traced) Handle(ctx context.Context, r slog.Record) error {
	if s := trace.SpanContextFromContext(ctx); s.IsValid() {
		r.AddAttrs(slog.String("trace_id", s.TraceID().String()), slog.String("span_id", s.SpanID().String()))
	}
	return t.Handler.Handle(ctx, r)
}

func (t traced) WithAttrs(as []slog.Attr) slog.Handler { return traced{t.Handler.WithAttrs(as)} }

func (t traced) WithGroup(name string) slog.Handler { return traced{t.Handler.WithGroup(name)} }

// Tracing has spans sent to an OTLP endpoint over HTTP ("http://127.0.0.1:4318"), and gives what flushes and ends that. With
// an empty endpoint nothing is recorded. Invalid when the endpoint is no URL.
func Tracing(ctx context.Context, endpoint, version string) (shutdown func(context.Context) error, err error) {
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	if endpoint == "" {
		return func(context.Context) error { return nil }, nil
	}
	if !strings.HasPrefix(endpoint, "http://") && !strings.HasPrefix(endpoint, "https://") {
		return nil, &threat.Fault{Kind: threat.Invalid, What: "the endpoint for traces is no URL", Place: "--otlp-endpoint",
			Next: "give http://host:4318 or https://..."}
	}
	u, err := url.Parse(endpoint)
	if err == nil && strings.Trim(u.Path, "/") == "" {
		u.Path = "/v1/traces" // OTLP's own path, where none is told
		endpoint = u.String()
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint), otlptracehttp.WithTimeout(5*time.Second))
	if err != nil {
		return nil, &threat.Fault{Kind: threat.Invalid, What: "the endpoint for traces cannot be used", Place: "--otlp-endpoint", Err: err}
	}
	p := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter, sdktrace.WithMaxQueueSize(4096)),
		sdktrace.WithResource(resource.NewSchemaless(semconv.ServiceName("firebreak"), semconv.ServiceVersion(version))))
	otel.SetTracerProvider(p)
	return p.Shutdown, nil
}
