// Package figure holds what the benchmark measured, each figure beside the floor of the same run, and prints it for people
// and for programs. A goal is a ratio and is shown beside it; nothing here passes or fails by an absolute time.
package figure

import (
	"math"
	"slices"
	"time"
)

// Figure is one thing that was measured.
type Figure struct {
	Name  string  `json:"name"`
	Unit  string  `json:"unit"`
	Value float64 `json:"value"`
	// Floor is the same of a bare program in the same run; zero when there is none.
	Floor float64 `json:"floor,omitempty"`
	// Ratio is Value over Floor, or over what Beside names; zero when there is neither.
	Ratio float64 `json:"ratio,omitempty"`
	// Goal is what Ratio, or without one Value, should be; nil where there is none.
	Goal *Goal  `json:"goal,omitempty"`
	Note string `json:"note,omitempty"`
}

// Goal is a bound.
type Goal struct {
	AtLeast float64 `json:"at_least,omitempty"`
	AtMost  float64 `json:"at_most,omitempty"`
}

// AtLeast and AtMost make goals.
func AtLeast(x float64) *Goal { return &Goal{AtLeast: x} }
func AtMost(x float64) *Goal  { return &Goal{AtMost: x} }

// Met reports whether a figure reaches its goal, as it would be printed; true when it has none.
func (f Figure) Met() bool {
	if f.Goal == nil {
		return true
	}
	x := f.Ratio
	if x == 0 {
		x = f.Value
	}
	x = math.Round(x*100) / 100
	return (f.Goal.AtLeast == 0 || x >= f.Goal.AtLeast) && (f.Goal.AtMost == 0 || x <= f.Goal.AtMost)
}

// Against gives a figure beside its floor.
func Against(name, unit string, value, floor float64, goal *Goal) Figure {
	f := Figure{Name: name, Unit: unit, Value: value, Floor: floor, Goal: goal}
	if floor != 0 {
		f.Ratio = value / floor
	}
	return f
}

// Plain gives a figure without a floor.
func Plain(name, unit string, value float64, goal *Goal) Figure {
	return Figure{Name: name, Unit: unit, Value: value, Goal: goal}
}

// Quantile gives the q-quantile of what was measured (0.5 is the median), by nearest rank; NaN of nothing.
func Quantile[T ~int64 | ~float64](xs []T, q float64) float64 {
	if len(xs) == 0 {
		return math.NaN()
	}
	s := slices.Clone(xs)
	slices.Sort(s)
	i := int(math.Ceil(q*float64(len(s)))) - 1
	return float64(s[min(max(i, 0), len(s)-1)])
}

// Millis gives the q-quantile of durations in milliseconds.
func Millis(ds []time.Duration, q float64) float64 {
	return Quantile(ds, q) / float64(time.Millisecond)
}
