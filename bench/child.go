package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
)

// What is measured runs in processes of their own, so that nobody's memory or cache is another's: the program, and its
// floor. They are told what to do on their standard input, a line each, answer each with a line, and end with their input.

type command struct {
	Do string
	N  int
}

type answer struct {
	Took  []time.Duration `json:",omitempty"`
	Rate  float64         `json:",omitempty"`
	N     int             `json:",omitempty"`
	Bytes float64         `json:",omitempty"`
	Tally tally           `json:",omitempty"`
	Error string          `json:",omitempty"`
}

// measured is what a child can do.
type measured interface {
	posts(ctx context.Context, n int) ([]time.Duration, error)
	clicks(ctx context.Context, n int) ([]time.Duration, error)
	burst(ctx context.Context, n int) (float64, error)
	open(ctx context.Context, n int) (int, error)
	workflows(ctx context.Context) (int, error)
	tally(ctx context.Context, mode threat.Mode, n int) (tally, error)
	close(ctx context.Context) error
}

const (
	partHouse = "house"
	partCount = "count"
	partFew   = "few" // a house that keeps few open cases
	partBare  = "bare"

	housePorts = 7410 // beyond the program's own
	barePorts  = 7420
	fewPorts   = 7430
)

// serve is a child's life.
func serve(ctx context.Context, part string, in io.Reader, out io.Writer) error {
	dir, err := os.MkdirTemp("", "firebreak-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	var m measured
	switch part {
	case partCount:
		countCommits()
		fallthrough
	case partHouse:
		m, err = openHouse(ctx, dir, housePorts, log)
	case partFew:
		m, err = openHouse(ctx, dir, fewPorts, log)
	case partBare:
		m, err = openBare(ctx, dir, log)
	default:
		err = fmt.Errorf("no part is called %q", part)
	}
	if err != nil {
		return err
	}
	lines, say := bufio.NewScanner(in), json.NewEncoder(out)
	for lines.Scan() {
		var c command
		if err = json.Unmarshal(lines.Bytes(), &c); err != nil {
			break
		}
		a, derr := do(ctx, m, c)
		if derr != nil {
			a.Error = derr.Error()
		}
		if err = say.Encode(a); err != nil {
			break
		}
	}
	return errors.Join(err, lines.Err(), m.close(context.WithoutCancel(ctx)))
}

func do(ctx context.Context, m measured, c command) (a answer, err error) {
	switch c.Do {
	case "posts":
		a.Took, err = m.posts(ctx, c.N)
	case "clicks":
		a.Took, err = m.clicks(ctx, c.N)
	case "burst":
		a.Rate, err = m.burst(ctx, c.N)
	case "open":
		a.N, err = m.open(ctx, c.N)
	case "memory":
		if a.N, err = m.workflows(ctx); err == nil {
			a.Bytes, err = resident()
		}
	case "authorize":
		a.Tally, err = m.tally(ctx, threat.ModeAuthorize, c.N)
	case "collaborate":
		a.Tally, err = m.tally(ctx, threat.ModeCollaborate, c.N)
	default:
		err = fmt.Errorf("nothing is called %q", c.Do)
	}
	return a, err
}

// child is a running one.
type child struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
}

func startChild(ctx context.Context, part string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{name: part, cmd: exec.CommandContext(ctx, self, "-part", part)}
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	return c, c.cmd.Start()
}

func (c *child) ask(do string, n int) (a answer, err error) {
	if err := json.NewEncoder(c.in).Encode(command{do, n}); err != nil {
		return a, err
	}
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		return a, fmt.Errorf("%s does not answer: %w", c.name, err)
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return a, err
	}
	if a.Error != "" {
		return a, fmt.Errorf("%s: %s: %s", c.name, do, a.Error)
	}
	return a, nil
}

// end closes the input and waits for the child to drain; it is killed when that takes too long.
func (c *child) end() error {
	late := time.AfterFunc(time.Minute, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	return errors.Join(c.in.Close(), c.cmd.Wait())
}
