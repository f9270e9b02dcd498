// Package nftsim is a simulation of nft for tests that have no root and no nft: what of nft's JSON the adapter speaks,
// transactions that take effect whole or not at all, element time-outs by a clock of the test's, and packets that run
// through the chains. It is no proof of anything about the kernel: the tests in a real namespace are.
package nftsim

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/firebreak/firebreak/adapters/nftables"
	"github.com/firebreak/firebreak/internal/threat"
)

// Trouble is what the next run of a kind meets.
type Trouble struct {
	Change     bool   // the next change; else the next list
	Hang       bool   // until the context ends
	Effect     bool   // the transaction is committed first
	Stderr     string // what nft says, with exit status 1
	Signal     bool   // a signal ends it
	NotStarted bool
	Quiet      bool // success, without the effect
}

// Sim is one simulated packet filter.
type Sim struct {
	// Now is the clock of time-outs.
	Now func() time.Time
	// OldKernel makes `add` of an element that is there change nothing; newer kernels set its time-out anew.
	OldKernel bool

	mu      sync.Mutex
	tables  map[string]*table
	trouble []Trouble
	changes int
}

type table struct {
	Asleep bool
	Sets   map[string]*set
	Chains map[string]*chain
}

type set struct {
	Type  string
	Elems map[netip.Addr]elem
}

type elem struct {
	Comment string
	Timeout time.Duration
	Ends    time.Time // zero: never
}

type chain struct {
	Hook  string
	Prio  int
	Rules []json.RawMessage // each the expr member
}

// New makes an empty one.
func New(now func() time.Time) *Sim { return &Sim{Now: now, tables: map[string]*table{}} }

// Arm makes the next fitting run meet trouble.
func (s *Sim) Arm(t Trouble) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = append(s.trouble, t)
}

// Changes counts the transactions that reached it.
func (s *Sim) Changes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changes
}

var _ nftables.Runner = (*Sim)(nil)

