package ocsf

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/firebreak/firebreak/internal/threat"
)

// Origin names the product that a finding came from, for metadata.product.
type Origin struct {
	Name   string // required
	Vendor string
}

// Note is what we add to an event as unmapped.firebreak: what of it is not in the detection's observables, and why.
type Note struct {
	Uncorrelated int      `json:"uncorrelated,omitempty"`  // named, but of no kind of ours
	Beyond       int      `json:"beyond_limit,omitempty"`  // valid, but more than are correlated
	Dropped      int      `json:"dropped,omitempty"`       // not in a form that can be compared
	Reasons      []string `json:"drop_reasons,omitempty"`  // of the first dropped ones
	Unknown      int      `json:"unknown,omitempty"`       // attributes that OCSF 1.8 does not know
	UnknownAt    []string `json:"unknown_first,omitempty"` // where the first of them stand
}

// Empty reports whether there is nothing to note.
func (n Note) Empty() bool {
	return n.Uncorrelated == 0 && n.Beyond == 0 && n.Dropped == 0 && n.Unknown == 0
}

type event struct {
	ActivityID   int            `json:"activity_id"`
	ActivityName string         `json:"activity_name"`
	CategoryUID  int            `json:"category_uid"`
	CategoryName string         `json:"category_name"`
	ClassUID     int            `json:"class_uid"`
	ClassName    string         `json:"class_name"`
	TypeUID      int            `json:"type_uid"`
	TypeName     string         `json:"type_name"`
	SeverityID   int            `json:"severity_id"`
	Severity     string         `json:"severity"`
	Time         int64          `json:"time"`
	Message      string         `json:"message"`
	IsAlert      bool           `json:"is_alert"`
	Metadata     metadata       `json:"metadata"`
	FindingInfo  findingInfo    `json:"finding_info"`
	Observables  []observable   `json:"observables,omitempty"`
	RawHash      *fingerprint   `json:"raw_data_hash,omitempty"`
	RawSize      int            `json:"raw_data_size,omitempty"`
	Unmapped     map[string]any `json:"unmapped,omitempty"`
}

type metadata struct {
	Version    string  `json:"version"`
	Product    product `json:"product"`
	LoggedTime int64   `json:"logged_time,omitempty"`
	TenantUID  string  `json:"tenant_uid,omitempty"`
}

type product struct {
	Name   string `json:"name"`
	Vendor string `json:"vendor_name,omitempty"`
}

type findingInfo struct {
	UID         string   `json:"uid"`
	Title       string   `json:"title"`
	CreatedTime int64    `json:"created_time"`
	Attacks     []attack `json:"attacks,omitempty"`
}

type attack struct {
	Technique    *uid `json:"technique,omitempty"`
	SubTechnique *uid `json:"sub_technique,omitempty"`
}

type uid struct {
	UID string `json:"uid"`
}

type observable struct {
	TypeID int    `json:"type_id"`
	Type   string `json:"type"`
	Value  string `json:"value"`
}

type fingerprint struct {
	AlgorithmID int    `json:"algorithm_id"`
	Algorithm   string `json:"algorithm"`
	Value       string `json:"value"`
}

