package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
)

const (
	maxList    = 8 << 20 // bytes of a list that are read
	maxFetches = 500     // fetches that are remembered
)

// Fault is what a simulated firewall can be made to do wrong.
type Fault struct {
	Stop bool          // it polls no more, and enforces the copy that it has
	Slow time.Duration // it waits this long before each fetch
	Drop bool          // it fetches, and loses what it fetched: it does not enforce it
}

// Fetch is one try to fetch a list.
type Fetch struct {
	At       time.Time     `json:"at"`
	Source   int           `json:"source"` // which Firebreak, from 0
	List     string        `json:"list"`
	Status   int           `json:"status"` // of HTTP; 0 without an answer
	Revision int64         `json:"revision"`
	Entries  int           `json:"entries"` // of the list that came, with 200
	Took     time.Duration `json:"took"`
	Error    string        `json:"error,omitempty"` // never the address, for the token is in it
}

// Change counts how often a value came into force and went out of it.
type Change struct {
	Appeared int `json:"appeared"` // absent to present
	Vanished int `json:"vanished"` // present to absent
}

// FirewallView is the firewall at one moment.
type FirewallView struct {
	Enforced  []string          `json:"enforced"` // values, sorted
	LastFetch time.Time         `json:"last_fetch"`
	Revision  int64             `json:"revision"` // the highest of its lists
	Changes   map[string]Change `json:"changes"`  // by value
	Fetches   []Fetch           `json:"fetches"`  // the last ones, in order
	Fault     Fault             `json:"fault"`
}

// Firewall is a simulated firewall. It polls the lists as real ones do (If-None-Match, gzip), keeps the copy that it has
// when they cannot be fetched, and drops what stands on them: addresses as they are, domains with all that is below.
type Firewall struct {
	sources []string
	client  *http.Client
	now     func() time.Time
	log     *slog.Logger

	poll sync.Mutex // one poll at a time

	mu      sync.Mutex
	copies  map[copyKey]*listCopy
	changes map[string]Change
	fetches []Fetch
	fault   Fault
	said    map[copyKey]string // the last trouble that was logged
}

type copyKey struct {
	source int
	list   string
}

// listCopy is a list as it was fetched last.
type listCopy struct {
	tag      string
	revision int64
	at       time.Time
	values   map[string]bool
}

func newFirewall(o NetworkOptions) *Firewall {
	return &Firewall{sources: o.Feed, client: o.Client, now: o.Now, log: o.Log, copies: map[copyKey]*listCopy{},
		changes: map[string]Change{}, said: map[copyKey]string{}}
}

// SetFault makes the firewall do something wrong; the zero Fault mends it.
func (f *Firewall) SetFault(x Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = x
}

// Poll fetches every list once.
func (f *Firewall) Poll(ctx context.Context) {
	f.poll.Lock()
	defer f.poll.Unlock()
	for source := range f.sources {
		for _, list := range threat.FeedLists {
			f.mu.Lock()
			fault := f.fault
			f.mu.Unlock()
			if fault.Stop || ctx.Err() != nil {
				return
			}
			if fault.Slow > 0 {
				select {
				case <-ctx.Done():
					return
				case <-time.After(fault.Slow):
				}
			}
			f.fetch(ctx, copyKey{source, list}, fault)
		}
	}
}

func (f *Firewall) fetch(ctx context.Context, k copyKey, fault Fault) {
	begun := f.now().UTC()
	got := Fetch{At: begun, Source: k.source, List: k.list}
	f.mu.Lock()
	tag := ""
	if c := f.copies[k]; c != nil {
		tag = c.tag
	}
	f.mu.Unlock()
	next, err := f.ask(ctx, k, tag, &got)
	got.Took = f.now().Sub(begun)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		got.Error = bare(err)
	}
	if ctx.Err() != nil {
		return // it was switched off meanwhile
	}
	if f.fetches = append(f.fetches, got); len(f.fetches) > maxFetches {
		f.fetches = append([]Fetch(nil), f.fetches[len(f.fetches)-maxFetches:]...)
	}
	if f.said[k] != got.Error {
		f.said[k] = got.Error
		if got.Error != "" {
			f.log.Warn("the simulated firewall keeps the copy that it has", "list", k.list, "status", got.Status, "error", got.Error)
		}
	}
	if err != nil || fault.Drop {
		return
	}
	f.take(k, next, got.Revision)
}

