package ocsf

import (
	"bytes"
	"encoding/json"
	"math"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
)

// Numbers of the Detection Finding class.
const (
	Category = 2    // Findings
	Class    = 2004 // Detection Finding

	ActivityCreate = 1
	ActivityUpdate = 2
	ActivityClose  = 3

	Version = "1.8.0" // of the schema that we write
)

// activities are the class's activity_id values.
var activities = map[int64]string{0: "Unknown", 1: "Create", 2: "Update", 3: "Close", 99: "Other"}

// severities are the captions of severity_id.
var severities = map[int64]string{0: "Unknown", 1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical",
	6: "Fatal", 99: "Other"}

// lastTime is the end of the year 9999 in milliseconds: later times have no RFC 3339 form.
const lastTime = 253402300799999

// maxNamed is how many places of unknown attributes are kept beside their count.
const maxNamed = 20

// maxTechniques is how many ATT&CK ids of one finding are kept.
const maxTechniques = 64

// Finding is what we read of a Detection Finding. Observables are as they were sent, each once, with a bearing (see
// observables); they are not checked for form.
type Finding struct {
	UID          string // finding_info.uid
	Title        string // finding_info.title, or message; as sent, so make it inert before it is shown
	Vendor       string // metadata.product.vendor_name
	Product      string // metadata.product.name, or its uid
	Activity     int    // ActivityCreate, ActivityUpdate, ActivityClose, 0 or 99
	Severity     threat.Severity
	At           time.Time // UTC
	Techniques   []string  // ATT&CK ids, each once
	Observables  []threat.Observable
	Uncorrelated int      // observables whose type has no kind of ours (ports, countries, resource ids); the event keeps them
	Malformed    int      // observables without a type_id or a value that could be read
	Unknown      int      // attributes that OCSF 1.8 does not know; kept
	UnknownAt    []string // where the first of them stand
}

// technique is the form of an ATT&CK technique or sub-technique id.
var technique = regexp.MustCompile(`^T[0-9]{4}(\.[0-9]{3})?$`)

// Technique gives an ATT&CK id in its own form (T1110.001), or "" when s is none. Lower case and an underscore before the
// sub-technique, as rule metadata writes them, are understood.
func Technique(s string) string {
	if len(s) > 16 {
		return ""
	}
	s = strings.Replace(strings.ToUpper(strings.TrimSpace(s)), "_", ".", 1)
	if !technique.MatchString(s) {
		return ""
	}
	return s
}

// Parse reads one Detection Finding. place stands before the JSON pointers of faults ("" for a lone event, "/3" in an
// array). What the schema requires must be there and consistent, else the fault is Invalid with its place: activity_id,
// category_uid, class_uid, type_uid (class_uid*100 + activity_id), severity_id, time (milliseconds), metadata.version,
// metadata.product (name or uid), finding_info.uid. Unknown attributes are counted and never refused. Nesting is Split's to
// check.
func Parse(raw []byte, place string) (Finding, error) {
	if len(raw) > MaxBody {
		return Finding{}, threat.Faultf(threat.TooLarge, "the event has %d bytes; the limit is %d", len(raw), MaxBody)
	}
	raw = Text(raw)
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		f := syntaxFault(err, dec.InputOffset(), raw)
		f.Place = strings.TrimSpace(place + " " + f.Place)
		return Finding{}, f
	}
	if len(bytes.TrimSpace(raw[dec.InputOffset():])) > 0 {
		return Finding{}, invalidAt(place, "there is more after the object")
	}
	top, ok := v.(map[string]any)
	if !ok {
		return Finding{}, invalidAt(place, "the event is not an object")
	}
	n := node{top, place}
	f, err := required(n)
	if err != nil {
		return Finding{}, err
	}
	info := n.get("finding_info")
	f.Title = info.get("title").str()
	if f.Title == "" {
		f.Title = n.get("message").str()
	}
	product := n.get("metadata").get("product")
	f.Vendor = product.get("vendor_name").str()
	if f.Product = product.get("name").str(); f.Product == "" {
		f.Product = product.get("uid").str()
	}
	f.Techniques = techniques(n.get("attacks"), info.get("attacks"))
	if err := observables(n, &f); err != nil {
		return Finding{}, err
	}
	countUnknown(v, classShape, place, &f)
	return f, nil
}

