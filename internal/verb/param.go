package verb

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
)

// ParamKind is what a parameter's value is.
type ParamKind string

const (
	ParamEnum     ParamKind = "enum"     // one of Values; the first is the default
	ParamSHA256   ParamKind = "sha256"   // 64 hexadecimal digits
	ParamPath     ParamKind = "path"     // an absolute path of Unix or Windows
	ParamProcess  ParamKind = "process"  // pid@start time, or sha256:hash
	ParamText     ParamKind = "text"     // at most Max bytes
	ParamIPs      ParamKind = "ips"      // addresses and ranges with commas, at most Max of them
	ParamDomains  ParamKind = "domains"  // domain names with commas, at most Max of them
	ParamDuration ParamKind = "duration" // whole seconds, at most Max
	ParamTime     ParamKind = "time"     // RFC 3339, UTC, whole seconds
)

// ParamKinds lists every kind.
var ParamKinds = []ParamKind{ParamEnum, ParamSHA256, ParamPath, ParamProcess, ParamText, ParamIPs, ParamDomains, ParamDuration,
	ParamTime}

// Param is one parameter of a verb. One that is not required may be left out; an enum then takes its first value.
type Param struct {
	Name     string
	Kind     ParamKind
	Meaning  string
	Values   []string // of an enum; the first is the default
	Unit     string   // of a number: "s"; empty for the rest
	Max      int      // bytes of a text, entries of a list, seconds of a duration
	Required bool
}

// Default is what stands when the parameter is left out; "" for nothing.
func (p Param) Default() string {
	if p.Kind == ParamEnum && len(p.Values) > 0 {
		return p.Values[0]
	}
	return ""
}

// Canonical gives a value as it is stored, shown and sent: two spellings of the same come out equal. "" stands for left out,
// but for an enum, which has no empty value. The fault is Invalid.
func (p Param) Canonical(value string) (string, error) {
	if value == "" && p.Kind != ParamEnum {
		return "", nil
	}
	v := strings.TrimSpace(value)
	switch p.Kind {
	case ParamEnum:
		if slices.Contains(p.Values, value) {
			return value, nil
		}
	case ParamSHA256:
		return threat.CanonicalSHA256(v)
	case ParamPath:
		return threat.CanonicalPath(v)
	case ParamProcess:
		return threat.CanonicalProcess(v)
	case ParamText:
		if len(v) <= p.Max && clean(v) {
			return v, nil
		}
		return "", threat.Faultf(threat.Invalid, "%s is a text of at most %d bytes without control characters", p.Name, p.Max)
	case ParamIPs:
		return p.list(v, canonicalPrefix)
	case ParamDomains:
		return p.list(v, threat.CanonicalDomain)
	case ParamDuration:
		if n, err := strconv.ParseUint(v, 10, 31); err == nil && n >= 1 && n <= uint64(p.Max) {
			return strconv.FormatUint(n, 10), nil
		}
		return "", threat.Faultf(threat.Invalid, "%s is a number of seconds between 1 and %d", p.Name, p.Max)
	case ParamTime:
		if at, err := time.Parse(time.RFC3339, v); err == nil {
			return at.UTC().Truncate(time.Second).Format(time.RFC3339), nil
		}
	}
	return "", threat.Faultf(threat.Invalid, "%s is not a value of %s", quote(value), p.Name)
}

// list gives a list with commas, each entry canonical, sorted, and once.
func (p Param) list(v string, canonical func(string) (string, error)) (string, error) {
	var out []string
	for _, s := range strings.Split(v, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		c, err := canonical(s)
		if err != nil {
			return "", err
		}
		out = append(out, c)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) > p.Max {
		return "", threat.Faultf(threat.Invalid, "%s has %d entries; the limit is %d", p.Name, len(out), p.Max)
	}
	return strings.Join(out, ","), nil
}

// canonicalPrefix gives an address bare and a range with its bits.
func canonicalPrefix(s string) (string, error) {
	p, err := threat.CanonicalPrefix(s)
	if err != nil {
		return "", err
	}
	return prefixText(p), nil
}

func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// clean reports whether a text shows as what it is. Lines and tabs are allowed: a query may have several.
func clean(s string) bool {
	plain := strings.NewReplacer("\n", " ", "\t", " ").Replace(s)
	return threat.Inert(plain, len(plain)+1) == plain
}
