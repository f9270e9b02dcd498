// Command gotest runs `go test -json` and says what people want to know of it: each package as it ends, the output of
// what failed, what was skipped and why, and the sums on a last line of their own. Its arguments are those of go test.
//
// With CI=true a skipped test is a failure: the machine lacks a part that it should have. With FIREBREAK_RACE=1 the
// packages that do not link the Temporal server run under the race detector, which needs a C compiler.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sort"
	"strings"
	"time"
)

// server is what makes a test binary too big for the race detector.
const server = "go.temporal.io/server"

func main() {
	begun := time.Now()
	r := report{output: map[key][]string{}, state: map[key]string{}}
	args := os.Args[1:]
	runs := [][]string{args}
	if os.Getenv("FIREBREAK_RACE") == "1" {
		with, without, err := split(args)
		if err != nil {
			fmt.Fprintln(os.Stderr, "gotest:", err)
			os.Exit(1)
		}
		runs = [][]string{without, with}
	}
	var broken error
	for _, run := range runs {
		if run == nil {
			continue
		}
		if err := r.run(run); err != nil {
			broken = err
		}
	}
	ci := os.Getenv("CI") == "true"
	passed, failed, skipped := r.print(os.Stdout)
	if broken != nil && failed == 0 {
		failed++
		fmt.Println("FAILED go test itself could not run:", broken)
	}
	if ci && skipped > 0 {
		fmt.Println("With CI=true nothing may be skipped: let .ci/run bring what is missing.")
	}
	fmt.Printf("in %s\n%d passed, %d failed, %d skipped\n", time.Since(begun).Round(time.Second), passed, failed, skipped)
	if failed > 0 || ci && skipped > 0 || passed == 0 {
		os.Exit(1)
	}
}

// split gives the arguments for the packages that link the server and, with -race, for those that do not.
func split(args []string) (with, without []string, err error) {
	var flags, patterns []string
	var tags []string
	for i, a := range args {
		switch {
		case strings.HasPrefix(a, "."):
			patterns = append(patterns, a)
		default:
			flags = append(flags, a)
			if i > 0 && args[i-1] == "-tags" {
				tags = []string{"-tags", a}
			}
		}
	}
	list := append(append([]string{"list", "-test", "-f", `{{if .ForTest}}{{else}}{{.ImportPath}} {{join .Deps " "}}{{end}}`}, tags...), patterns...)
	out, err := exec.Command("go", list...).Output()
	if err != nil {
		return nil, nil, fmt.Errorf("go list: %w", err)
	}
	links := map[string]bool{}
	for _, line := range strings.Split(string(out), "\n") {
		name, deps, ok := strings.Cut(line, " ")
		if name = strings.TrimSuffix(name, ".test"); ok {
			links[name] = links[name] || strings.Contains(" "+deps, " "+server+"/") || strings.HasPrefix(name, server+"/")
		}
	}
	var heavy, light []string
	for name, is := range links {
		if is {
			heavy = append(heavy, name)
		} else {
			light = append(light, name)
		}
	}
	sort.Strings(heavy)
	sort.Strings(light)
	if len(heavy) > 0 {
		with = append(append([]string{}, flags...), heavy...)
	}
	if len(light) > 0 {
		without = append(append([]string{"-race"}, flags...), light...)
	}
	return with, without, nil
}

// key names a test; an empty test is its package.
type key struct{ pkg, test string }

// report is what the runs have said so far.
type report struct {
	output map[key][]string
	state  map[key]string
	build  []string // what the compiler said
}

// event is one line of go test -json (go doc test2json).
type event struct {
	Action, Package, ImportPath, Test, Output, FailedBuild string
	Elapsed                                                float64
}

func (r *report) run(args []string) error {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				fmt.Print(string(line)) // not an event: go's own words
			} else {
				r.take(e)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	return cmd.Wait()
}

func (r *report) take(e event) {
	k := key{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		r.build = append(r.build, e.Output)
	case "output":
		r.output[k] = append(r.output[k], e.Output)
	case "pass", "fail", "skip":
		r.state[k] = e.Action
		switch {
		case e.Test == "" && (e.Action != "skip"):
			fmt.Printf("%-4s %7.1fs  %s\n", e.Action, e.Elapsed, e.Package)
		case e.Test != "" && e.Action == "pass":
			delete(r.output, k)
		}
	}
}

// print tells what failed, with its output, and what was skipped, with its reason. A package that failed without a
// failed test (it did not build, or it died) counts as one.
func (r *report) print(w io.Writer) (passed, failed, skipped int) {
	keys := make([]key, 0, len(r.state))
	told := map[string]bool{}
	for k, s := range r.state {
		keys = append(keys, k)
		if s == "fail" && k.test != "" {
			told[k.pkg] = true
		}
	}
	sort.Slice(keys, func(i, j int) bool {
		return keys[i].pkg < keys[j].pkg || keys[i].pkg == keys[j].pkg && keys[i].test < keys[j].test
	})
	for _, line := range r.build {
		fmt.Fprint(w, line)
	}
	for _, k := range keys {
		switch s := r.state[k]; {
		case s == "fail" && (k.test != "" || !told[k.pkg]):
			failed++
			fmt.Fprintf(w, "\nFAILED %s %s\n%s", k.pkg, k.test, strings.Join(r.output[k], ""))
			if k.test != "" {
				fmt.Fprint(w, r.unfinished(k.pkg))
			}
		case s == "pass" && k.test != "":
			passed++
		}
	}
	for _, k := range keys {
		if r.state[k] == "skip" && k.test != "" {
			skipped++
			fmt.Fprintf(w, "skipped %s %s: %s\n", k.pkg, k.test, reason(r.output[k]))
		}
	}
	return passed, failed, skipped
}

// unfinished gives the output of tests that neither passed nor failed, as when the process died under them, and of the
// package itself, where the runtime writes. It is given once a package.
func (r *report) unfinished(pkg string) string {
	var b strings.Builder
	for k, lines := range r.output {
		if k.pkg == pkg && (k.test == "" || r.state[k] == "") {
			for _, l := range lines {
				if l != "FAIL\n" && l != "PASS\n" && !strings.HasPrefix(l, "FAIL\t") && !strings.HasPrefix(l, "coverage:") &&
					!strings.HasPrefix(l, "exit status") {
					b.WriteString(l)
				}
			}
			delete(r.output, k)
		}
	}
	return b.String()
}

// reason is what a test said before it was skipped.
func reason(lines []string) string {
	var said []string
	for _, l := range lines {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "===") || strings.HasPrefix(l, "---") {
			continue
		}
		said = append(said, l)
	}
	return strings.Join(said, " ")
}
