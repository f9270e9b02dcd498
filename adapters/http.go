package adapters

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
)

// transport is shared by every HTTP adapter, so that connections are pooled and bounded in one place.
var transport = &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
	ForceAttemptHTTP2:     true,
	MaxIdleConns:          64,
	MaxIdleConnsPerHost:   4,
	MaxConnsPerHost:       16,
	IdleConnTimeout:       60 * time.Second,
	TLSHandshakeTimeout:   5 * time.Second,
	ExpectContinueTimeout: time.Second,
}

// Transport is the round tripper that HTTP adapters share.
func Transport() http.RoundTripper { return transport }

// MaxAnswer is the longest answer body read, in bytes.
const MaxAnswer = 8 << 20

// ClientOptions make a Client.
type ClientOptions struct {
	Base      string            // absolute http or https URL; a path in it stands before every call's
	Transport http.RoundTripper // nil is the shared one
	Sign      func(*http.Request) error
	Secrets   []string         // the credential's values: taken out of every error
	Now       func() time.Time // for Retry-After dates; nil is time.Now
}

// Client speaks HTTP and JSON with one product. It follows no redirect, sends nothing twice by itself, and gives faults
// that say whether the request went out.
type Client struct {
	base   *url.URL
	http   *http.Client
	sign   func(*http.Request) error
	redact *Redactor
	now    func() time.Time
}

// NewClient checks the address. Faults are Invalid with the place /settings/url.
func NewClient(o ClientOptions) (*Client, error) {
	u, err := url.Parse(o.Base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, &threat.Fault{Kind: threat.Invalid, Place: "/settings/url",
			What: "the address is not an http or https URL without credentials, query and fragment"}
	}
	c := &Client{base: u, sign: o.Sign, redact: NewRedactor(o.Secrets...), now: o.Now}
	if c.now == nil {
		c.now = time.Now
	}
	rt := o.Transport
	if rt == nil {
		rt = transport
	}
	c.http = &http.Client{Transport: rt, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

// Call is one request.
type Call struct {
	Method  string
	Path    string // below the base; already escaped
	Query   url.Values
	Header  http.Header
	Body    any  // marshalled as JSON; nil sends none
	Into    any  // the answer's JSON is read into it; nil leaves the body to the caller
	Changes bool // asks for a change: what is not answered is Unknown
}

// Answer is what came back, with a status of 2xx.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends a call. Faults: the kinds of StatusKind; RateLimited and Unavailable carry RetryAfter when told; Unavailable
// when no connection came about; Unknown when a change went out and no whole answer came back. A 2xx whose body cannot be
// read into Into is Unknown for a change and Unavailable for a read: the answer proves nothing.
func (c *Client) Do(ctx context.Context, call Call) (Answer, error) {
	req, err := c.request(ctx, call)
	if err != nil {
		return Answer{}, err
	}
	var out atomic.Bool
	req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { out.Store(true); HandedOver(ctx) },
	}))
	resp, err := c.http.Do(req)
	if err != nil {
		return Answer{}, c.broken(call, out.Load(), "no answer came", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	if kind := StatusKind(resp.StatusCode, call.Changes); kind != "" {
		return Answer{}, c.refused(call, kind, resp, body)
	}
	if err != nil {
		return Answer{}, c.broken(call, true, "the answer was cut", err)
	}
	if len(body) > MaxAnswer {
		return Answer{}, c.broken(call, true, fmt.Sprintf("the answer is longer than %d bytes", MaxAnswer), nil)
	}
	if call.Into != nil {
		if err := json.Unmarshal(body, call.Into); err != nil {
			return Answer{}, c.broken(call, true, "the answer is not the JSON that was expected", err)
		}
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

func (c *Client) request(ctx context.Context, call Call) (*http.Request, error) {
	u := *c.base
	joined, err := url.JoinPath(c.base.String(), call.Path)
	if err == nil {
		var p *url.URL
		if p, err = url.Parse(joined); err == nil {
			u = *p
		}
	}
	if err != nil {
		return nil, c.redact.Fault(&threat.Fault{Kind: threat.Internal, What: "a call's path cannot be joined to the address"})
	}
	u.RawQuery = call.Query.Encode()
	var body io.Reader
	if call.Body != nil {
		b, err := json.Marshal(call.Body)
		if err != nil {
			return nil, c.redact.Fault(&threat.Fault{Kind: threat.Internal, What: "a call's body cannot be written as JSON", Err: err})
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, call.Method, u.String(), body)
	if err != nil {
		return nil, c.redact.Fault(&threat.Fault{Kind: threat.Internal, What: "a call cannot be made", Err: err})
	}
	if call.Changes {
		req.GetBody = nil // or net/http could send it again by itself, for a body with an idempotency key
	}
	for name, values := range call.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.Header.Set("Accept", "application/json")
	if call.Body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", "firebreak")
	if c.sign != nil {
		if err := c.sign(req); err != nil {
			return nil, c.redact.Fault(&threat.Fault{Kind: threat.Unauthenticated, What: "the request could not be signed", Err: err})
		}
	}
	return req, nil
}

// broken classes a call without a whole answer. The error of net/http quotes the URL, which may carry a token: only what
// lies beneath it is kept.
func (c *Client) broken(call Call, out bool, what string, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	kind := threat.Unavailable
	if call.Changes && out {
		kind = threat.Unknown
	}
	if err != nil {
		what += ": " + err.Error()
	}
	return c.redact.Fault(&threat.Fault{Kind: kind, What: c.place(call) + ": " + what, Next: next(kind), Err: err})
}

func (c *Client) refused(call Call, kind threat.FaultKind, resp *http.Response, body []byte) error {
	f := &threat.Fault{Kind: kind, What: fmt.Sprintf("%s: %d %s", c.place(call), resp.StatusCode, http.StatusText(resp.StatusCode)), Next: next(kind)}
	if said := saying(body); said != "" {
		f.What += ": " + said
	}
	switch kind {
	case threat.RateLimited, threat.Unavailable:
		f.RetryAfter = RetryAfter(resp.Header, c.now())
	case threat.Unauthenticated:
		f.Next = "check the connection's credential"
	case threat.Invalid:
		if resp.StatusCode < 400 {
			f.Next = "the address answers with a redirect, which is not followed: give the final one"
		}
	}
	return c.redact.Fault(f)
}

// place names a call without its query and without a path, either of which may carry a token or a customer's data.
func (c *Client) place(call Call) string { return call.Method + " " + c.base.Host }

// saying gives what a device's error body says, where it says it in one of the usual members.
func saying(body []byte) string {
	if len(body) > 64<<10 {
		return ""
	}
	var m map[string]any
	if json.Unmarshal(body, &m) != nil {
		return ""
	}
	for _, name := range []string{"detail", "message", "error_description", "error", "title"} {
		switch v := m[name].(type) {
		case string:
			return strings.TrimSpace(v)
		case map[string]any:
			if s, ok := v["message"].(string); ok {
				return strings.TrimSpace(s)
			}
		}
	}
	return ""
}
