package adaptertest

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
)

// Proxy stands between an HTTP adapter and its counterpart, on a real socket, and lets requests meet the faults of the
// matrix. An HTTP adapter's harness points the connection's address at URL, gives Arm as Bench.Arm and Changes as
// Bench.Sends.
type Proxy struct {
	// URL is the address to give to the adapter.
	URL string
	// Secret is quoted in every error that the proxy makes, as careless products do.
	Secret string
	// Changing tells which requests change something; nil takes every method but GET and HEAD for one.
	Changing func(r *http.Request) bool
	// Lie writes the answer of a success without the effect; nil is 200 with {}.
	Lie http.HandlerFunc

	upstream http.Handler
	server   *httptest.Server
	mu       sync.Mutex
	armed    map[bool]Fault
	changes  int
	gone     chan struct{}
}

// NewProxy stands before a counterpart for the time of a test.
func NewProxy(t *testing.T, upstream http.Handler) *Proxy {
	p := &Proxy{upstream: upstream, armed: map[bool]Fault{}, gone: make(chan struct{})}
	p.server = httptest.NewServer(p)
	p.URL = p.server.URL
	t.Cleanup(func() {
		close(p.gone)
		p.server.CloseClientConnections()
		p.server.Close()
	})
	return p
}

// Arm makes the next fitting request meet a fault.
func (p *Proxy) Arm(f Fault, op Op) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed[op != OpRead] = f
}

// Changes counts the changing requests that came.
func (p *Proxy) Changes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changes
}

var statuses = map[Fault]int{Status401: 401, Status403: 403, Status404: 404, Status409: 409, Status429: 429, Status500: 500, Status503: 503}

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	change := r.Method != http.MethodGet && r.Method != http.MethodHead
	if p.Changing != nil {
		change = p.Changing(r)
	}
	p.mu.Lock()
	if change {
		p.changes++
	}
	f := p.armed[change]
	delete(p.armed, change)
	p.mu.Unlock()
	switch f {
	case "":
		p.upstream.ServeHTTP(w, r)
	case TimeoutBefore:
		p.hang(r)
	case TimeoutAfter:
		p.upstream.ServeHTTP(httptest.NewRecorder(), r)
		p.hang(r)
	case Cut: // after the head and half of what it promises
		got := httptest.NewRecorder()
		p.upstream.ServeHTTP(got, r)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(got.Body.Len()+100))
		w.WriteHeader(got.Code)
		_, _ = w.Write(got.Body.Bytes()) // the rest never comes
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case LyingSuccess:
		if p.Lie != nil {
			p.Lie(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{}`))
	default:
		if f == Status429 {
			w.Header().Set("Retry-After", strconv.Itoa(RetryAfter))
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(statuses[f])
		_, _ = w.Write([]byte(`{"message":"refused for ` + p.Secret + ` at ` + r.URL.String() + `"}`))
	}
}

// hang holds the request until its client gives up.
func (p *Proxy) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-p.gone:
	}
	panic(http.ErrAbortHandler)
}

// Transport gives a round tripper for the adapter that cannot connect when the fault of no connection is armed.
func (p *Proxy) Transport(inner http.RoundTripper) http.RoundTripper { return refusing{p, inner} }

type refusing struct {
	p     *Proxy
	inner http.RoundTripper
}

func (r refusing) RoundTrip(req *http.Request) (*http.Response, error) {
	change := req.Method != http.MethodGet && req.Method != http.MethodHead
	if r.p.Changing != nil {
		change = r.p.Changing(req)
	}
	r.p.mu.Lock()
	refuse := r.p.armed[change] == Refused
	if refuse {
		delete(r.p.armed, change)
	}
	r.p.mu.Unlock()
	if refuse {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused for " + r.p.Secret)}
	}
	return r.inner.RoundTrip(req)
}
