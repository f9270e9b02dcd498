package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

const (
	tries      = 4               // of one detection under one lease
	pageEvery  = 10              // after the first, people are told again at every tenth failed lease
	leaseFails = 5               // leases in a row that fail before people are told
	drain      = 5 * time.Second // for what is under way when Run is to end
	queueDepth = 8               // detections leased ahead for each worker
)

// Run triages what was received until ctx ends, and then returns ctx's cause. It looks when it is woken and every Poll.
// Several processes may run it on one store: leases keep them apart, and an assignment is made once. Policy is asked
// outside of any transaction. A detection that cannot be triaged is tried again, under one lease and then under the next;
// people are told, and it is never given up.
func (s *Service) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	r := runner{s: s, busy: map[uuid.UUID]bool{}, freed: make(chan struct{}, 1),
		queue: make(chan threat.Detection, s.d.Workers*queueDepth)}
	for range s.d.Workers {
		r.wg.Add(1)
		go func() {
			defer r.wg.Done()
			for d := range r.queue {
				if ctx.Err() == nil {
					s.triage(work, d)
				}
				r.done(d.ID)
			}
		}()
	}
	r.feed(ctx)
	close(r.queue)
	stop := time.AfterFunc(drain, cancel)
	r.wg.Wait()
	stop.Stop()
	return context.Cause(ctx)
}

// runner holds what is leased and not finished yet.
type runner struct {
	s     *Service
	queue chan threat.Detection
	freed chan struct{}
	wg    sync.WaitGroup
	mu    sync.Mutex
	busy  map[uuid.UUID]bool
}

func (r *runner) done(id uuid.UUID) {
	r.mu.Lock()
	delete(r.busy, id)
	r.mu.Unlock()
	select {
	case r.freed <- struct{}{}:
	default:
	}
}

func (r *runner) free() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return cap(r.queue) - len(r.busy)
}

// feed leases into the queue. It leases again at once while leases come back full, and never more than the queue holds.
func (r *runner) feed(ctx context.Context) {
	s := r.s
	tick := time.NewTicker(s.d.Poll)
	defer tick.Stop()
	failed := 0
	for ctx.Err() == nil {
		room, more := r.free(), false
		if room >= (cap(r.queue)+1)/2 {
			ds, err := s.d.Store.LeaseReceived(ctx, s.d.Owner, room, s.d.Lease)
			switch {
			case err != nil && ctx.Err() == nil:
				failed++
				s.d.Log.ErrorContext(ctx, "detections could not be leased", "error", err, "in_a_row", failed)
				if failed == leaseFails {
					s.d.Page(ctx, fmt.Sprintf("detections wait: the store cannot be read (%s)", threat.KindOf(err)))
				}
			case err == nil:
				failed = 0
				more = len(ds) >= room
				r.add(ctx, ds)
			}
		} else {
			more = true // the queue is full: look again as soon as there is room
		}
		if more {
			select {
			case <-ctx.Done():
			case <-r.freed:
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-tick.C:
		}
	}
}

// add queues what was leased. What is still under way here from an earlier lease is left out: it goes on.
func (r *runner) add(ctx context.Context, ds []threat.Detection) {
	for _, d := range ds {
		r.mu.Lock()
		twice := r.busy[d.ID]
		r.busy[d.ID] = true
		r.mu.Unlock()
		if twice {
			continue
		}
		select {
		case r.queue <- d:
		case <-ctx.Done():
			r.done(d.ID)
		}
	}
}

// triage brings one detection to its assignment, or leaves it to the next lease.
func (s *Service) triage(ctx context.Context, d threat.Detection) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.d.Lease*3/4)
	defer cancel()
	wait := s.d.Retry
	var err error
	for try := 1; try <= tries; try++ {
		var a threat.Assignment
		if a, err = s.assign(ctx, d); err == nil {
			s.fails.clear(d.ID)
			s.d.Metrics.Triage(string(a.State), time.Since(began))
			s.d.Log.InfoContext(ctx, "detection triaged", "detection", d.ID, "tenant", d.TenantID, "state", a.State,
				"case", a.CaseID.UUID, "opened", a.Opened)
			return
		}
		if ctx.Err() != nil || !worthRepeating(err) || try == tries {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait *= 4
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return // we are going down; whoever leases it next goes on
	}
	n := s.fails.add(d.ID)
	s.d.Metrics.Triage("failed", time.Since(began))
	s.d.Log.ErrorContext(ctx, "a detection could not be triaged; it stays received and is tried again", "detection", d.ID,
		"tenant", d.TenantID, "leases", n, "error", err)
	if n == 1 || n%pageEvery == 0 {
		what := fmt.Sprintf("detection %s of tenant %s could not be triaged (%s, %d times); it is kept and tried again",
			d.ID, d.TenantID, threat.KindOf(err), n)
		s.d.Page(context.WithoutCancel(ctx), what)
	}
}

func (s *Service) assign(ctx context.Context, d threat.Detection) (threat.Assignment, error) {
	t, err := s.d.Decide.Triage(ctx, d)
	if err != nil {
		return threat.Assignment{}, err
	}
	t.DetectionID = d.ID
	return s.d.Store.Assign(ctx, t)
}

// worthRepeating reports whether the same call may go better in a moment. What will not is left to the next lease, when
// the policy, the program or the data may have changed.
func worthRepeating(err error) bool {
	switch threat.KindOf(err) {
	case threat.Unavailable, threat.Conflict, threat.Stale, threat.RateLimited, threat.Unknown, threat.Internal:
		return true
	}
	return false
}

// failures counts failed leases of detections.
type failures struct {
	mu    sync.Mutex
	count map[uuid.UUID]int
}

// maxCounted is how many failing detections are told apart; past it the counts begin anew, and so do the pages.
const maxCounted = 10_000

func (f *failures) add(id uuid.UUID) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.count) >= maxCounted {
		clear(f.count)
	}
	f.count[id]++
	return f.count[id]
}

func (f *failures) clear(id uuid.UUID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.count, id)
}
