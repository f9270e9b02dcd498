package feed

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"sort"
	"strings"

	"github.com/firebreak/firebreak/internal/threat"
)

// format is how one kind of firewall wants its list.
type format struct {
	name  string
	kind  string // media type
	ipv4  bool   // leaves IPv6 addresses out
	write func(list string, values []string) []byte
}

const plainText = "text/plain; charset=utf-8"

// formats are those that can be asked for; "" is plain. Most firewalls read the same lines: each has its own name, so that
// what is found out about one of them later changes its list alone.
var formats = map[string]format{
	"":           {name: "plain", kind: plainText, write: lines},
	"plain":      {name: "plain", kind: plainText, write: lines},
	"panos":      {name: "panos", kind: plainText, write: lines},              // external dynamic list: a type a list, no scheme
	"fortigate":  {name: "fortigate", kind: plainText, write: lines},          // threat feed: addresses, domains
	"sonicwall":  {name: "sonicwall", kind: plainText, write: lines},          // DEAG: addresses and names apart
	"sophos":     {name: "sophos", kind: plainText, ipv4: true, write: lines}, // third-party threat feed: IPv4 only
	"checkpoint": {name: "checkpoint", kind: "text/csv; charset=utf-8", ipv4: true, write: checkPoint},
}

// page gives a list's bytes.
func (f format) page(list string, values []string) []byte {
	if f.ipv4 {
		values = onlyIPv4(list, values)
	}
	return f.write(list, values)
}

// formatNames lists them for people.
func formatNames() string {
	var names []string
	for n := range formats {
		if n != "" {
			names = append(names, n)
		}
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}

// lines writes an indicator a line, and no comment.
func lines(_ string, values []string) []byte {
	var b bytes.Buffer
	for _, v := range values {
		b.WriteString(v)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func onlyIPv4(list string, values []string) []string {
	if list != threat.FeedIPs {
		return values
	}
	out := make([]string, 0, len(values))
	for _, v := range values {
		if a, err := netip.ParseAddr(v); err == nil && a.Is4() {
			out = append(out, v)
		}
	}
	return out
}

// checkPoint writes the CSV of a custom intelligence feed (sk132193): a header that begins with #, then a record an
// indicator. An empty mandatory field would make the gateway drop the whole file, so that every one is filled. Its type IP
// is an IPv4 address.
func checkPoint(list string, values []string) []byte {
	kind := "IP"
	if list == threat.FeedDomains {
		kind = "Domain"
	}
	var b bytes.Buffer
	b.WriteString("#UNIQ-NAME,VALUE,TYPE,CONFIDENCE,SEVERITY,PRODUCT,COMMENT\n")
	for _, v := range values {
		sum := sha256.Sum256([]byte(kind + "\x00" + v))
		b.WriteString("firebreak-" + hex.EncodeToString(sum[:8]) + "," + v + "," + kind + ",high,high,AB,Firebreak\n")
	}
	return b.Bytes()
}

// order sorts values and drops repetitions: addresses by number, IPv4 first, and names by their text.
func order(values []string) []string {
	type key struct {
		a netip.Addr
		s string
	}
	keys := make([]key, len(values))
	for i, v := range values {
		a, _ := netip.ParseAddr(v) // a name has no address, and sorts by its text
		keys[i] = key{a, v}
	}
	sort.Slice(keys, func(i, j int) bool {
		if c := keys[i].a.Compare(keys[j].a); c != 0 {
			return c < 0
		}
		return keys[i].s < keys[j].s
	})
	out := values[:0:0]
	for i, k := range keys {
		if i == 0 || k.s != keys[i-1].s {
			out = append(out, k.s)
		}
	}
	return out
}
