package suricata

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/ocsf"
	"github.com/firebreak/firebreak/internal/threat"
)

// record is what we read of an EVE record (docs.suricata.io, "Eve JSON Format"). Parts whose form differs between
// versions and protocols are decoded by themselves, so that a strange one does not cost the alert.
type record struct {
	Timestamp string          `json:"timestamp"`
	EventType string          `json:"event_type"`
	FlowID    json.Number     `json:"flow_id"`
	TxID      json.Number     `json:"tx_id"`
	SrcIP     string          `json:"src_ip"`
	DestIP    string          `json:"dest_ip"`
	SrcPort   json.Number     `json:"src_port"`
	DestPort  json.Number     `json:"dest_port"`
	Direction string          `json:"direction"` // of the packet: to_server or to_client (7.0)
	AppProto  string          `json:"app_proto"`
	Community string          `json:"community_id"`
	Alert     *signature      `json:"alert"`
	Flow      json.RawMessage `json:"flow"`
	DNS       json.RawMessage `json:"dns"`
	TLS       json.RawMessage `json:"tls"`
	QUIC      json.RawMessage `json:"quic"`
	HTTP      json.RawMessage `json:"http"`
}

// signature is the alert part: the rule that matched.
type signature struct {
	GID       json.Number     `json:"gid"`
	ID        json.Number     `json:"signature_id"`
	Signature string          `json:"signature"`
	Category  string          `json:"category"`
	Severity  json.Number     `json:"severity"`
	Metadata  json.RawMessage `json:"metadata"` // names to lists of strings; some versions write null or a string
	Source    *side           `json:"source"`   // with the rule keyword target: who attacks
	Target    *side           `json:"target"`   // and who is attacked
}

type side struct {
	IP string `json:"ip"`
}

// Detect reads EVE records: one, an array of them, or one on each line, as eve.json holds them. Alerts become findings;
// every other event type, and a record without an alert, is skipped with the reason.
func (Adapter) Detect(body []byte) ([]adapters.Finding, error) {
	items, _, err := ocsf.Split(body)
	if err != nil {
		return nil, err
	}
	out := make([]adapters.Finding, 0, len(items))
	var first error
	unread := 0
	for _, it := range items {
		f, err := read(it)
		if err != nil {
			unread++
			if first == nil {
				first = err
			}
			f = adapters.Finding{Unreadable: err}
		}
		f.Raw = it.Raw
		out = append(out, f)
	}
	if unread == len(items) {
		return nil, first
	}
	return out, nil
}

func read(it ocsf.Item) (adapters.Finding, error) {
	if it.Err != nil {
		return adapters.Finding{}, it.Err
	}
	var r record
	if err := json.Unmarshal(ocsf.Text(it.Raw), &r); err != nil {
		return adapters.Finding{}, misfit(err, it.Place)
	}
	switch {
	case r.EventType != "" && r.EventType != "alert":
		return adapters.Finding{Skip: "an EVE record of type " + threat.Inert(r.EventType, 32) + ", not an alert"}, nil
	case r.Alert == nil && r.EventType == "":
		return adapters.Finding{Skip: "not an EVE alert"}, nil
	case r.Alert == nil:
		return adapters.Finding{}, missing(it.Place, "/alert", "an alert names its signature")
	case strings.TrimSpace(r.Alert.Signature) == "" && r.Alert.ID.String() == "":
		return adapters.Finding{}, missing(it.Place, "/alert/signature", "an alert names its signature")
	}
	at, err := when(r.Timestamp)
	if err != nil {
		return adapters.Finding{}, missing(it.Place, "/timestamp", "a record tells when it was written, in ISO 8601")
	}
	meta := details(r.Alert.Metadata)
	rule := r.Alert.GID.String() + ":" + r.Alert.ID.String()
	title := strings.TrimSpace(r.Alert.Signature)
	if title == "" {
		title = "signature " + rule
	}
	src, dst := address(r.SrcIP), address(r.DestIP)
	return adapters.Finding{
		UID: fmt.Sprintf("%s/%s/%s/%s", r.FlowID, rule, r.TxID, at.Format(time.RFC3339Nano)),
		// An attacker chooses neither signature nor addresses of a pair, so a repetition is the same three.
		DedupKey: "suricata|" + rule + "|" + src + ">" + dst,
		Title:    threat.Inert(title, ocsf.MaxTitle), Severity: severity(r.Alert.Severity, meta["signature_severity"]), At: at,
		Techniques: techniques(meta, r.Alert.Category), Observables: observables(r, meta, src, dst),
	}, nil
}

// address gives an address in canonical form (EVE writes IPv6 in full), and what is none as it came.
func address(s string) string {
	if ip, err := threat.CanonicalIP(s); err == nil {
		return ip
	}
	return strings.TrimSpace(s)
}

// layouts are the forms of EVE's timestamp: with an offset without a colon, and without any, which is UTC here.
var layouts = []string{"2006-01-02T15:04:05.999999999-0700", time.RFC3339Nano, "2006-01-02T15:04:05.999999999"}

func when(s string) (time.Time, error) {
	for _, l := range layouts {
		if t, err := time.Parse(l, strings.TrimSpace(s)); err == nil && t.UTC().Year() >= 1970 && t.UTC().Year() <= 9999 {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errors.New("no time that could be read")
}

// details reads the rule's metadata: names in lower case to their values.
func details(raw json.RawMessage) map[string][]string {
	var loose map[string]json.RawMessage
	if json.Unmarshal(raw, &loose) != nil {
		return nil
	}
	out := make(map[string][]string, len(loose))
	for name, v := range loose {
		var list []string
		var one string
		switch {
		case json.Unmarshal(v, &list) == nil:
		case json.Unmarshal(v, &one) == nil:
			list = []string{one}
		}
		if len(list) > 0 {
			out[strings.ToLower(name)] = list
		}
	}
	return out
}

// severity maps to OCSF. The rule author's signature_severity is taken where it is told; else the priority of the rule's
// class: 1 high, 2 medium, 3 low, 4 and beyond informational.
func severity(priority json.Number, told []string) threat.Severity {
	for _, s := range told {
		switch strings.ToLower(s) {
		case "critical":
			return threat.SeverityCritical
		case "major":
			return threat.SeverityHigh
		case "minor":
			return threat.SeverityLow
		case "informational", "audit":
			return threat.SeverityInformational
		}
	}
	n, err := strconv.ParseInt(priority.String(), 10, 64)
	switch {
	case err != nil || n < 1:
		return threat.SeverityUnknown
	case n == 1:
		return threat.SeverityHigh
	case n == 2:
		return threat.SeverityMedium
	case n == 3:
		return threat.SeverityLow
	}
	return threat.SeverityInformational
}

func missing(place, at, what string) error {
	return &threat.Fault{Kind: threat.Invalid, What: what, Place: place + at}
}

// misfit tells where a value has another JSON type than EVE says.
func misfit(err error, place string) error {
	f := &threat.Fault{Kind: threat.Invalid, What: "it is not an EVE record", Place: place, Err: err}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		f.What = "a value of another type was expected"
		f.Place = place + "/" + strings.ReplaceAll(wrong.Field, ".", "/")
	}
	return f
}