// ask fetches one list. A nil copy is a list that has not changed.
func (f *Firewall) ask(ctx context.Context, k copyKey, tag string, got *Fetch) (*listCopy, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.sources[k.source]+"/"+k.list+".txt", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "firebreak-lab-firewall (simulated)")
	if tag != "" {
		req.Header.Set("If-None-Match", tag)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	got.Status = resp.StatusCode
	if got.Revision, err = strconv.ParseInt(resp.Header.Get("X-Feed-Revision"), 10, 64); err != nil {
		got.Revision = 0 // a feed need not tell it
	}
	switch {
	case resp.StatusCode == http.StatusNotModified && tag != "":
		return nil, nil
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("answered %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxList+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxList {
		return nil, fmt.Errorf("a list of more than %d bytes", maxList)
	}
	c := &listCopy{tag: resp.Header.Get("ETag"), revision: got.Revision, at: got.At, values: map[string]bool{}}
	lines := bufio.NewScanner(bytes.NewReader(body))
	for lines.Scan() {
		v, err := value(k.list, lines.Text())
		if err != nil {
			return nil, err
		}
		c.values[v] = true
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	got.Entries = len(c.values)
	return c, nil
}

// value reads one line of a list. A list with a line of another kind is refused whole, as many firewalls do.
func value(list, line string) (string, error) {
	if list == threat.FeedDomains {
		return threat.CanonicalDomain(line)
	}
	return threat.CanonicalIP(line)
}

// take puts a new copy in force and counts what changed by it. What two lists hold counts once.
func (f *Firewall) take(k copyKey, next *listCopy, revision int64) {
	if next == nil { // not changed: the copy is as fresh as this fetch
		if old := f.copies[k]; old != nil {
			old.at, old.revision = f.now().UTC(), max(old.revision, revision)
		}
		return
	}
	before := f.enforced()
	f.copies[k] = next
	after := f.enforced()
	for v := range after {
		if !before[v] {
			c := f.changes[v]
			c.Appeared++
			f.changes[v] = c
		}
	}
	for v := range before {
		if !after[v] {
			c := f.changes[v]
			c.Vanished++
			f.changes[v] = c
		}
	}
}

func (f *Firewall) enforced() map[string]bool {
	out := map[string]bool{}
	for _, c := range f.copies {
		for v := range c.values {
			out[v] = true
		}
	}
	return out
}

// Drops gives the entry by which traffic to an address, reached under a domain, is dropped; "" lets it through. An empty
// domain is traffic to a bare address.
func (f *Firewall) Drops(address, domain string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	on := f.enforced()
	a, err := netip.ParseAddr(address)
	if err == nil && on[a.Unmap().String()] {
		return a.Unmap().String()
	}
	for d := strings.ToLower(strings.TrimSuffix(domain, ".")); d != ""; {
		if on[d] {
			return d
		}
		_, d, _ = strings.Cut(d, ".")
	}
	return ""
}

// View gives the firewall as it is now.
func (f *Firewall) View() FirewallView {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := FirewallView{Changes: map[string]Change{}, Fault: f.fault, Fetches: append([]Fetch(nil), f.fetches...), Enforced: []string{}}
	for x := range f.enforced() {
		v.Enforced = append(v.Enforced, x)
	}
	sort.Strings(v.Enforced)
	for x, c := range f.changes {
		v.Changes[x] = c
	}
	for _, c := range f.copies {
		v.Revision = max(v.Revision, c.revision)
		if c.at.After(v.LastFetch) {
			v.LastFetch = c.at
		}
	}
	return v
}

// bare is an error's text without the address that was asked: the token is in it.
func bare(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return threat.Inert(err.Error(), 200)
}