// FromFinding writes a detection of a product as an OCSF 1.8 Detection Finding of activity Create. all are the finding's
// observables, those beyond the detection's limit included; the note goes to unmapped.firebreak. The raw body is not
// repeated: its SHA-256 and size are. A detection without a UID takes its deduplication key. Titles are made inert.
// A detection without an origin, a UID and a deduplication key, or with a time outside 1970 to 9999, is Invalid.
func FromFinding(d threat.Detection, from Origin, all []threat.Observable, note Note) (json.RawMessage, error) {
	at := d.At.UnixMilli()
	if at < 0 || at > lastTime {
		return nil, invalidAt("/time", "it must lie between 1970 and the year 9999")
	}
	id := d.UID
	if id == "" {
		id = d.DedupKey
	}
	if id == "" || from.Name == "" {
		return nil, threat.Faultf(threat.Invalid, "a finding needs an id and the name of its product")
	}
	severity := int64(d.Severity)
	if _, ok := severities[severity]; !ok {
		severity = 0
	}
	title := threat.Inert(d.Title, MaxTitle)
	e := event{
		ActivityID: ActivityCreate, ActivityName: activities[ActivityCreate], CategoryUID: Category, CategoryName: "Findings",
		ClassUID: Class, ClassName: "Detection Finding", TypeUID: Class*100 + ActivityCreate,
		TypeName:   "Detection Finding: Create",
		SeverityID: int(severity), Severity: severities[severity], Time: at, Message: title, IsAlert: true,
		Metadata:    metadata{Version: Version, Product: product(from)},
		FindingInfo: findingInfo{UID: id, Title: title, CreatedTime: at, Attacks: attacks(d.Techniques)},
		Observables: make([]observable, 0, len(all)),
	}
	if !d.ReceivedAt.IsZero() {
		e.Metadata.LoggedTime = d.ReceivedAt.UnixMilli()
	}
	if d.TenantID != [16]byte{} {
		e.Metadata.TenantUID = d.TenantID.String()
	}
	for _, o := range all {
		t, ok := types[o.Kind]
		if !ok {
			t.id, t.caption = TypeOther, "Other"
		}
		e.Observables = append(e.Observables, observable{TypeID: t.id, Type: t.caption, Value: o.Value})
	}
	if len(d.Raw) > 0 {
		sum := sha256.Sum256(d.Raw)
		e.RawHash, e.RawSize = &fingerprint{3, "SHA-256", hex.EncodeToString(sum[:])}, len(d.Raw)
	}
	if !note.Empty() {
		e.Unmapped = map[string]any{"firebreak": note}
	}
	return marshal(e)
}

// MaxTitle is how many runes of a title are kept.
const MaxTitle = 200

func attacks(ids []string) []attack {
	var out []attack
	for _, id := range ids {
		switch {
		case Technique(id) != id:
		case len(id) > len("T1110"):
			out = append(out, attack{Technique: &uid{id[:len("T1110")]}, SubTechnique: &uid{id}})
		default:
			out = append(out, attack{Technique: &uid{id}})
		}
	}
	return out
}

// Annotate gives an event that was sent as OCSF as it is kept: valid UTF-8, and with the note under unmapped.firebreak in
// place of whatever the sender wrote there. What else the sender wrote stays as it was. raw is a JSON object; anything
// else is Invalid, or with nothing to note comes back as it is.
func Annotate(raw []byte, note Note) (json.RawMessage, error) {
	raw = Text(raw)
	// The name can also be spelled with escapes; both are looked for before the quick way is taken.
	if note.Empty() && !bytes.Contains(raw, []byte("firebreak")) && !bytes.Contains(raw, []byte(`\u00`)) {
		return raw, nil
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(raw, &top); err != nil {
		return nil, syntaxFault(err, 0, raw)
	}
	if top == nil {
		return nil, threat.Faultf(threat.Invalid, "the event is not an object")
	}
	var unmapped map[string]json.RawMessage
	if was, ok := top["unmapped"]; ok && json.Unmarshal(was, &unmapped) != nil {
		unmapped = map[string]json.RawMessage{"value": was} // the schema wants an object here
	}
	delete(unmapped, "firebreak")
	if !note.Empty() {
		b, err := marshal(note)
		if err != nil {
			return nil, err
		}
		if unmapped == nil {
			unmapped = map[string]json.RawMessage{}
		}
		unmapped["firebreak"] = b
	}
	if unmapped != nil {
		b, err := marshal(unmapped)
		if err != nil {
			return nil, err
		}
		top["unmapped"] = b
	}
	return marshal(top)
}

func marshal(v any) (json.RawMessage, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, threat.Faultf(threat.Internal, "an event could not be written: %w", err)
	}
	return b, nil
}
