package telemetry

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

func TestLoggerRefusesWhatItDoesNotKnow(t *testing.T) {
	for place, words := range map[string][2]string{"--log-format": {"xml", "info"}, "--log-level": {"text", "loud"}} {
		_, err := Logger(io.Discard, words[0], words[1])
		require.True(t, threat.Is(err, threat.Invalid))
		require.Contains(t, err.Error(), place)
	}
}

func TestRecordsWithinATraceCarryItsIDs(t *testing.T) {
	var out bytes.Buffer
	log, err := Logger(&out, "json", "info")
	require.NoError(t, err)
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	log.With("tenant", "x").InfoContext(trace.ContextWithSpanContext(context.Background(), span), "acting")
	log.InfoContext(context.Background(), "idle")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Contains(t, lines[0], `"trace_id":"01000000000000000000000000000000"`)
	require.Contains(t, lines[0], `"tenant":"x"`)
	require.NotContains(t, lines[1], "trace_id")
}

func TestLevelHolds(t *testing.T) {
	var out bytes.Buffer
	log, err := Logger(&out, "text", "warn")
	require.NoError(t, err)
	log.Info("quiet")
	log.Log(context.Background(), slog.LevelWarn, "loud")
	require.NotContains(t, out.String(), "quiet")
	require.Contains(t, out.String(), "loud")
}

func TestSpansReachTheEndpoint(t *testing.T) {
	var got atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/traces" {
			got.Add(1)
		}
		w.WriteHeader(http.StatusOK)
	}))
	defer s.Close()
	shutdown, err := Tracing(context.Background(), s.URL, "test")
	require.NoError(t, err)
	_, span := otel.Tracer("test").Start(context.Background(), "a step")
	span.End()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(t, shutdown(ctx))
	require.EqualValues(t, 1, got.Load())
}

func TestTracingWantsAURL(t *testing.T) {
	_, err := Tracing(context.Background(), "collector:4318", "test")
	require.True(t, threat.Is(err, threat.Invalid))
	shutdown, err := Tracing(context.Background(), "", "test")
	require.NoError(t, err)
	require.NoError(t, shutdown(context.Background()))
}

func TestMetricsTellWhatWasCounted(t *testing.T) {
	m := NewMetrics()
	m.Detections("crowdsec", "received", 3)
	m.Triage("assigned", time.Millisecond)
	m.Nudge("case", "sent", time.Millisecond)
	m.Outbox(4, 2*time.Second)
	m.Sweep("case", 7, 1)
	m.Claimed("block_ip", threat.ClaimAct, threat.ClaimGranted)
	m.Sent("block_ip", threat.ClaimAct, threat.OutcomeSuccess, time.Second)
	m.Read("block_ip", adapters.Ours)
	m.Click("console", threat.VerdictApprove, threat.RefusedTwice, time.Second)
	m.Request("GET", "/v1/cases", 200, time.Millisecond)
	m.Streams(2)
	m.Paged()
	m.Register("policy_stale", "Whether the rules in the directory cannot be taken.", func() float64 { return 1 })
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{
		`firebreak_detections_total{outcome="received",product="crowdsec"} 3`,
		`firebreak_triage_seconds_count{outcome="assigned"} 1`,
		`firebreak_nudge_seconds_count{kind="case",outcome="sent"} 1`,
		`firebreak_outbox_depth 4`, `firebreak_outbox_oldest_seconds 2`,
		`firebreak_open_subjects{kind="case"} 7`, `firebreak_sweep_missing_total{kind="case"} 1`,
		`firebreak_claims_total{kind="act",verb="block_ip",verdict="granted"} 1`,
		`firebreak_send_seconds_count{kind="act",outcome="success",verb="block_ip"} 1`,
		`firebreak_reads_total{presence="ours",verb="block_ip"} 1`,
		`firebreak_clicks_total{refusal="already_voted",surface="console",verdict="approve"} 1`,
		`firebreak_http_seconds_count{method="GET",route="/v1/cases",status="OK"} 1`,
		`firebreak_event_streams 2`, `firebreak_pages_total 1`, `firebreak_policy_stale 1`, `go_goroutines`,
	} {
		require.Contains(t, w.Body.String(), line)
	}
}
