package figure

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is one run.
type Report struct {
	Started time.Time     `json:"started"`
	Took    time.Duration `json:"took_ns"`
	Go      string        `json:"go"`
	Cores   int           `json:"cores"`
	Load    string        `json:"load"` // of the machine at the start and the end: others share it
	Quick   bool          `json:"quick"`
	Figures []Figure      `json:"figures"`
	Notes   []string      `json:"notes,omitempty"`
}

// WriteJSON writes a report for programs.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteTable writes a report for people.
func (r Report) WriteTable(w io.Writer) error {
	fmt.Fprintf(w, "%s, %d cores, %s, load %s, took %s\n\n", r.Started.UTC().Format(time.RFC3339), r.Cores, r.Go, r.Load,
		r.Took.Round(time.Second))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "figure\tmeasured\tfloor\tratio\tgoal\t")
	for _, f := range r.Figures {
		fmt.Fprintf(t, "%s\t%s %s\t%s\t%s\t%s\t%s\n", f.Name, number(f.Value), f.Unit, blank(f.Floor), blank(f.Ratio), f.Goal.text(f), f.Note)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(r.Notes) > 0 {
		fmt.Fprintln(w)
	}
	for _, n := range r.Notes {
		fmt.Fprintln(w, n)
	}
	return nil
}

func (g *Goal) text(f Figure) string {
	if g == nil {
		return ""
	}
	s := "<= " + number(g.AtMost)
	if g.AtLeast != 0 {
		s = ">= " + number(g.AtLeast)
	}
	if f.Met() {
		return s
	}
	return s + " missed"
}

func blank(x float64) string {
	if x == 0 {
		return ""
	}
	return number(x)
}

// number writes three digits that matter, and whole numbers whole.
func number(x float64) string {
	switch a := max(x, -x); {
	case a >= 100 || a == float64(int64(a)):
		return strconv.FormatFloat(x, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	s := strconv.FormatFloat(x, 'f', 2, 64)
	return strings.TrimSuffix(s, ".00")
}
