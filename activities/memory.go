package activities

import (
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// memory is what a process remembers to be polite: when it looked last at what could not be read, what it has said
// already, until when a provider wants to be left alone. Nothing is decided by it; what is lost with the process costs one
// look, one page or one message's repetition under the same key.
type memory struct {
	mu    sync.Mutex
	looks map[lookKey]look
	notes map[string]time.Time
}

type lookKey struct{ response, connection uuid.UUID }

// look is the last try to read a device for a response.
type look struct {
	at       time.Time
	failures int  // in a row, the one under way counted
	fresh    bool // no step has come since it was planned
}

// mostRemembered bounds each part of the memory; a part that is full forgets everything.
const mostRemembered = 20_000

func newMemory() *memory { return &memory{looks: map[lookKey]look{}, notes: map[string]time.Time{}} }

// lookedAt tells of the last look, unless the store has a newer sighting, which settles it. The first step that asks after a
// look finds it fresh.
func (m *memory) lookedAt(response, connection uuid.UUID, seen time.Time) look {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := lookKey{response, connection}
	l, there := m.looks[k]
	if there && l.fresh {
		kept := l
		kept.fresh = false
		m.looks[k] = kept
	}
	if !seen.Before(l.at) {
		return look{at: seen, fresh: l.fresh}
	}
	return l
}

// looking notes that a look was planned. Until it is known to have succeeded it counts as failed.
func (m *memory) looking(response, connection uuid.UUID, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.looks) >= mostRemembered {
		clear(m.looks)
	}
	k := lookKey{response, connection}
	m.looks[k] = look{at: now, failures: m.looks[k].failures + 1, fresh: true}
}

// looked notes that a device could be read.
func (m *memory) looked(response, connection uuid.UUID, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := lookKey{response, connection}
	if l, there := m.looks[k]; there {
		m.looks[k] = look{at: now, fresh: l.fresh}
	}
}

// forget drops what was kept of a response's devices.
func (m *memory) forget(r threat.Response) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range r.Holders {
		delete(m.looks, lookKey{r.ID, h.ConnectionID})
	}
}

// first reports whether something is noted for the first time.
func (m *memory) first(what string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := m.notes[what]; there {
		return false
	}
	if len(m.notes) >= mostRemembered {
		clear(m.notes)
	}
	m.notes[what] = now
	return true
}

// note keeps a time under a name, and noted gives it back: zero for none.
func (m *memory) note(what string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.notes) >= mostRemembered {
		clear(m.notes)
	}
	m.notes[what] = at
}

func (m *memory) noted(what string) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.notes[what]
}
