// Package client is the typed client of the API that the command line uses. A refusal comes back as the *threat.Fault
// that it was made of, so that its kind decides the exit code. It keeps nothing and prints nothing.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

// maxAnswer bounds an answer that is read, in bytes.
const maxAnswer = 64 << 20

// Options say which server is called, and as whom.
type Options struct {
	Server  string       // http://127.0.0.1:7300
	Token   string       // a program's token or a session's secret; empty calls as nobody
	Version string       // of the program, for the server's log
	HTTP    *http.Client // nil takes one that waits 30 s for an answer to begin
}

// Client calls one server. It is safe for use by several goroutines.
type Client struct {
	base  *url.URL
	token string
	agent string
	http  *http.Client
}

// New makes a Client. Invalid for an address that is no http or https URL.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.Server)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, &threat.Fault{Kind: threat.Invalid, What: "the server's address is no http or https URL", Place: "--server",
			Next: "give something like http://127.0.0.1:7300"}
	}
	c := &Client{base: u, token: o.Token, agent: wire.AgentCLI + o.Version, http: o.HTTP}
	if c.http == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.ResponseHeaderTimeout = 30 * time.Second
		c.http = &http.Client{Transport: t}
	}
	if c.http.CheckRedirect == nil { // a redirect would carry the token elsewhere
		h := *c.http
		h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		c.http = &h
	}
	return c, nil
}

// Server gives the address of the server that is called.
func (c *Client) Server() string { return c.base.String() }

// request makes one call's request. Parts of the path are escaped; query may be nil.
func (c *Client) request(ctx context.Context, method string, path []string, query url.Values, body any) (*http.Request, error) {
	for i, p := range path {
		path[i] = url.PathEscape(p)
	}
	u := c.base.JoinPath(path...)
	u.RawQuery = query.Encode()
	var from io.Reader
	switch b := body.(type) {
	case nil:
	case []byte:
		from = bytes.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		from = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), from)
	if err != nil {
		return nil, &threat.Fault{Kind: threat.Invalid, What: "this cannot be called", Err: err}
	}
	if from != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("User-Agent", c.agent)
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	return r, nil
}

// send sends a request. Unavailable when the server cannot be reached, Unknown when a change was sent and no answer came.
func (c *Client) send(r *http.Request) (*http.Response, error) {
	res, err := c.http.Do(r)
	if err == nil {
		return res, nil
	}
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	var dial interface{ Timeout() bool }
	if r.Method != http.MethodGet && errors.As(err, &dial) && dial.Timeout() {
		return nil, &threat.Fault{Kind: threat.Unknown, What: "the server took the call and did not answer", Err: err,
			Next: "read what became of it before you repeat it"}
	}
	return nil, &threat.Fault{Kind: threat.Unavailable, What: "the server at " + c.base.Host + " cannot be reached", Place: "--server",
		Next: "is `firebreak serve` running there?", Err: err}
}

// call makes one call and reads its answer.
func call[A any](ctx context.Context, c *Client, method string, path []string, query url.Values, body any) (out A, err error) {
	r, err := c.request(ctx, method, path, query, body)
	if err != nil {
		return out, err
	}
	res, err := c.send(r)
	if err != nil {
		return out, err
	}
	defer func() { _ = res.Body.Close() }() // it was read
	if res.StatusCode >= 300 {
		return out, refusal(res)
	}
	if res.StatusCode == http.StatusNoContent {
		return out, nil
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&out); err != nil {
		return out, &threat.Fault{Kind: threat.Unavailable, What: "the server's answer cannot be read", Err: err,
			Next: "is that a Firebreak server, and of this version?"}
	}
	return out, nil
}

// Refused is a click that the door did not accept.
type Refused struct {
	Fault  *threat.Fault
	Answer threat.ClickAnswer
}

// Error gives the fault's text.
func (r *Refused) Error() string { return r.Fault.Error() }

// Unwrap gives the fault.
func (r *Refused) Unwrap() error { return r.Fault }

// refusal turns a problem back into its fault.
func refusal(res *http.Response) error {
	var p wire.Problem
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if kind != "application/problem+json" || json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&p) != nil || p.Kind == "" {
		return &threat.Fault{Kind: threat.Unavailable, What: fmt.Sprintf("the server answered %d, which is no answer of Firebreak's",
			res.StatusCode), Place: "--server", Next: "is that a Firebreak server?"}
	}
	f := &threat.Fault{Kind: p.Kind, What: threat.Inert(p.Detail, 1000), Place: threat.Inert(p.Place, 200),
		Next: threat.Inert(p.Next, 1000), RetryAfter: time.Duration(p.RetryAfter) * time.Second}
	if p.Kind == threat.Internal && p.RequestID != "" {
		f.What += " (request " + threat.Inert(p.RequestID, 64) + ")"
	}
	if p.Answer != nil {
		return &Refused{Fault: f, Answer: *p.Answer}
	}
	return f
}

// in begins a path below /v1.
func in(parts ...string) []string { return append([]string{"v1"}, parts...) }

// query makes a query of pairs; what is empty is left out.
func query(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if strings.TrimSpace(pairs[i+1]) != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}
