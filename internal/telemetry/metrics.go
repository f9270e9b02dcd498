package telemetry

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/threat"
)

// Metrics are the program's counters, on a registry of their own. It implements the Metrics interfaces of ingest,
// dispatch, activities, approval and api. No label holds a customer's text: verbs, states and routes are ours.
type Metrics struct {
	registry *prometheus.Registry

	detections *prometheus.CounterVec
	triage     *prometheus.HistogramVec
	nudges     *prometheus.HistogramVec
	depth      prometheus.Gauge
	age        prometheus.Gauge
	open       *prometheus.GaugeVec
	missing    *prometheus.CounterVec
	claims     *prometheus.CounterVec
	sends      *prometheus.HistogramVec
	reads      *prometheus.CounterVec
	clicks     *prometheus.CounterVec
	requests   *prometheus.HistogramVec
	streams    prometheus.Gauge
	pages      prometheus.Counter
}

// calls are the bounds of how long a call took, in seconds.
var calls = []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30}

// NewMetrics makes the metrics, those of Go and the process among them.
func NewMetrics() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "firebreak", Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "firebreak", Name: name, Help: help, Buckets: calls}, labels)
		m.registry.MustRegister(h)
		return h
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "firebreak", Name: name, Help: help})
		m.registry.MustRegister(g)
		return g
	}
	m.detections = counter("detections_total", "Findings that came in.", "product", "outcome")
	m.triage = histogram("triage_seconds", "From a lease to an assignment.", "outcome")
	m.nudges = histogram("nudge_seconds", "Calls that nudge a workflow.", "kind", "outcome")
	m.depth = gauge("outbox_depth", "Nudges that wait.")
	m.age = gauge("outbox_oldest_seconds", "How long the oldest nudge has waited.")
	m.open = prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "firebreak", Name: "open_subjects",
		Help: "Open rows at the last sweep."}, []string{"kind"})
	m.registry.MustRegister(m.open)
	m.missing = counter("sweep_missing_total", "Open rows that the sweep found without a live workflow.", "kind")
	m.claims = counter("claims_total", "Answers of Claim.", "verb", "kind", "verdict")
	m.sends = histogram("send_seconds", "From the right to a request until its answer.", "verb", "kind", "outcome")
	m.reads = counter("reads_total", "Reads of devices.", "verb", "presence")
	m.clicks = counter("clicks_total", "Verdicts of people, refused ones too.", "surface", "verdict", "refusal")
	m.requests = histogram("http_seconds", "Calls of the API.", "method", "route", "status")
	m.streams = gauge("event_streams", "Event streams that are open.")
	m.pages = prometheus.NewCounter(prometheus.CounterOpts{Namespace: "firebreak", Name: "pages_total",
		Help: "How often the provider's people were called."})
	m.registry.MustRegister(m.pages, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Register adds a gauge that is read when it is asked for.
func (m *Metrics) Register(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "firebreak", Name: name, Help: help}, read))
}

// Handler serves the metrics to Prometheus.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry, MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// Detections counts findings of a product by what became of them.
func (m *Metrics) Detections(product, outcome string, n int) {
	m.detections.WithLabelValues(product, outcome).Add(float64(n))
}

// Triage notes what became of one detection, and how long that took.
func (m *Metrics) Triage(outcome string, took time.Duration) {
	m.triage.WithLabelValues(outcome).Observe(took.Seconds())
}

// Nudge notes one call that nudges a workflow.
func (m *Metrics) Nudge(kind, outcome string, took time.Duration) {
	m.nudges.WithLabelValues(kind, outcome).Observe(took.Seconds())
}

// Outbox tells how many nudges wait, and how long the oldest has waited.
func (m *Metrics) Outbox(depth int, age time.Duration) {
	m.depth.Set(float64(depth))
	m.age.Set(age.Seconds())
}

// Sweep tells how many subjects of a kind are open, and how many of them had no live workflow.
func (m *Metrics) Sweep(kind string, open, missing int) {
	m.open.WithLabelValues(kind).Set(float64(open))
	m.missing.WithLabelValues(kind).Add(float64(missing))
}

// Claimed counts an answer of Claim.
func (m *Metrics) Claimed(verb string, kind threat.ClaimKind, verdict threat.ClaimVerdict) {
	m.claims.WithLabelValues(verb, string(kind), string(verdict)).Inc()
}

// Sent notes one request to a device.
func (m *Metrics) Sent(verb string, kind threat.ClaimKind, outcome threat.Outcome, took time.Duration) {
	m.sends.WithLabelValues(verb, string(kind), string(outcome)).Observe(took.Seconds())
}

// Read counts one look at a device.
func (m *Metrics) Read(verb string, presence adapters.Presence) {
	m.reads.WithLabelValues(verb, string(presence)).Inc()
}

// Click counts one verdict of a person.
func (m *Metrics) Click(surface string, verdict threat.VerdictKind, refusal threat.Refusal, _ time.Duration) {
	m.clicks.WithLabelValues(surface, string(verdict), string(refusal)).Inc()
}

// Request notes one call of the API by its route's pattern.
func (m *Metrics) Request(method, route string, status int, took time.Duration) {
	m.requests.WithLabelValues(method, route, http.StatusText(status)).Observe(took.Seconds())
}

// Streams notes how many event streams are open.
func (m *Metrics) Streams(n int) { m.streams.Set(float64(n)) }

// Paged counts a call to the provider's people.
func (m *Metrics) Paged() { m.pages.Inc() }
