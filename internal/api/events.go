package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// Bounds of an event stream.
const (
	eventBatch   = 200                    // events read at once
	eventWrite   = 15 * time.Second       // a reader that is slower is let go; it comes back and resumes
	eventQuiet   = 100 * time.Millisecond // between two reads, so that a burst is one read
	eventRetry   = 3 * time.Second        // before a reader comes back
	eventIDEach  = 20                     // up to so many organisations every event has its id, with more the last one of a batch
	perCallerCut = 10                     // a caller has this part of all streams
)

// streams are the event streams that are open.
type streams struct {
	mu     sync.Mutex
	open   int
	of     map[string]int // by actor
	woken  chan struct{}
	closed chan struct{}
	once   *sync.Once
}

func newStreams() streams {
	return streams{of: map[string]int{}, woken: make(chan struct{}), closed: make(chan struct{}), once: &sync.Once{}}
}

// wake has every stream look. It never blocks.
func (s *streams) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.woken)
	s.woken = make(chan struct{})
}

// next gives the channel that the next wake closes.
func (s *streams) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.woken
}

// enter counts a stream in, or refuses it: RateLimited when its caller has too many, Unavailable when all are taken.
func (s *streams) enter(actor string, most int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.of[actor] >= max(1, most/perCallerCut):
		return &threat.Fault{Kind: threat.RateLimited, What: "the caller has too many event streams open", RetryAfter: eventRetry}
	case s.open >= most:
		return &threat.Fault{Kind: threat.Unavailable, What: "too many event streams are open", RetryAfter: 10 * eventRetry}
	}
	s.open++
	s.of[actor]++
	return nil
}

func (s *streams) leave(actor string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if s.of[actor]--; s.of[actor] <= 0 {
		delete(s.of, actor)
	}
}

func (s *streams) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// Close ends every event stream, so that a server can shut down. Their readers come back by themselves.
func (a *API) Close() { a.streams.once.Do(func() { close(a.streams.closed) }) }

type eventQuery struct {
	LastEventID string `header:"Last-Event-ID" doc:"the id of the last event that was read; the stream goes on behind it"`
	After       string `query:"after" doc:"the same, for those who cannot set the header"`
}

func (a *API) eventRoutes() {
	rt := get("/v1/events", "events", "journal",
		"What is journalled in the organisations that the caller may see, as server-sent events. A new stream begins with what comes")
	handle(a, rt, a.events)
	op := a.huma.OpenAPI().Paths[rt.path].Get
	op.Responses["200"] = &huma.Response{Description: "A stream of wire events: the id resumes, the event is the entry's kind",
		Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: "string"}}}}
}

func (a *API) events(ctx context.Context, c *call, p *eventQuery, _ none) (func(huma.Context), error) {
	from := p.LastEventID
	if from == "" {
		from = p.After
	}
	st := &stream{a: a, c: c, began: a.d.Now()}
	if err := st.places(ctx, from); err != nil {
		return nil, err
	}
	actor := c.caller.Actor()
	if err := a.streams.enter(actor, a.d.Streams); err != nil {
		return nil, err
	}
	return func(huma.Context) {
		a.d.Metrics.Streams(a.streams.count())
		defer func() {
			a.streams.leave(actor)
			a.d.Metrics.Streams(a.streams.count())
		}()
		h := c.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("X-Accel-Buffering", "no")
		c.w.WriteHeader(http.StatusOK)
		rc := http.NewResponseController(c.w)
		defer func() { _ = rc.SetWriteDeadline(time.Time{}) }() // the connection may be used again
		if err := st.run(ctx); err != nil && ctx.Err() == nil {
			a.d.Log.InfoContext(ctx, "an event stream ended", "request_id", RequestID(ctx), "why", err)
		}
	}, nil
}

// stream is one reader's: which organisations, and how far each was told.
type stream struct {
	a     *API
	c     *call
	began time.Time
	orgs  []uuid.UUID
	after map[uuid.UUID]int64
}

// places finds where the stream begins: behind the event of an id, and for what the id does not name at what is newest.
func (s *stream) places(ctx context.Context, from string) error {
	told, err := readPlaces(from)
	if err != nil {
		return err
	}
	visible, err := s.a.where(ctx, s.c, "events.read")
	if err != nil {
		return err
	}
	s.orgs = ids(visible)
	heads, err := s.a.d.Store.Heads(ctx, s.orgs)
	if err != nil {
		return err
	}
	before := s.after
	s.after = make(map[uuid.UUID]int64, len(visible))
	for _, o := range visible {
		place, known := before[o.ID]
		if !known {
			place, known = told[tail(o.ID)]
		}
		if !known && before != nil && o.CreatedAt.After(s.began) {
			known = true // it came into being under our eyes
		}
		if !known {
			place = heads[o.ID]
		}
		s.after[o.ID] = min(place, heads[o.ID])
	}
	return nil
}

var (
	errRights = errors.New("the caller's session or right has ended")
	errClosed = errors.New("the server shuts down")
)

