package verb_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// TestTheDocsHoldTheTable holds docs/response.md and the table together. FIREBREAK_WRITE_DOCS=1 writes the tables anew.
func TestTheDocsHoldTheTable(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "response.md")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	doc := string(raw)
	for name, want := range map[string]string{"verbs": verb.Markdown(), "targets": verb.Targets()} {
		begin, end := "<!-- "+name+": begin -->\n", "<!-- "+name+": end -->"
		head, rest, ok := strings.Cut(doc, begin)
		require.True(t, ok, "%s has no place for the %s", path, name)
		got, tail, ok := strings.Cut(rest, end)
		require.True(t, ok)
		if os.Getenv("FIREBREAK_WRITE_DOCS") != "" {
			doc = head + begin + want + end + tail
			continue
		}
		require.Equal(t, want, got, "the %s of docs/response.md are not those of the table; write them anew", name)
	}
	if doc != string(raw) {
		require.NoError(t, os.WriteFile(path, []byte(doc), 0o644))
	}
	for _, k := range threat.TargetKinds {
		require.Contains(t, verb.Targets(), "| "+string(k)+" | ")
	}
}
