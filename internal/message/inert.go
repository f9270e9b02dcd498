package message

import (
	"strings"
	"unicode"

	"github.com/firebreak/firebreak/internal/threat"
)

// inert is threat.Inert for what mail programs show: they make links of whatever looks like one, so that a name cannot be
// left to look like one. Dots between a letter or digit and a letter, and the start of a URL, are put in brackets, as the
// field writes them: evil[.]example, https[:]//evil[.]example. Addresses such as 203.0.113.9 stay readable.
func inert(s string, most int) string {
	runes := []rune(strings.TrimSpace(threat.Inert(s, most)))
	var b strings.Builder
	for i, r := range runes {
		switch {
		case isDot(r) && i > 0 && i+1 < len(runes) && isWord(runes[i-1]) && unicode.IsLetter(runes[i+1]):
			b.WriteString("[.]")
		case r == ':' && i+1 < len(runes) && (runes[i+1] == '/' || runes[i+1] == '\\'):
			b.WriteString("[:]")
		case r == '@':
			b.WriteString("[@]")
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// isDot reports whether a rune separates the labels of a host name (UTS 46).
func isDot(r rune) bool { return r == '.' || r == '\u3002' || r == '\uFF0E' || r == '\uFF61' }

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_' }
