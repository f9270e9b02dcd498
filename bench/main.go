// Command bench measures the program beside its floors: what a bare program needs for the same on the same machine in the
// same run. It prints each figure with its floor, the ratio and the ratio that is wanted, and never fails for a time. All of
// it is on loopback and in a temporary directory, and it ends by itself.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/firebreak/firebreak/bench/figure"
)

// runsFor bounds a run.
const runsFor = 20 * time.Minute

func main() {
	asJSON := flag.Bool("json", false, "write JSON in place of a table")
	quick := flag.Bool("quick", false, "fewer of everything, and no 5,000 open cases: about two minutes in place of eight")
	only := flag.String("only", "", "accept, policy or cases: measure that alone")
	profile := flag.String("profile", "", "write a CPU profile of this process to a file: of accept and policy, or of a -part")
	part := flag.String("part", "", "be a part that another bench has started")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, runsFor)
	defer cancel()
	err := func() error {
		if *profile != "" {
			f, err := os.Create(*profile)
			if err != nil {
				return err
			}
			if err := pprof.StartCPUProfile(f); err != nil {
				return err
			}
			defer func() {
				pprof.StopCPUProfile()
				if cerr := f.Close(); cerr != nil {
					fmt.Fprintln(os.Stderr, "bench:", cerr)
				}
			}()
		}
		if *part != "" {
			return serve(ctx, *part, os.Stdin, os.Stdout)
		}
		r, err := run(ctx, *quick, *only) // what was measured before a fault is told
		if *asJSON {
			return errors.Join(err, r.WriteJSON(os.Stdout))
		}
		return errors.Join(err, r.WriteTable(os.Stdout))
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures everything, or one thing.
func run(ctx context.Context, quick bool, only string) (r figure.Report, err error) {
	r = figure.Report{Started: time.Now(), Go: runtime.Version(), Cores: runtime.NumCPU(), Quick: quick}
	before := load()
	dir, err := os.MkdirTemp("", "firebreak-bench-")
	if err != nil {
		return r, err
	}
	defer func() {
		r.Took, r.Load = time.Since(r.Started), before+" to "+load()
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	size := whole
	if quick {
		size = small
	}
	for _, p := range []struct {
		name string
		do   func() ([]figure.Figure, []string, error)
	}{
		{"accept", func() ([]figure.Figure, []string, error) {
			fs, err := accepted(ctx, dir, log, size.batches)
			return fs, nil, err
		}},
		{"policy", func() ([]figure.Figure, []string, error) {
			fs, err := decided(ctx, dir, log, size.questions)
			return fs, nil, err
		}},
		{"cases", func() ([]figure.Figure, []string, error) { return cases(ctx, size) }},
	} {
		if only != "" && only != p.name {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s ...\n", p.name)
		figures, notes, err := p.do()
		r.Figures, r.Notes = append(r.Figures, figures...), append(r.Notes, notes...)
		if err != nil {
			return r, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return r, nil
}

// load gives how many processes of the machine have wanted to run, on average of the last minute.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(b), " ")
	return one
}
