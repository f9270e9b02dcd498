package pagerduty_test

import (
	"os"
	"path/filepath"
	"testing"
)

// sharedData finds the test data that lies beside the checkout, or skips by name.
func sharedData(t testing.TB, parts ...string) string {
	t.Helper()
	root := os.Getenv("FIREBREAK_SHARED")
	if root == "" {
		dir, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				break
			}
			up := filepath.Dir(dir)
			if up == dir {
				t.Skip("go.mod was not found above the test")
			}
			dir = up
		}
		root = filepath.Join(dir, "..", "shared", "data")
	}
	p := filepath.Join(append([]string{root}, parts...)...)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("no shared data: %s", filepath.Join(parts...))
	}
	return p
}
