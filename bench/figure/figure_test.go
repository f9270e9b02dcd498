package figure_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/bench/figure"
)

func TestQuantiles(t *testing.T) {
	ds := []time.Duration{4 * time.Millisecond, time.Millisecond, 3 * time.Millisecond, 2 * time.Millisecond}
	for q, want := range map[float64]float64{0: 1, 0.5: 2, 0.75: 3, 0.99: 4, 1: 4} {
		if got := figure.Millis(ds, q); got != want {
			t.Errorf("the %v quantile is %v, not %v", q, got, want)
		}
	}
	if ds[0] != 4*time.Millisecond {
		t.Error("what was measured is not changed")
	}
	if !math.IsNaN(figure.Quantile([]float64{}, 0.5)) {
		t.Error("nothing has no median")
	}
}

func TestGoalsAreOfRatiosElseOfValues(t *testing.T) {
	for name, c := range map[string]struct {
		f   figure.Figure
		met bool
	}{
		"half":           {figure.Against("a", "1/s", 50, 100, figure.AtLeast(0.5)), true},
		"less than half": {figure.Against("a", "1/s", 49, 100, figure.AtLeast(0.5)), false},
		"within":         {figure.Against("a", "ms", 30, 20, figure.AtMost(1.5)), true},
		"beyond":         {figure.Against("a", "ms", 31, 20, figure.AtMost(1.5)), false},
		"as printed":     {figure.Against("a", "ms", 30.04, 20, figure.AtMost(1.5)), true},
		"a value":        {figure.Plain("a", "kB", 101, figure.AtMost(100)), false},
		"no goal":        {figure.Plain("a", "kB", 101, nil), true},
	} {
		if c.f.Met() != c.met {
			t.Errorf("%s: met is %v", name, !c.met)
		}
	}
}

func TestPrinted(t *testing.T) {
	r := figure.Report{Cores: 2, Figures: []figure.Figure{figure.Against("accepted", "1/s", 40, 100, figure.AtLeast(0.5)),
		figure.Plain("memory", "kB", 66.6, figure.AtMost(100))}, Notes: []string{"a note"}}
	var b bytes.Buffer
	if err := r.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"accepted", "0.40", ">= 0.50 missed", "66.6 kB", "<= 100 ", "a note"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, b.String())
		}
	}
	b.Reset()
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var back figure.Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || len(back.Figures) != 2 || back.Figures[0].Ratio != 0.4 {
		t.Errorf("not read back: %v %+v", err, back)
	}
}
