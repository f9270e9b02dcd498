package command

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// show writes a value: as JSON for programs, else by the function that writes it for people.
func (p *program) show(v any, people func(w io.Writer)) error {
	if p.json {
		e := json.NewEncoder(p.out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(v)
	}
	w := bufio.NewWriter(p.out)
	people(w)
	return w.Flush()
}

// say writes a line for people, and nothing with --json.
func (p *program) say(format string, args ...any) error {
	if p.json {
		return nil
	}
	_, err := fmt.Fprintf(p.out, format+"\n", args...)
	return err
}

// table writes rows in columns. What stands in a cell may have been chosen by an attacker: it is made inert.
func table(w io.Writer, head []string, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(cells []string) {
		for i, c := range cells {
			cells[i] = threat.Inert(c, 200)
		}
		fmt.Fprintln(t, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	line(head)
	for _, r := range rows {
		line(r)
	}
	_ = t.Flush() // w is a buffer; its own flush tells
}

// fields writes names with their values, and leaves out what is empty.
func fields(w io.Writer, pairs ...string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", pairs[i], threat.Inert(pairs[i+1], 1000))
		}
	}
	_ = t.Flush() // w is a buffer; its own flush tells
}

// rows makes a table's rows.
func rows[T any](items []T, row func(T) []string) [][]string {
	out := make([][]string, len(items))
	for i, it := range items {
		out[i] = row(it)
	}
	return out
}

// utc writes a time for people.
func utc(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

func utcOr(t *time.Time, otherwise string) string {
	if t == nil {
		return otherwise
	}
	return utc(*t)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// span writes seconds as a duration for people.
func span(seconds float64) string {
	s := time.Duration(seconds * float64(time.Second)).Round(time.Millisecond).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func words(s string) string { return strings.ReplaceAll(s, "_", " ") }

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

func nullID(id uuid.NullUUID) string {
	if !id.Valid {
		return ""
	}
	return id.UUID.String()
}

// confirm asks a question that is answered with y. No answer is no.
func (p *program) confirm(question string) (bool, error) {
	if _, err := fmt.Fprintf(p.errs, "%s [y/N] ", question); err != nil {
		return false, err
	}
	line, err := bufio.NewReader(p.in).ReadString('\n')
	if err != nil && err != io.EOF {
		return false, err
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}

// readID reads an id of an argument.
func readID(text, noun string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return id, &threat.Fault{Kind: threat.Invalid, What: fmt.Sprintf("%q is no id of a %s", threat.Inert(text, 64), noun)}
	}
	return id, nil
}

// readIDs reads several.
func readIDs(texts []string, noun string) ([]uuid.UUID, error) {
	out := make([]uuid.UUID, len(texts))
	for i, t := range texts {
		var err error
		if out[i], err = readID(t, noun); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// pairs reads name=value arguments.
func pairs(list []string, flag string) (map[string]string, error) {
	out := map[string]string{}
	for _, s := range list {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return nil, &threat.Fault{Kind: threat.Invalid, What: "this is not name=value", Place: flag}
		}
		out[name] = value
	}
	return out, nil
}
