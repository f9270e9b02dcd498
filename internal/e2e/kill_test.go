//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
)

// SeedEnv sets the seed of what happens at random; without it each run takes its own, and prints it.
const SeedEnv = "FIREBREAK_SEED"

// seeded gives a source of chance, and prints its seed.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if v := os.Getenv(SeedEnv); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatalf("%s is no number: %v", SeedEnv, err)
		}
		seed = n
	}
	t.Logf("the seed is %d: repeat it with %s=%d", seed, SeedEnv, seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// kills ends the server at random points and starts it anew, n times: now and then before it is ready.
func kills(t *testing.T, s *Server, rng *rand.Rand, n int) {
	t.Helper()
	early := 0
	for range n {
		d := 50*time.Millisecond + time.Duration(rng.Int64N(int64(3*time.Second)))
		if rng.IntN(4) == 0 { // long enough for whole lives between two kills
			d += 4 * time.Second
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the test ends before its kills")
		case <-time.After(d):
		}
		if s.Ended() {
			t.Fatalf("the server ended by itself: %v\n%s", s.Wait(0), tail(s.Output(), 8000))
		}
		if !strings.Contains(s.Output(), "Firebreak ") {
			early++
		}
		s.Kill()
		s.Begin()
	}
	s.Ready()
	t.Logf("%d kills, %d of them during the start", n, early)
}

// ordeal has the networks of some customers attacked while the server is killed n times, and holds the promises afterwards.
func ordeal(t *testing.T, admin *User, slug string, rng *rand.Rand, n, customers int) tally {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var war sync.WaitGroup
	var fronts []*Front
	for i := range customers {
		f := NewFront(admin, fmt.Sprintf("%s-%d", slug, i+1), threat.ModeAuthorize, hasty())
		fronts = append(fronts, f)
		chance := rand.New(rand.NewPCG(rng.Uint64(), 2))
		war.Go(func() { f.campaign(ctx, chance, 30) })
	}
	kills(t, admin.server, rng, n)
	stop()
	war.Wait()
	var sum tally
	for _, f := range fronts {
		f.settled(3 * time.Minute)
		f.released()
		v := f.Net.Sensor.View()
		if v.Lost > 0 {
			t.Errorf("%s: %d records were refused", f.Slug, v.Lost)
		}
		sum = sum.plus(f.sound(slices.Clone(v.Accepted)))
	}
	admin.server.proved()
	if sum.accepted == 0 || sum.acts == 0 || sum.appear == 0 {
		t.Errorf("%s: too little happened: %+v", slug, sum)
	}
	return sum
}

// TestTenKills ends the server ten times at random points while it acts by itself: nothing accepted is lost, nothing is done
// twice, nothing is stuck, and the journal proves itself.
func TestTenKills(t *testing.T) {
	rng := seeded(t)
	s := StartServer(t)
	admin := s.SignIn(s.Link)
	ordeal(t, admin, "besieged", rng, 10, 2)
}

// TestThreeKillsOnPostgres is the same on PostgreSQL, beside which the server's own Temporal lies.
func TestThreeKillsOnPostgres(t *testing.T) {
	rng := seeded(t)
	s := StartServer(t, "--database-url", StartPostgres(t).Database("besieged"))
	ordeal(t, s.SignIn(s.Link), "besieged", rng, 3, 1)
}

// temporalFiles are what the embedded Temporal keeps.
func temporalFiles(data string) []string {
	base := filepath.Join(data, "temporal.db")
	return []string{base, base + "-wal", base + "-shm"}
}

// TestTemporalIsLost kills the server, deletes what Temporal kept, and starts again: a question that was put before can
// still be answered, and a block that stood is released in time.
func TestTemporalIsLost(t *testing.T) {
	s := StartServer(t)
	admin := s.SignIn(s.Link)
	const asked, held = "203.0.113.80", "203.0.113.81"
	long := hasty()
	long.BlockFor = tenant.In(25 * time.Second)
	asks, acts := NewFront(admin, "asks", threat.ModeCollaborate, hasty()), NewFront(admin, "acts", threat.ModeAuthorize, long)
	askedIDs, heldIDs := asks.post(s, attack("1", asked)), acts.post(s, attack("1", held))
	asks.about(asked, 20*time.Second, threat.ResponseAsked)
	acts.about(held, 20*time.Second, threat.ResponseHeld)
	s.Kill()
	for _, f := range temporalFiles(s.Data) {
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	s.Start()
	if a := asks.approve(asks.Contact, asked, 20*time.Second); !a.Accepted {
		t.Errorf("the question is lost: %+v", a)
	}
	asks.enforced(asked, true, 60*time.Second)
	acts.enforced(held, false, 90*time.Second)
	acts.about(held, 20*time.Second, threat.ResponseReleased)
	for _, f := range []*Front{asks, acts} {
		f.settled(90 * time.Second)
		f.released()
	}
	once(t, asks.sound(askedIDs), 1)
	once(t, acts.sound(heldIDs), 1)
	s.proved()
}

// once fails unless so many blocks were claimed, each of which came into force once.
func once(t *testing.T, n tally, blocks int) {
	t.Helper()
	if n.acts != blocks || n.appear != blocks {
		t.Errorf("%d claims and %d blocks instead of %d", n.acts, n.appear, blocks)
	}
}

// TestAnOlderTemporal starts on a copy of what Temporal kept before things went on: nothing is done a second time, and
// everything comes to its end.
func TestAnOlderTemporal(t *testing.T) {
	s := StartServer(t)
	admin := s.SignIn(s.Link)
	const asked, held, late, new1 = "203.0.113.90", "203.0.113.91", "203.0.113.92", "203.0.113.93"
	long := hasty()
	long.BlockFor = tenant.In(45 * time.Second)
	asks, acts := NewFront(admin, "asks", threat.ModeCollaborate, hasty()), NewFront(admin, "acts", threat.ModeAuthorize, long)
	askedIDs, heldIDs := asks.post(s, attack("1", asked)), acts.post(s, attack("1", held))
	asks.about(asked, 20*time.Second, threat.ResponseAsked)
	acts.about(held, 20*time.Second, threat.ResponseHeld)
	s.Stop()
	old := map[string][]byte{}
	for _, f := range temporalFiles(s.Data) {
		b, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		old[f] = b
	}
	s.Start()
	asks.approve(asks.Contact, asked, 20*time.Second)
	asks.enforced(asked, true, 30*time.Second)
	asks.about(asked, 60*time.Second, threat.ResponseReleased)
	r := acts.about(held, 20*time.Second, threat.ResponseHeld)
	if _, err := acts.Contact.Release(t.Context(), r.ID.String(), "it was a mistake"); err != nil {
		t.Fatal(err)
	}
	acts.about(held, 30*time.Second, threat.ResponseReleased)
	askedIDs = append(askedIDs, asks.post(s, attack("2", late))...)
	heldIDs = append(heldIDs, acts.post(s, attack("2", new1))...)
	asks.about(late, 20*time.Second, threat.ResponseAsked)
	acts.about(new1, 20*time.Second, threat.ResponseHeld)
	s.Kill()
	for _, f := range temporalFiles(s.Data) {
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if b, there := old[f]; there {
			if err := os.WriteFile(f, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.Start()
	asks.approve(asks.Contact, late, 20*time.Second)
	asks.enforced(late, true, 60*time.Second)
	acts.about(new1, 2*time.Minute, threat.ResponseReleased)
	for _, f := range []*Front{asks, acts} {
		f.settled(2 * time.Minute)
		f.released()
	}
	once(t, asks.sound(askedIDs), 2)
	once(t, acts.sound(heldIDs), 2)
	s.proved()
}
