//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

// TortureEnv says how many kills `make torture` takes.
const TortureEnv = "FIREBREAK_TORTURE"

// One customer's network lives through so many kills, and so many customers at once: more would spend the hour's budget of
// containments.
const (
	killsEach       = 20
	customersAtOnce = 3
)

// torture gives how many kills were asked for, or skips.
func torture(t *testing.T) int {
	t.Helper()
	v := os.Getenv(TortureEnv)
	if v == "" {
		t.Skipf("takes many minutes: make torture sets %s", TortureEnv)
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		t.Fatalf("%s is no number of kills: %q", TortureEnv, v)
	}
	return n
}

// TestTortureFrozen is TestAFrozenProcess for long.
func TestTortureFrozen(t *testing.T) { frozen(t, min(8, torture(t))) }

// TestTortureKills is TestTenKills for long: customers after customers on one server, whose data grow.
func TestTortureKills(t *testing.T) {
	left := torture(t)
	rng := seeded(t)
	s := StartServer(t)
	admin := s.SignIn(s.Link)
	var sum tally
	for i := 1; left > 0 && !t.Failed(); i++ {
		n := min(left, killsEach)
		sum = sum.plus(ordeal(t, admin, fmt.Sprintf("besieged-%d", i), rng, n, customersAtOnce))
		left -= n
		t.Logf("%d kills are left; so far %+v", left, sum)
	}
}
