package policies

import (
	"strings"
	"testing"

	"github.com/firebreak/firebreak/internal/threat"
)

func TestCheck(t *testing.T) {
	if err := Check(""); err != nil {
		t.Fatal(err)
	}
}

// TestRego runs every _test.rego beside the rules built in, and holds that each labelled rule is made true by one.
func TestRego(t *testing.T) {
	report, err := Test(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range report.Results {
		t.Run(r.Name, func(t *testing.T) {
			if !r.Pass {
				t.Errorf("%s failed at %s: %s %s", r.Name, r.Place, r.Error, r.Output)
			}
		})
	}
	if len(report.NotFired) > 0 {
		t.Errorf("no test makes these rules true: %v", report.NotFired)
	}
	if report.Coverage < 95 {
		t.Errorf("tests cover %.1f %% of the rules", report.Coverage)
	}
	t.Logf("%d tests, coverage %.1f %%", report.Passed, report.Coverage)
}

func TestARuleThatDoesNotCompileIsToldInOneLine(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "respond/own.rego", "package firebreak.respond\n\nx := 1 {\n")
	err := Check(dir)
	if !threat.Is(err, threat.Invalid) || strings.ContainsAny(err.Error(), "\n\t^") || !strings.Contains(err.Error(), "x := 1 {") {
		t.Errorf("%q", err)
	}
}
