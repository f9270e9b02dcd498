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

// TestTortureKills is TestTenKills for long: customers after customers on one server, whose data grow.
func TestTortureKills(t *testing.T) {
	v := os.Getenv(TortureEnv)
	if v == "" {
		t.Skipf("takes many minutes: make torture sets %s", TortureEnv)
	}
	left, err := strconv.Atoi(v)
	if err != nil || left < 1 {
		t.Fatalf("%s is no number of kills: %q", TortureEnv, v)
	}
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
