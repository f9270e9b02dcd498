package client

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

// Bounds of a watch.
const (
	usualRetry = 3 * time.Second
	maxRetry   = time.Minute
	maxEvent   = 1 << 20 // bytes of a line
)

// Watch calls fn for every event as it happens, and comes back by itself when the stream breaks, behind the last event.
// From is an event's id to go on behind, or empty. It ends with ctx, with fn's error, or with the server's refusal:
// Unauthenticated when the session ends.
func (c *Client) Watch(ctx context.Context, from string, fn func(id string, e wire.Event) error) error {
	w := &watch{c: c, last: from, retry: usualRetry, fn: fn}
	wait := time.Duration(0)
	for {
		if wait > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(wait):
			}
		}
		read, err := w.once(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !threat.Is(err, threat.Unavailable) && !threat.Is(err, threat.RateLimited):
			return err
		case read:
			wait = w.retry
		default:
			wait = min(max(2*wait, w.retry), maxRetry)
		}
	}
}

type watch struct {
	c     *Client
	last  string
	retry time.Duration
	fn    func(id string, e wire.Event) error
}

// once reads one stream to its end, and reports whether anything came.
func (w *watch) once(ctx context.Context) (read bool, err error) {
	r, err := w.c.request(ctx, get, in("events"), nil, nil)
	if err != nil {
		return false, err
	}
	r.Header.Set("Accept", "text/event-stream")
	if w.last != "" {
		r.Header.Set("Last-Event-ID", w.last)
	}
	res, err := w.c.send(r)
	if err != nil {
		return false, err
	}
	defer func() { _ = res.Body.Close() }() // a stream is not read to its end
	if res.StatusCode != 200 {
		return false, refusal(res)
	}
	return true, w.read(res.Body)
}

// read takes events apart as the HTML standard has it (server-sent events, 9.2.6). A stream that breaks ends it without a
// fault.
func (w *watch) read(from io.Reader) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, 0, 4096), maxEvent)
	event, id := "", w.last
	var data []string
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			w.last = id
			if err := w.dispatch(event, data); err != nil {
				return err
			}
			event, data = "", nil
		case name == "event":
			event = value
		case name == "data":
			data = append(data, value)
		case name == "id":
			id = value
		case name == "retry":
			if n, err := strconv.Atoi(value); err == nil && n > 0 {
				w.retry = min(time.Duration(n)*time.Millisecond, maxRetry)
			}
		}
	}
	return nil
}

func (w *watch) dispatch(event string, data []string) error {
	if len(data) == 0 {
		return nil
	}
	if event == "end" {
		return &threat.Fault{Kind: threat.Unauthenticated, What: "the session has ended", Next: "sign in anew"}
	}
	var e wire.Event
	if err := json.Unmarshal([]byte(strings.Join(data, "\n")), &e); err != nil {
		return &threat.Fault{Kind: threat.Unavailable, What: "an event cannot be read", Err: err}
	}
	return w.fn(w.last, e)
}