// required reads what the schema demands of the class.
func required(n node) (Finding, error) {
	var f Finding
	class, err := n.integer("class_uid")
	if err != nil {
		return f, err
	}
	if class != Class {
		fault := invalidAt(n.at+"/class_uid", "class "+strconv.FormatInt(class, 10)+" is not Detection Finding (2004)")
		fault.Next = "send events of class 2004"
		return f, fault
	}
	category, err := n.integer("category_uid")
	if err != nil {
		return f, err
	}
	if category != Category {
		return f, invalidAt(n.at+"/category_uid", "the category of class 2004 is 2 (Findings)")
	}
	activity, err := n.integer("activity_id")
	if err != nil {
		return f, err
	}
	if _, ok := activities[activity]; !ok {
		return f, invalidAt(n.at+"/activity_id", strconv.FormatInt(activity, 10)+" is none of 0, 1, 2, 3, 99")
	}
	kind, err := n.integer("type_uid")
	if err != nil {
		return f, err
	}
	if kind != class*100+activity {
		return f, invalidAt(n.at+"/type_uid", "it must be class_uid * 100 + activity_id, here "+
			strconv.FormatInt(class*100+activity, 10))
	}
	severity, err := n.integer("severity_id")
	if err != nil {
		return f, err
	}
	if _, ok := severities[severity]; !ok {
		return f, invalidAt(n.at+"/severity_id", strconv.FormatInt(severity, 10)+" is none of 0 to 6, 99")
	}
	at, err := n.integer("time")
	if err != nil {
		return f, err
	}
	if at < 0 || at > lastTime {
		return f, invalidAt(n.at+"/time", "it must be milliseconds since 1970, up to the year 9999")
	}
	meta, err := n.object("metadata")
	if err != nil {
		return f, err
	}
	if _, err := meta.text("version"); err != nil {
		return f, err
	}
	product, err := meta.object("product")
	if err != nil {
		return f, err
	}
	if product.get("name").str() == "" && product.get("uid").str() == "" {
		return f, invalidAt(product.at, "a product needs a name or a uid")
	}
	info, err := n.object("finding_info")
	if err != nil {
		return f, err
	}
	if f.UID, err = info.text("uid"); err != nil {
		return f, err
	}
	f.Activity, f.At = int(activity), time.UnixMilli(at).UTC()
	if severity != 99 {
		f.Severity = threat.Severity(severity)
	}
	return f, nil
}

// techniques gathers the ATT&CK ids of attacks arrays: the sub-technique where one is told, else the technique.
func techniques(lists ...node) []string {
	var out []string
	seen := map[string]bool{}
	for _, l := range lists {
		for _, a := range l.list() {
			id := Technique(a.get("sub_technique").get("uid").str())
			if id == "" {
				id = Technique(a.get("technique").get("uid").str())
			}
			if id != "" && !seen[id] && len(out) < maxTechniques {
				seen[id] = true
				out = append(out, id)
			}
		}
	}
	return out
}

func countUnknown(v any, name, at string, f *Finding) {
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			countUnknown(e, name, at+"/"+strconv.Itoa(i), f)
		}
	case map[string]any:
		set := attributes[name]
		var strange []string
		for k := range v {
			if !set.known[k] {
				strange = append(strange, k)
			}
		}
		sort.Strings(strange)
		f.Unknown += len(strange)
		for _, k := range strange[:min(len(strange), maxNamed-len(f.UnknownAt))] {
			f.UnknownAt = append(f.UnknownAt, at+"/"+threat.Inert(pointerEscape.Replace(k), 64))
		}
		for _, k := range set.walk {
			if e, ok := v[k]; ok {
				countUnknown(e, shapes[name].objects[k], at+"/"+k, f)
			}
		}
	}
}

// pointerEscape writes a name as a part of a JSON pointer (RFC 6901).
var pointerEscape = strings.NewReplacer("~", "~0", "/", "~1")

// node is a value of a decoded event. at, the JSON pointer to it, is kept for what the schema requires; what is optional
// is never at fault.
type node struct {
	v  any
	at string
}

// get gives an attribute of an object; of anything else, and for an absent one, a node without a value.
func (n node) get(name string) node {
	m, _ := n.v.(map[string]any)
	return node{v: m[name]}
}

// str gives a string, and "" for anything else.
func (n node) str() string {
	s, _ := n.v.(string)
	return strings.TrimSpace(s)
}

// number gives an integer, also one written as 4.0.
func (n node) number() (int64, bool) {
	num, ok := n.v.(json.Number)
	if !ok {
		return 0, false
	}
	if i, err := num.Int64(); err == nil {
		return i, true
	}
	x, err := num.Float64()
	if err != nil || x != math.Trunc(x) || math.Abs(x) > 1<<53 {
		return 0, false
	}
	return int64(x), true
}

// list gives the members of an array; a lone object counts as an array of one.
func (n node) list() []node {
	switch v := n.v.(type) {
	case []any:
		out := make([]node, len(v))
		for i, e := range v {
			out[i] = node{v: e}
		}
		return out
	case map[string]any:
		return []node{n}
	}
	return nil
}

func (n node) need(name, what string) (node, error) {
	c := n.get(name)
	if c.v == nil {
		return c, n.fault(name, "is missing: "+what+" is required")
	}
	return c, nil
}

func (n node) fault(name, what string) error { return invalidAt(n.at+"/"+name, name+" "+what) }

func (n node) integer(name string) (int64, error) {
	c, err := n.need(name, "an integer")
	if err != nil {
		return 0, err
	}
	i, ok := c.number()
	if !ok {
		return 0, n.fault(name, "is not an integer")
	}
	return i, nil
}

func (n node) text(name string) (string, error) {
	c, err := n.need(name, "a string")
	if err != nil {
		return "", err
	}
	if _, ok := c.v.(string); !ok {
		return "", n.fault(name, "is not a string")
	}
	if c.str() == "" {
		return "", n.fault(name, "is empty")
	}
	return c.str(), nil
}

func (n node) object(name string) (node, error) {
	c, err := n.need(name, "an object")
	if err != nil {
		return c, err
	}
	if _, ok := c.v.(map[string]any); !ok {
		return c, n.fault(name, "is not an object")
	}
	c.at = n.at + "/" + name
	return c, nil
}
