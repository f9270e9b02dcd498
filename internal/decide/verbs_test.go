package decide

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/guard"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

// onHost is a response about a thing of a workstation that the world has.
func onHost(w *world, name string, kind threat.TargetKind, rest string) threat.Response {
	host := threat.Asset{ID: uuid.MustParse("0192f0c1-0000-7000-8000-00000000000a"), Kind: "host", Name: "laptop-7", Role: threat.RoleWorkstation, Managed: true}
	w.assets = []threat.Asset{host}
	r := w.response(name, string(kind), host.ID.String()+rest)
	r.Target.AssetID = uuid.NullUUID{UUID: host.ID, Valid: true}
	r.Duration, r.Params = 0, nil
	return r
}

// TestWhatIsDoneOnceHasNoDuration goes over every class: what only looks is done at once, what cannot be undone is asked about
// where that was not granted.
func TestWhatIsDoneOnceHasNoDuration(t *testing.T) {
	engine := builtIn(t)
	for _, c := range []struct {
		verb, rest string
		kind       threat.TargetKind
		eradicate  bool
		want       threat.Effectuate
	}{
		{verb.ScanHost, "", threat.TargetAsset, false, threat.Execute},
		{verb.CollectEvidence, "", threat.TargetAsset, false, threat.Execute},
		{verb.KillProcess, "/4711@2026-03-02T08:00:00.000Z", threat.TargetProcess, false, threat.Ask},
		{verb.KillProcess, "/4711@2026-03-02T08:00:00.000Z", threat.TargetProcess, true, threat.Execute},
		{verb.DeleteFile, "/" + strings.Repeat("ab", 32) + ":/tmp/x", threat.TargetFile, true, threat.Execute},
		{verb.TerminateSession, "/c4", threat.TargetSession, false, threat.Execute},
	} {
		w := newWorld()
		w.state.Mode, w.state.Eradicate = threat.ModeAuthorize, c.eradicate
		s, _ := newService(t, w, engine)
		d, err := s.Respond(t.Context(), onHost(w, c.verb, c.kind, c.rest))
		if err != nil {
			t.Fatal(err)
		}
		if d.Effect != c.want || d.Duration != 0 {
			t.Errorf("%s: %s for %s; want %s for no time: %v", c.verb, d.Effect, d.Duration, c.want, d.Reasons)
		}
	}
	w := newWorld()
	w.state.Mode = threat.ModeAuthorize
	s, _ := newService(t, w, engine)
	if d, err := s.Respond(t.Context(), onHost(w, verb.IsolateHost, threat.TargetAsset, "")); err != nil || d.Duration < time.Second || d.Effect != threat.Execute {
		t.Errorf("a host's isolation: %+v, %v", d, err)
	}
}

// TestOneSensorsWordIsAskedAbout: what goes beyond one sensor's part is not denied, and not done: people are asked, and told
// why.
func TestOneSensorsWordIsAskedAbout(t *testing.T) {
	w := newWorld()
	w.state.Mode = threat.ModeAuthorize
	s, _ := newService(t, w, builtIn(t))
	r := onHost(w, verb.IsolateHost, threat.TargetAsset, "")
	w.cut = guard.Shares{Sensor: "edr-1", Classes: []guard.Share{{Class: "workstation", Total: 40, Adds: 1, Case: 1, Sensor: 4}}}
	d, err := s.Respond(t.Context(), r)
	if err != nil || d.Effect != threat.Ask || !strings.Contains(strings.Join(d.Reasons, " "), "one sensor's word alone") {
		t.Fatalf("%+v, %v", d, err)
	}
	w.cut.Classes[0].Case = 10
	if d, err = s.Respond(t.Context(), r); err != nil || d.Effect != threat.Deny || d.Guard != guard.CasePart || d.Narrower == "" {
		t.Fatalf("%+v, %v", d, err)
	}
}

// TestKeyRolesAreAskedAboutWhateverTheVerb: also in authorize.
func TestKeyRolesAreAskedAboutWhateverTheVerb(t *testing.T) {
	engine := builtIn(t)
	for _, role := range []threat.AssetRole{threat.RoleDomainController, threat.RoleHypervisor, threat.RoleVPN, threat.RoleDNS, threat.RoleBackup, threat.RoleUnknownAsset} {
		w := newWorld()
		w.state.Mode = threat.ModeAuthorize
		s, _ := newService(t, w, engine)
		r := onHost(w, verb.IsolateHost, threat.TargetAsset, "")
		w.assets[0].Role = role
		if d, err := s.Respond(t.Context(), r); err != nil || d.Effect != threat.Ask {
			t.Errorf("%s: %+v, %v", role, d, err)
		}
	}
}
