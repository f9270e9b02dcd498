package api

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/firebreak/firebreak/internal/ingest"
	"github.com/firebreak/firebreak/internal/threat"
)

// MaxBody is the largest body that is taken, in bytes, before and after it is unpacked.
const MaxBody = ingest.MaxBody

// bodyWithin is how long a caller may take to send a body.
const bodyWithin = 30 * time.Second

// readBody reads a body whole. One sent as gzip is unpacked, and the limit holds for what comes out. TooLarge over it,
// Unsupported for another encoding, Invalid for gzip that cannot be unpacked and for a body that does not arrive whole.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if r.ContentLength > MaxBody {
		return nil, tooLarge()
	}
	rc := http.NewResponseController(w)
	if err := rc.SetReadDeadline(time.Now().Add(bodyWithin)); err == nil {
		defer func() { _ = rc.SetReadDeadline(time.Time{}) }() // the connection may be used again
	}
	from := io.Reader(http.MaxBytesReader(w, r.Body, MaxBody))
	packed := false
	switch encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		unpacked, err := gzip.NewReader(from)
		if err != nil {
			return nil, bodyFault(err, true)
		}
		from, packed = unpacked, true
	default:
		return nil, &status{http.StatusUnsupportedMediaType, &threat.Fault{Kind: threat.Unsupported,
			What: "the body's encoding is not known", Place: "Content-Encoding", Next: "send it plain or as gzip"}}
	}
	body, err := io.ReadAll(io.LimitReader(from, MaxBody+1))
	if err != nil {
		return nil, bodyFault(err, packed)
	}
	if len(body) > MaxBody {
		return nil, tooLarge()
	}
	return body, nil
}

func tooLarge() error {
	return &threat.Fault{Kind: threat.TooLarge, What: fmt.Sprintf("the body is larger than %d bytes", MaxBody),
		Next: "send it in parts"}
}

func bodyFault(err error, packed bool) error {
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return tooLarge()
	case packed && (errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, io.EOF) || strings.HasPrefix(err.Error(), "flate:")):
		return unreadable(&threat.Fault{Kind: threat.Invalid, What: "the body is not gzip", Place: "Content-Encoding", Err: err})
	}
	return unreadable(&threat.Fault{Kind: threat.Invalid, What: "the body did not arrive whole", Err: err})
}

// isJSON refuses a body that says it is something else than JSON. One that says nothing is taken for JSON.
func isJSON(r *http.Request) error {
	told := r.Header.Get("Content-Type")
	if told == "" {
		return nil
	}
	kind, _, err := mime.ParseMediaType(told)
	if err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json")) {
		return nil
	}
	return &status{http.StatusUnsupportedMediaType, &threat.Fault{Kind: threat.Unsupported, What: "the body is not sent as JSON",
		Place: "Content-Type", Next: "send application/json"}}
}