// Run does what nft would.
func (s *Sim) Run(ctx context.Context, args []string, stdin []byte) (nftables.Output, error) {
	if err := ctx.Err(); err != nil {
		return nftables.Output{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	change := strings.Join(args, " ") == "-j -f -"
	if change {
		s.changes++
	}
	var t Trouble
	for i, x := range s.trouble {
		if x.Change == change {
			t = x
			s.trouble = append(s.trouble[:i:i], s.trouble[i+1:]...)
			break
		}
	}
	if t == (Trouble{}) || t.Effect {
		out := s.serve(args, stdin)
		if t == (Trouble{}) {
			return out, nil
		}
	}
	switch {
	case t.Hang:
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		return nftables.Output{Code: -1}, ctx.Err()
	case t.NotStarted:
		return nftables.Output{}, &threat.Fault{Kind: threat.Unavailable, What: "nft could not be started"}
	case t.Signal:
		return nftables.Output{Code: -1}, nil
	case t.Quiet:
		return nftables.Output{}, nil
	}
	return refuse(t.Stderr), nil
}

func refuse(words string) nftables.Output {
	return nftables.Output{Code: 1, Stderr: []byte("internal:0:0-0: Error: Could not process rule: " + words + "\n")}
}

func (s *Sim) serve(args []string, stdin []byte) nftables.Output {
	s.expire()
	switch line := strings.Join(args, " "); {
	case line == "-j -f -":
		work := s.copy()
		if words := apply(work, stdin, s.Now(), s.OldKernel); words != "" {
			return refuse(words)
		}
		s.tables = work
		return nftables.Output{}
	case line == "-j list tables":
		var list []any
		for _, name := range keys(s.tables) {
			list = append(list, map[string]any{"table": map[string]any{"family": "inet", "name": name}})
		}
		return answer(list)
	case strings.HasPrefix(line, "-j list table inet "):
		name := args[len(args)-1]
		t, ok := s.tables[name]
		if !ok {
			return nftables.Output{Code: 1, Stderr: []byte("Error: No such file or directory\n" + line[3:] + "\n")}
		}
		return answer(t.list(name, s.Now()))
	}
	return nftables.Output{Code: 1, Stderr: []byte("Error: syntax error, unexpected arguments\n")}
}

func answer(list []any) nftables.Output {
	meta := map[string]any{"metainfo": map[string]any{"version": "simulated", "json_schema_version": 1}}
	b, err := json.Marshal(map[string]any{"nftables": append([]any{meta}, list...)})
	if err != nil {
		return nftables.Output{Code: 1, Stderr: []byte(err.Error())}
	}
	return nftables.Output{Stdout: b}
}

func (t *table) list(name string, now time.Time) []any {
	head := map[string]any{"family": "inet", "name": name}
	if t.Asleep {
		head["flags"] = "dormant"
	}
	list := []any{map[string]any{"table": head}}
	for _, n := range keys(t.Sets) {
		o := map[string]any{"family": "inet", "table": name, "name": n, "type": t.Sets[n].Type, "flags": []string{"timeout"}}
		var elems []any
		for _, a := range addrs(t.Sets[n].Elems) {
			e := t.Sets[n].Elems[a]
			long := map[string]any{"val": a.String()}
			if e.Comment != "" {
				long["comment"] = e.Comment
			}
			if !e.Ends.IsZero() {
				long["timeout"], long["expires"] = int64(e.Timeout/time.Second), int64(e.Ends.Sub(now)/time.Second)
			}
			if len(long) == 1 {
				elems = append(elems, a.String())
				continue
			}
			elems = append(elems, map[string]any{"elem": long})
		}
		if elems != nil {
			o["elem"] = elems
		}
		list = append(list, map[string]any{"set": o})
	}
	for _, n := range keys(t.Chains) {
		c := t.Chains[n]
		list = append(list, map[string]any{"chain": map[string]any{"family": "inet", "table": name, "name": n, "type": "filter",
			"hook": c.Hook, "prio": c.Prio, "policy": "accept"}})
		for _, r := range c.Rules {
			list = append(list, map[string]any{"rule": map[string]any{"family": "inet", "table": name, "chain": n, "expr": r}})
		}
	}
	return list
}

// command is one command's object, with the members that the adapter uses.
type command struct {
	Family, Table, Name, Type, Hook, Policy, Chain string
	Prio                                           int
	Flags                                          []string
	Expr                                           json.RawMessage
	Elem                                           []json.RawMessage
}

// apply runs a transaction on a copy, and gives the kernel's words when it is refused.
func apply(tables map[string]*table, stdin []byte, now time.Time, old bool) string {
	var doc struct {
		Nftables []map[string]map[string]json.RawMessage `json:"nftables"`
	}
	if err := json.Unmarshal(stdin, &doc); err != nil {
		return "syntax error, " + err.Error()
	}
	const missing = "No such file or directory"
	for _, cmd := range doc.Nftables {
		for verb, o := range cmd {
			for kind, raw := range o {
				var c command
				if err := json.Unmarshal(raw, &c); err != nil || c.Family != "inet" {
					return "syntax error"
				}
				if verb == "add" && kind == "table" {
					if tables[c.Name] == nil {
						tables[c.Name] = &table{Sets: map[string]*set{}, Chains: map[string]*chain{}}
					}
					tables[c.Name].Asleep = false // adding it without flags wakes it
					continue
				}
				t := tables[c.Table]
				if t == nil {
					return missing
				}
				switch verb + " " + kind {
				case "add set":
					if t.Sets[c.Name] == nil {
						t.Sets[c.Name] = &set{Type: c.Type, Elems: map[netip.Addr]elem{}}
					} else if t.Sets[c.Name].Type != c.Type {
						return "File exists"
					}
				case "add chain":
					if x := t.Chains[c.Name]; x == nil {
						t.Chains[c.Name] = &chain{Hook: c.Hook, Prio: c.Prio}
					} else if x.Hook != c.Hook || x.Prio != c.Prio {
						return "File exists"
					}
				case "flush chain":
					if t.Chains[c.Name] == nil {
						return missing
					}
					t.Chains[c.Name].Rules = nil
				case "delete chain":
					if t.Chains[c.Name] == nil {
						return missing
					}
					delete(t.Chains, c.Name)
				case "add rule":
					if t.Chains[c.Chain] == nil {
						return missing
					}
					t.Chains[c.Chain].Rules = append(t.Chains[c.Chain].Rules, c.Expr)
				case "add element", "create element", "delete element":
					if words := t.element(verb, c, now, old); words != "" {
						return words
					}
				default:
					return "syntax error, unknown command " + verb + " " + kind
				}
			}
		}
	}
	return ""
}

func (t *table) element(verb string, c command, now time.Time, old bool) string {
	s := t.Sets[c.Name]
	if s == nil {
		return "No such file or directory"
	}
	for _, raw := range c.Elem {
		var val string
		var timeout int64
		var comment string
		if json.Unmarshal(raw, &val) != nil {
			var long struct {
				Elem struct {
					Val, Comment string
					Timeout      int64
				}
			}
			if json.Unmarshal(raw, &long) != nil {
				return "syntax error"
			}
			val, timeout, comment = long.Elem.Val, long.Elem.Timeout, long.Elem.Comment
		}
		a, err := netip.ParseAddr(val)
		if err != nil || a.Is4() != (s.Type == "ipv4_addr") || len(comment) > 128 {
			return "syntax error"
		}
		e, there := s.Elems[a]
		switch {
		case verb == "delete" && !there:
			return "No such file or directory"
		case verb == "delete":
			delete(s.Elems, a)
			continue
		case verb == "create" && there:
			return "File exists"
		case there && (old || timeout == 0):
			continue
		case there:
			e.Timeout, e.Ends = time.Duration(timeout)*time.Second, now.Add(time.Duration(timeout)*time.Second)
		default:
			e = elem{Comment: comment, Timeout: time.Duration(timeout) * time.Second}
			if timeout > 0 {
				e.Ends = now.Add(e.Timeout)
			}
		}
		s.Elems[a] = e
	}
	return ""
}

// Plant puts an element into a set, as somebody else would. The table must be there.
func (s *Sim) Plant(table, set string, a netip.Addr, comment string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tables[table].Sets[set].Elems[a] = elem{Comment: comment}
}

// Sleep makes a table dormant, or wakes it.
func (s *Sim) Sleep(table string, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tables[table].Asleep = on
}

// Passes sends a packet through a hook's chains, in the order of their priorities, and reports whether it gets through.
func (s *Sim) Passes(hook string, from, to netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	for _, name := range keys(s.tables) {
		t := s.tables[name]
		if t.Asleep {
			continue
		}
		for _, n := range keys(t.Chains) {
			if t.Chains[n].Hook == hook && t.drops(t.Chains[n], from, to) {
				return false
			}
		}
	}
	return true
}

func (t *table) drops(c *chain, from, to netip.Addr) bool {
	for _, r := range c.Rules {
		var exprs []struct {
			Match *struct {
				Left struct {
					Payload struct{ Protocol, Field string }
				}
				Right string
			}
			Drop   json.RawMessage
			Accept json.RawMessage
		}
		if json.Unmarshal(r, &exprs) != nil {
			continue
		}
		matched := true
		for _, e := range exprs {
			if e.Match != nil {
				a := to
				if e.Match.Left.Payload.Field == "saddr" {
					a = from
				}
				x := t.Sets[strings.TrimPrefix(e.Match.Right, "@")]
				if x == nil || a.Is4() != (e.Match.Left.Payload.Protocol == "ip") {
					matched = false
				} else if _, ok := x.Elems[a]; !ok {
					matched = false
				}
			}
			if matched && e.Accept != nil {
				return false
			}
			if matched && e.Drop != nil {
				return true
			}
		}
	}
	return false
}

// State is all that it holds, as text; time-outs are left to the clock.
func (s *Sim) State() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	var b strings.Builder
	for _, name := range keys(s.tables) {
		t := s.tables[name]
		fmt.Fprintf(&b, "table %s asleep=%v\n", name, t.Asleep)
		for _, n := range keys(t.Sets) {
			for _, a := range addrs(t.Sets[n].Elems) {
				e := t.Sets[n].Elems[a]
				fmt.Fprintf(&b, "  %s %s %q %s\n", n, a, e.Comment, e.Ends.UTC().Format(time.RFC3339))
			}
		}
		for _, n := range keys(t.Chains) {
			fmt.Fprintf(&b, "  chain %s %s %d rules=%d\n", n, t.Chains[n].Hook, t.Chains[n].Prio, len(t.Chains[n].Rules))
		}
	}
	return b.String()
}

func (s *Sim) expire() {
	now := s.Now()
	for _, t := range s.tables {
		for _, x := range t.Sets {
			for a, e := range x.Elems {
				if !e.Ends.IsZero() && !now.Before(e.Ends) {
					delete(x.Elems, a)
				}
			}
		}
	}
}

func (s *Sim) copy() map[string]*table {
	out := map[string]*table{}
	for name, t := range s.tables {
		c := &table{Asleep: t.Asleep, Sets: map[string]*set{}, Chains: map[string]*chain{}}
		for n, x := range t.Sets {
			y := &set{Type: x.Type, Elems: map[netip.Addr]elem{}}
			for a, e := range x.Elems {
				y.Elems[a] = e
			}
			c.Sets[n] = y
		}
		for n, x := range t.Chains {
			c.Chains[n] = &chain{Hook: x.Hook, Prio: x.Prio, Rules: append([]json.RawMessage(nil), x.Rules...)}
		}
		out[name] = c
	}
	return out
}

func keys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

func addrs(m map[netip.Addr]elem) []netip.Addr {
	out := make([]netip.Addr, 0, len(m))
	for a := range m {
		out = append(out, a)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Less(out[j]) })
	return out
}
