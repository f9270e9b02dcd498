package crowdsec

import (
	"regexp"
	"strings"

	"github.com/firebreak/firebreak/internal/ocsf"
	"github.com/firebreak/firebreak/internal/threat"
)

// A scenario's name says what was seen. The hub's scenarios carry an ATT&CK classification of their own (labels:
// classification), which alerts do not repeat; the table follows it by the parts of names that the hub uses. Alerts carry
// no severity: ours grows from looking around (low) over trying (medium) to an exploit or a login (high).
type scenario struct {
	parts      []string // any of these in the name, in lower case and without its author
	techniques []string
	severity   threat.Severity
}

// scenarios is asked from the top; the first row that fits is taken.
var scenarios = []scenario{
	{[]string{"impossible-travel"}, []string{"T1078"}, threat.SeverityHigh},
	{[]string{"auditd-"}, []string{"T1059.004"}, threat.SeverityHigh},
	{[]string{"user-enum", "user_enum"}, []string{"T1110", "T1589"}, threat.SeverityMedium},
	{[]string{"-ccs"}, []string{"T1110.004"}, threat.SeverityMedium},
	{[]string{"-bf", "_bf", "bruteforce", "brute-force"}, []string{"T1110"}, threat.SeverityMedium},
	{[]string{"scan-multi_ports", "port-scan", "portscan"}, []string{"T1046", "T1595.001"}, threat.SeverityMedium},
	{[]string{"http-dos", "req-limit"}, []string{"T1498"}, threat.SeverityMedium},
	{[]string{"sqli-", "xss-", "path-traversal"}, []string{"T1595.002"}, threat.SeverityMedium},
	{[]string{"cve-", "vpatch", "appsec", "modsecurity", "naxsi", "suricata-", "_rce"}, []string{"T1190"}, threat.SeverityHigh},
	{[]string{"backdoors"}, []string{"T1595"}, threat.SeverityMedium},
	{[]string{"sensitive-files"}, []string{"T1595.003"}, threat.SeverityLow},
	{[]string{"probing", "crawl", "bad-user-agent", "open-proxy", "wordpress-scan", "wpconfig", "refused-conn"},
		[]string{"T1595"}, threat.SeverityLow},
}

// classify gives a scenario's techniques and severity: none and medium for a name that the table does not know.
func classify(name string) ([]string, threat.Severity) {
	name = strings.ToLower(name)
	if _, rest, ok := strings.Cut(name, "/"); ok {
		name = rest
	}
	for _, s := range scenarios {
		for _, p := range s.parts {
			if strings.Contains(name, p) {
				return append([]string(nil), s.techniques...), s.severity
			}
		}
	}
	return nil, threat.SeverityMedium
}

// attackLabel is how the hub writes a classification: attack.T1110.
var attackLabel = regexp.MustCompile(`"attack\.(T[0-9]{4}(?:\.[0-9]{3})?)"`)

// labelled gives the techniques among an alert's labels, where a version sends them.
func labelled(labels []byte) []string {
	var out []string
	for _, m := range attackLabel.FindAllSubmatch(labels, 16) {
		if t := ocsf.Technique(string(m[1])); t != "" {
			out = append(out, t)
		}
	}
	return out
}
