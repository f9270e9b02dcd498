//go:build e2e

package e2e

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/firebreak/firebreak/internal/api/wire"
	"github.com/firebreak/firebreak/internal/threat"
)

// labTenant is one of the lab's tenants as the administrator sees it.
type labTenant struct {
	*User
	slug string
	t    *testing.T
}

func (x labTenant) cases() []wire.Case {
	x.t.Helper()
	return must[wire.Page[wire.Case]](x.t)(x.Cases(x.t.Context(), x.slug, "", "", 0)).Items
}

// responses waits until every response of the tenant's one case stands where it should; there are two, one on the address
// and one on the name of the controller.
func (x labTenant) responses(most time.Duration, want threat.ResponseState) []wire.Response {
	x.t.Helper()
	var list []wire.Response
	Eventually(x.t, most, "the responses of "+x.slug+" are "+string(want), func() bool {
		cases := x.cases()
		if len(cases) > 1 {
			x.t.Fatalf("%s has %d cases", x.slug, len(cases))
		}
		if len(cases) == 0 {
			return false
		}
		list = must[[]wire.Response](x.t)(x.Responses(x.t.Context(), cases[0].ID.String()))
		for _, r := range list {
			if r.State.Terminal() && r.State != want {
				x.t.Fatalf("%s: %s %s ended as %s: %s\n%s", x.slug, r.Verb, r.Target.Value, r.State, r.Why,
					x.Say("case", "show", cases[0].Name))
			}
			if r.State != want {
				return false
			}
		}
		return len(list) >= 2
	})
	return list
}

func (x labTenant) journal(kind threat.EntryKind, text string) int {
	x.t.Helper()
	page := must[wire.JournalPage](x.t)(x.Journal(x.t.Context(), x.slug, 0, 500))
	n := 0
	for _, e := range page.Items {
		if e.Kind == kind && strings.Contains(string(e.Payload), text) {
			n++
		}
	}
	return n
}

// atNight is the panel of the scenario that asks.
const atNight = `article[aria-labelledby="s-night-c2"]`

// TestTheLabPlaysItsScenarios plays all three at once, as `make run` offers them: one waits for a click, one acts at once,
// and one acts since nobody answers.
func TestTheLabPlaysItsScenarios(t *testing.T) {
	s := StartServer(t, "--lab")
	admin := s.SignIn(s.Link)
	page := s.NewPage(8 * time.Minute)
	page.Open("/lab")
	for _, scenario := range []string{"authorize", "unreachable", "night-c2"} {
		page.Click("#play-" + scenario)
	}
	page.Shows(pageTime, "#hosts", "nas-cam-01")
	page.Click(".people form button")
	page.Shows(pageTime, "header", "Nina Night (simulated)")
	page.Open("/lab")
	page.Shows(time.Minute, atNight, "scans 4 neighbours")
	page.Picture("1-scan")

	night := labTenant{admin, "lab-night", t}
	page.Open("/")
	page.Shows(time.Minute, "#mine", "Block an address", "Block a domain", "Simulated")
	page.Picture("2-queue")
	for range 2 {
		page.Click("#mine .card a.button.primary")
		page.Click("#approve")
		page.Shows(pageTime, "main", "Approved: it is being done")
		page.Open("/")
	}
	page.Shows(time.Minute, "#mine", "Nothing waits for your decision.")
	list := night.responses(time.Minute, threat.ResponseHeld)
	page.Open("/lab")
	page.Shows(time.Minute, atNight, "The scan stops for want of orders.")
	for _, r := range list {
		page.Shows(pageTime, "#firewall", r.Target.Value)
	}
	page.Picture("3-blocked")
	curl := strings.Fields(page.Text("#firewall pre"))
	if len(curl) != 2 || curl[0] != "curl" {
		t.Fatalf("the page tells to run %q", curl)
	}
	out, err := exec.CommandContext(t.Context(), program(t, "curl", "curl"), "-sS", curl[1]).CombinedOutput()
	if err != nil || !regexp.MustCompile(`(?m)^203\.0\.113\.\d+$`).Match(out) {
		t.Errorf("curl: %v: %s", err, out)
	}
	page.Open("/cases/" + night.cases()[0].Name)
	page.Shows(pageTime, "#head", "Contained", "Simulated")
	page.Shows(pageTime, "#responses", "Enforced")
	page.Picture("4-case")

	page.Open("/lab")
	page.Shows(3*time.Minute, atNight, "The containment was released, and the attack is over.")
	page.Picture("5-released")
	night.responses(time.Minute, threat.ResponseReleased)

	authorize := labTenant{admin, "lab-authorize", t}
	for _, r := range authorize.responses(3*time.Minute, threat.ResponseReleased) {
		if r.Basis != threat.BasisMode {
			t.Errorf("in authorize, %s rests on %q", r.Verb, r.Basis)
		}
	}
	if n := authorize.journal(threat.EntryRequestOpened, ""); n != 0 {
		t.Errorf("in authorize, people were asked %d times", n)
	}
	unreachable := labTenant{admin, "lab-unreachable", t}
	for _, r := range unreachable.responses(3*time.Minute, threat.ResponseReleased) {
		if r.Basis != threat.BasisUnreachable {
			t.Errorf("in collaborate_unreachable, %s rests on %q", r.Verb, r.Basis)
		}
	}
	if n := unreachable.journal(threat.EntryAttempt, "accepted"); n < 4 {
		t.Errorf("two people over two channels were tried %d times", n)
	}
	for _, x := range []labTenant{night, authorize, unreachable} {
		k := x.cases()[0]
		t.Logf("%s\n%s", x.slug, x.Say("case", "show", k.Name))
		if !k.Simulated {
			t.Errorf("%s is not marked as simulated", k.Name)
		}
	}
	s.VerifyJournal()
	s.Stop()
}
