package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/firebreak/firebreak/bench/figure"
)

// size says how much is measured.
type size struct {
	batches, questions  int // rounds
	levels              []int
	rounds              int // of a level: the program and its floor take turns
	posts, clicks       int // of a turn
	bursts, burstOf, of int // of counts
}

var (
	whole = size{batches: 40, questions: 200, levels: []int{10, 1000, 5000}, rounds: 3, posts: 15, clicks: 10, bursts: 5, burstOf: 120, of: 5}
	small = size{batches: 15, questions: 60, levels: []int{10, 1000}, rounds: 2, posts: 10, clicks: 8, bursts: 1, burstOf: 80, of: 3}
)

// side is what was measured of the program, its floor, or the program with few open cases, at one level.
type side struct {
	posts, clicks []time.Duration
}

// cases measures what a case costs from its detection to the call and to its wait, with few and many open, beside the floor;
// and what an open one costs in memory.
func cases(ctx context.Context, z size) (out []figure.Figure, notes []string, err error) {
	if notes, err = counted(ctx, z.of); err != nil {
		return nil, notes, err
	}
	house, err := startChild(ctx, partHouse)
	if err != nil {
		return out, notes, err
	}
	defer func() { err = errors.Join(err, house.end()) }()
	bare, err := startChild(ctx, partBare)
	if err != nil {
		return out, notes, err
	}
	defer func() { err = errors.Join(err, bare.end()) }()
	both := []*child{house, bare}
	few, err := startChild(ctx, partFew) // stays at the first level, to be measured in turn with the others
	if err != nil {
		return out, notes, err
	}
	defer func() { err = errors.Join(err, few.end()) }()
	for _, c := range []*child{house, bare, few} { // what is the first of its kind does not count
		for _, do := range []string{"posts", "clicks"} {
			if _, err := c.ask(do, 3); err != nil {
				return out, notes, err
			}
		}
	}
	if _, err := few.ask("open", z.levels[0]); err != nil {
		return out, notes, err
	}
	var first, last answer // of memory, before and after the last level's cases were opened
	for i, n := range z.levels {
		if first, err = house.ask("memory", 0); err != nil {
			return out, notes, err
		}
		fmt.Fprintf(os.Stderr, "bench: %d open cases ...\n", n)
		for _, c := range both {
			if _, err := c.ask("open", n); err != nil {
				return out, notes, err
			}
		}
		if last, err = house.ask("memory", 0); err != nil {
			return out, notes, err
		}
		turns := both
		if i > 0 {
			turns = append(turns[:2:2], few)
		}
		sides, err := level(turns, z)
		if err != nil {
			return out, notes, err
		}
		out = append(out, compared(n, sides)...)
		if i > 0 {
			out = append(out,
				beside(fmt.Sprintf("POST to the call, %d open beside %d, p50", n, z.levels[0]), sides[0].posts, sides[2].posts),
				beside(fmt.Sprintf("click to the call, %d open beside %d, p50", n, z.levels[0]), sides[0].clicks, sides[2].clicks))
			continue
		}
		rates, err := bursts(both, z)
		if err != nil {
			return out, notes, err
		}
		out = append(out, figure.Against("cases that reach their wait", "1/s", rates[0], rates[1], figure.AtLeast(1/1.5)))
	}
	each := (last.Bytes - first.Bytes) / float64(last.N-first.N) / 1000
	f := figure.Plain(fmt.Sprintf("memory for each of %d workflows more", last.N-first.N), "kB", each, figure.AtMost(100))
	f.Note = fmt.Sprintf("%.0f MB with %d, %.0f MB with %d", first.Bytes/1e6, first.N, last.Bytes/1e6, last.N)
	return append(out, f), notes, nil
}

// beside compares the program with itself.
func beside(name string, many, few []time.Duration) figure.Figure {
	return figure.Against(name, "ms", figure.Millis(many, 0.5), figure.Millis(few, 0.5), figure.AtMost(1.2))
}

func compared(n int, sides []side) (out []figure.Figure) {
	for _, q := range []struct {
		name string
		q    float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		out = append(out, figure.Against(fmt.Sprintf("POST to the call, %d open, %s", n, q.name), "ms", figure.Millis(sides[0].posts, q.q),
			figure.Millis(sides[1].posts, q.q), figure.AtMost(1.5)))
	}
	for _, q := range []struct {
		name string
		q    float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		out = append(out, figure.Against(fmt.Sprintf("click to the call, cold, %d open, %s", n, q.name), "ms",
			figure.Millis(sides[0].clicks, q.q), figure.Millis(sides[1].clicks, q.q), figure.AtMost(1.5)))
	}
	return out
}

// level measures all sides in turn with what is open.
func level(turns []*child, z size) ([]side, error) {
	sides := make([]side, len(turns))
	for range z.rounds {
		for i, c := range turns {
			a, err := c.ask("posts", z.posts)
			if err != nil {
				return nil, err
			}
			sides[i].posts = append(sides[i].posts, a.Took...)
		}
		for i, c := range turns {
			a, err := c.ask("clicks", z.clicks)
			if err != nil {
				return nil, err
			}
			sides[i].clicks = append(sides[i].clicks, a.Took...)
		}
	}
	return sides, nil
}

// bursts gives the median rate of both sides.
func bursts(both []*child, z size) ([2]float64, error) {
	var rates [2][]float64
	for range z.bursts {
		for i, c := range both {
			a, err := c.ask("burst", z.burstOf)
			if err != nil {
				return [2]float64{}, err
			}
			rates[i] = append(rates[i], a.Rate)
		}
	}
	return [2]float64{figure.Quantile(rates[0], 0.5), figure.Quantile(rates[1], 0.5)}, nil
}

// counted says what cases cost both sides in commits, local activities and so on, so that the floor can be held against it.
func counted(ctx context.Context, n int) (notes []string, err error) {
	for _, part := range []string{partCount, partBare} {
		list, err := countedOf(ctx, part, n)
		if err != nil {
			return nil, err
		}
		notes = append(notes, list...)
	}
	return notes, nil
}

func countedOf(ctx context.Context, part string, n int) (notes []string, err error) {
	c, err := startChild(ctx, part)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.end()) }()
	for _, mode := range []string{"authorize", "collaborate"} {
		a, err := c.ask(mode, n)
		if err != nil {
			return nil, err
		}
		var list []string
		for what, times := range a.Tally {
			if times > 0 {
				list = append(list, fmt.Sprintf("%s %.1f", what, float64(times)/float64(n)))
			}
		}
		slices.Sort(list)
		who := "the program"
		if part == partBare {
			who = "the floor"
		}
		notes = append(notes, "a case of "+who+" in "+mode+": "+strings.Join(list, ", "))
	}
	return notes, nil
}