// run tells what comes until the reader goes away, its session ends, or the server shuts down.
func (s *stream) run(ctx context.Context) error {
	if err := s.write(fmt.Appendf(nil, "retry: %d\nid: %s\n\n", eventRetry.Milliseconds(), writePlaces(s.after))); err != nil {
		return err
	}
	beat, recheck, poll := time.NewTicker(s.a.d.Heartbeat), time.NewTicker(s.a.d.Recheck), time.NewTicker(s.a.d.Poll)
	quiet := time.NewTimer(eventQuiet)
	defer beat.Stop()
	defer recheck.Stop()
	defer poll.Stop()
	defer quiet.Stop()
	for {
		woken := s.a.streams.next() // before the read: what comes during it wakes us
		if err := s.tell(ctx); err != nil {
			return err
		}
		quiet.Reset(eventQuiet)
		select {
		case <-quiet.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.a.streams.closed:
			return errClosed
		}
		for idle := true; idle; {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-s.a.streams.closed:
				return errClosed
			case <-beat.C:
				if err := s.write([]byte(": still here\n\n")); err != nil {
					return err
				}
			case <-recheck.C:
				if err := s.still(ctx); err != nil {
					return err
				}
			case <-woken:
				idle = false
			case <-poll.C:
				idle = false
			}
		}
	}
}

// still asks anew who reads and what they may see. What cannot be asked now is asked again the next time.
func (s *stream) still(ctx context.Context) error {
	caller, err := s.a.d.Access.Authenticate(s.c.http, surfaceOf(s.c.http))
	if err == nil {
		s.c.caller = caller
		err = s.places(ctx, "")
	}
	switch threat.KindOf(err) {
	case "":
		return nil
	case threat.Unauthenticated, threat.Forbidden, threat.NotFound, threat.Expired:
		if err := s.write([]byte("event: end\ndata: {\"kind\":\"unauthenticated\"}\n\n")); err != nil {
			return err
		}
		return errRights
	}
	s.a.d.Log.WarnContext(ctx, "an event stream's caller could not be looked at", "request_id", RequestID(ctx), "error", err)
	return nil
}

// tell sends what is new. A store that does not answer is asked again at the next turn: nothing is skipped.
func (s *stream) tell(ctx context.Context) error {
	for {
		entries, err := s.a.d.Store.EventsAfter(ctx, s.orgs, s.after, eventBatch)
		if err != nil {
			if ctx.Err() == nil {
				s.a.d.Log.WarnContext(ctx, "events could not be read", "request_id", RequestID(ctx), "error", err)
			}
			return ctx.Err()
		}
		// Of a case that the reader is a subject of nothing is told; but who reads on does not come by it again.
		told, err := withoutOwn(ctx, s.a, s.c, entries, func(e threat.Entry) (uuid.UUID, uuid.NullUUID) { return e.OrgID, e.CaseID })
		if err != nil {
			if ctx.Err() == nil {
				s.a.d.Log.WarnContext(ctx, "an event stream's reader could not be looked at", "request_id", RequestID(ctx), "error", err)
			}
			return ctx.Err()
		}
		full := len(entries) == eventBatch
		var b bytes.Buffer
		for i, e := range told {
			s.after[e.OrgID] = max(s.after[e.OrgID], e.Seq)
			data, err := json.Marshal(eventOf(e))
			if err != nil {
				return err
			}
			if i == len(told)-1 || len(s.orgs) <= eventIDEach {
				fmt.Fprintf(&b, "id: %s\n", writePlaces(s.after))
			}
			fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", e.Kind, data)
		}
		for _, e := range entries {
			s.after[e.OrgID] = max(s.after[e.OrgID], e.Seq)
		}
		if b.Len() > 0 {
			if err := s.write(b.Bytes()); err != nil {
				return err
			}
		}
		if !full {
			return nil
		}
	}
}

func (s *stream) write(b []byte) error {
	rc := http.NewResponseController(s.c.w)
	if err := rc.SetWriteDeadline(time.Now().Add(eventWrite)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := s.c.w.Write(b); err != nil {
		return err
	}
	return rc.Flush()
}

// tail names an organisation in an event's id: the random end of its id is enough among those that one caller sees.
type placeName [6]byte

func tail(id uuid.UUID) (out placeName) {
	copy(out[:], id[10:])
	return out
}

// placesMark begins an event's id.
const placesMark = "1."

// writePlaces makes an event's id: how far each organisation was told.
func writePlaces(after map[uuid.UUID]int64) string {
	orgs := make([]uuid.UUID, 0, len(after))
	for id := range after {
		orgs = append(orgs, id)
	}
	slices.SortFunc(orgs, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	var b []byte
	for _, id := range orgs {
		name := tail(id)
		b = binary.AppendUvarint(append(b, name[:]...), uint64(after[id]))
	}
	return placesMark + base64.RawURLEncoding.EncodeToString(b)
}

func readPlaces(id string) (map[placeName]int64, error) {
	if id == "" {
		return nil, nil
	}
	bad := unreadable(&threat.Fault{Kind: threat.Invalid, What: "this is no id of an event", Place: "Last-Event-ID",
		Next: "give the id of the last event that was read, or none"})
	if len(id) < len(placesMark) || id[:len(placesMark)] != placesMark {
		return nil, bad
	}
	b, err := base64.RawURLEncoding.DecodeString(id[len(placesMark):])
	if err != nil {
		return nil, bad
	}
	out := map[placeName]int64{}
	for len(b) > 0 {
		var name placeName
		if len(b) <= len(name) {
			return nil, bad
		}
		copy(name[:], b)
		n, size := binary.Uvarint(b[len(name):])
		if size <= 0 || n > 1<<62 {
			return nil, bad
		}
		out[name] = int64(n)
		b = b[len(name)+size:]
	}
	return out, nil
}
