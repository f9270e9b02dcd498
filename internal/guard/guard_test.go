package guard_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/guard"
	"github.com/firebreak/firebreak/internal/tenant"
	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

var (
	laptop = asset("laptop-7", threat.RoleWorkstation, "10.1.2.3")
	vpn    = asset("gate-1", threat.RoleVPN, "198.51.100.1")
)

func asset(name string, role threat.AssetRole, addresses ...string) threat.Asset {
	return threat.Asset{ID: threat.DerivedID("test", name), Kind: "host", Name: name, Role: role, Addresses: addresses, Managed: true}
}

// facts are those of an action that nothing stands against.
func facts(v string, k threat.TargetKind, value string, fns ...func(*guard.Facts)) guard.Facts {
	f := guard.Facts{Kind: threat.ClaimAct, State: threat.TenantState{Mode: threat.ModeAuthorize, Eradicate: true}, Basis: threat.BasisMode,
		Threat: threat.ThreatActive, Severity: threat.SeverityCritical,
		Settings: tenant.Effective(tenant.Settings{NeverBlock: []string{"192.0.2.10", "update.example.org"}, Egress: []string{"203.0.113.128/25"},
			Resolvers: []string{"9.9.9.9", "dns.corp.example"}, VPNPools: []string{"198.51.100.64/26"}, Administrators: []string{"root@corp.example", "it@corp.example"}}),
		Ours:   []string{"192.0.2.250", "firebreak.example.net"},
		Action: threat.Action{Verb: v, Duration: time.Hour, Connections: []uuid.UUID{uuid.New()}}}
	t, err := threat.Target{Kind: k, Value: value}.Canonical()
	if err != nil {
		panic(err)
	}
	f.Action.Target = t
	if verb.Once(v) {
		f.Action.Duration = 0
	}
	if id, on := t.Asset(); on {
		for _, a := range []threat.Asset{laptop, vpn} {
			if a.ID == id {
				f.Assets = []threat.Asset{a}
			}
		}
	}
	for _, fn := range fns {
		fn(&f)
	}
	return f
}

func onAsset(a threat.Asset) string { return a.ID.String() }

// TestDangerousSituations names each situation, the guard that stands against it, and that something narrower is offered.
func TestDangerousSituations(t *testing.T) {
	share := func(s guard.Share) func(*guard.Facts) {
		return func(f *guard.Facts) { f.Shares.Classes = []guard.Share{s} }
	}
	for name, c := range map[string]struct {
		f     guard.Facts
		guard string // "" passes
		plain bool   // there is nothing narrower to offer
	}{
		"an attacker's address":                 {f: facts(verb.BlockIP, threat.TargetIP, "203.0.113.9")},
		"half of the internet":                  {f: facts(verb.BlockRange, threat.TargetRange, "0.0.0.0/1"), guard: guard.Lockout, plain: true},
		"the other half":                        {f: facts(verb.BlockRange, threat.TargetRange, "128.0.0.0/1"), guard: guard.Lockout, plain: true},
		"all of it, mapped":                     {f: facts(verb.BlockRange, threat.TargetRange, "::ffff:0.0.0.0/96"), guard: guard.Lockout, plain: true},
		"all of it, through NAT64":              {f: facts(verb.BlockRange, threat.TargetRange, "64:ff9b::/96"), guard: guard.Lockout, plain: true},
		"all of it, through 6to4":               {f: facts(verb.BlockRange, threat.TargetRange, "2002::/32"), guard: guard.Lockout, plain: true},
		"half of IPv6":                          {f: facts(verb.BlockRange, threat.TargetRange, "8000::/1"), guard: guard.Lockout, plain: true},
		"a provider's /12":                      {f: facts(verb.BlockRange, threat.TargetRange, "45.0.0.0/12"), guard: guard.Lockout},
		"a network of the attacker":             {f: facts(verb.BlockRange, threat.TargetRange, "45.7.0.0/24")},
		"a network with loopback in it":         {f: facts(verb.BlockRange, threat.TargetRange, "127.0.0.0/24"), guard: guard.Lockout, plain: true},
		"loopback":                              {f: facts(verb.BlockIP, threat.TargetIP, "127.0.0.1"), guard: guard.Lockout, plain: true},
		"multicast":                             {f: facts(verb.BlockIP, threat.TargetIP, "ff02::1"), guard: guard.Lockout, plain: true},
		"our own address":                       {f: facts(verb.BlockIP, threat.TargetIP, "192.0.2.250"), guard: guard.Lockout},
		"our own address, through NAT64":        {f: facts(verb.BlockIP, threat.TargetIP, "64:ff9b::c000:2fa"), guard: guard.Lockout},
		"our own address in a range":            {f: facts(verb.BlockRange, threat.TargetRange, "192.0.2.240/28"), guard: guard.Lockout},
		"our own name":                          {f: facts(verb.BlockDomain, threat.TargetDomain, "example.net"), guard: guard.Lockout},
		"a page of ours":                        {f: facts(verb.BlockURL, threat.TargetURL, "https://firebreak.example.net/x"), guard: guard.Lockout},
		"the tenant's way out":                  {f: facts(verb.BlockIP, threat.TargetIP, "203.0.113.200"), guard: guard.NeverBlock},
		"the tenant's way out, mapped":          {f: facts(verb.BlockIP, threat.TargetIP, "::ffff:203.0.113.200"), guard: guard.NeverBlock},
		"the tenant's way out in a range":       {f: facts(verb.BlockRange, threat.TargetRange, "203.0.0.0/16"), guard: guard.NeverBlock},
		"the tenant's resolver":                 {f: facts(verb.BlockIP, threat.TargetIP, "9.9.9.9"), guard: guard.NeverBlock},
		"the tenant's resolver by name":         {f: facts(verb.BlockDomain, threat.TargetDomain, "corp.example"), guard: guard.NeverBlock},
		"the VPN pool":                          {f: facts(verb.BlockRange, threat.TargetRange, "198.51.100.0/24"), guard: guard.NeverBlock},
		"an allowed address in a blocked range": {f: facts(verb.BlockRange, threat.TargetRange, "192.0.2.0/28"), guard: guard.NeverBlock},
		"an allowed address as a URL":           {f: facts(verb.BlockURL, threat.TargetURL, "http://192.0.2.10:8080/x"), guard: guard.NeverBlock},
		"a page of an allowed name":             {f: facts(verb.BlockURL, threat.TargetURL, "https://update.example.org/x"), guard: guard.NeverBlock},
		"a name below an allowed one":           {f: facts(verb.BlockDomain, threat.TargetDomain, "evil.update.example.org")},
		"the mail of a name that is the tenant's": {f: facts(verb.BlockSender, threat.TargetSender, "org.example", func(f *guard.Facts) {
			f.Settings.NeverBlock = []string{"org.example"}
		}), guard: guard.NeverBlock},
		"one sender of it": {f: facts(verb.BlockSender, threat.TargetSender, "x@update.example.org"), guard: guard.NeverBlock},
		"a name that leads to the tenant's way out": {f: facts(verb.BlockDomain, threat.TargetDomain, "bad.example", func(f *guard.Facts) {
			f.Resolved = []string{"203.0.113.200"}
		}), guard: guard.NeverBlock},
		"a name that leads elsewhere": {f: facts(verb.BlockDomain, threat.TargetDomain, "bad.example", func(f *guard.Facts) {
			f.Resolved = []string{"45.7.0.1"}
		})},
		"a VPN gateway that has a listed address": {f: facts(verb.IsolateHost, threat.TargetAsset, onAsset(vpn), func(f *guard.Facts) {
			f.Settings.Egress = []string{"198.51.100.1"}
		}), guard: guard.NeverBlock},
		"a host":                          {f: facts(verb.IsolateHost, threat.TargetAsset, onAsset(laptop))},
		"a host that is nobody's":         {f: facts(verb.IsolateHost, threat.TargetAsset, uuid.NewString()), guard: guard.NotOurs},
		"a process on a host of nobody's": {f: facts(verb.KillProcess, threat.TargetProcess, uuid.NewString()+"/1@2026-03-02T08:00:00Z"), guard: guard.NotOurs},
		"a scan of a host of nobody's":    {f: facts(verb.ScanHost, threat.TargetAsset, uuid.NewString()), guard: guard.NotOurs},
		"an internal address of nobody's": {f: facts(verb.BlockIP, threat.TargetIP, "10.9.9.9"), guard: guard.NotOurs},
		"a wide range inside":             {f: facts(verb.BlockRange, threat.TargetRange, "10.0.0.0/16", func(f *guard.Facts) { f.Assets = []threat.Asset{laptop} }), guard: guard.Lockout},
		"a protected host":                {f: facts(verb.IsolateHost, threat.TargetAsset, onAsset(laptop), protectedNow), guard: guard.Protected},
		"a process on a protected host":   {f: facts(verb.KillProcess, threat.TargetProcess, onAsset(laptop)+"/1@2026-03-02T08:00:00Z", protectedNow), guard: guard.Protected},
		"a scan of a protected host":      {f: facts(verb.ScanHost, threat.TargetAsset, onAsset(laptop), protectedNow)},
		"a protected account": {f: facts(verb.DisableIdentity, threat.TargetAccount, "ceo@corp.example", func(f *guard.Facts) {
			f.Assets = []threat.Asset{{ID: uuid.New(), Kind: "user", Name: "ceo@corp.example", Protected: true}}
		}), guard: guard.Protected},
		"one of two administrators": {f: facts(verb.DisableIdentity, threat.TargetAccount, "root@corp.example")},
		"the last administrator": {f: facts(verb.DisableIdentity, threat.TargetAccount, "root@corp.example", func(f *guard.Facts) {
			f.Shares.Disabled = []string{"it@corp.example"}
		}), guard: guard.LastAdmin},
		"the last administrator's credentials": {f: facts(verb.RevokeCredentials, threat.TargetAccount, "ROOT@corp.example", func(f *guard.Facts) {
			f.Shares.Disabled = []string{"it@corp.example"}
		}), guard: guard.LastAdmin},
		"the last administrator's session": {f: facts(verb.TerminateSession, threat.TargetSession, "account:root@corp.example/1", func(f *guard.Facts) {
			f.Shares.Disabled = []string{"it@corp.example"}
		})},
		"the fourth of eighteen accounts": {f: facts(verb.DisableIdentity, threat.TargetAccount, "u4@corp.example",
			share(guard.Share{Class: "user", Total: 18, Adds: 1, Case: 3}))},
		"the fifth of eighteen accounts": {f: facts(verb.DisableIdentity, threat.TargetAccount, "u5@corp.example",
			share(guard.Share{Class: "user", Total: 18, Adds: 1, Case: 4})), guard: guard.CasePart},
		"eighteen accounts that nobody listed": {f: facts(verb.DisableIdentity, threat.TargetAccount, "u4@corp.example",
			share(guard.Share{Class: guard.UnlistedClass, Adds: 1, Case: guard.UnlistedPart})), guard: guard.CasePart},
		"the only workstation": {f: facts(verb.IsolateHost, threat.TargetAsset, onAsset(laptop),
			share(guard.Share{Class: "workstation", Total: 1, Adds: 1}))},
		"the same one over another device": {f: facts(verb.IsolateHost, threat.TargetAsset, onAsset(laptop),
			share(guard.Share{Class: "workstation", Total: 4, Case: 4}))},
		"a range with half of the servers": {f: facts(verb.BlockRange, threat.TargetRange, "10.1.2.0/24", func(f *guard.Facts) {
			f.Assets = []threat.Asset{laptop}
			f.Shares.Classes = []guard.Share{{Class: "server", Total: 40, Adds: 20}}
		}), guard: guard.CasePart},
		"one sensor's word alone": {f: facts(verb.IsolateHost, threat.TargetAsset, onAsset(laptop), func(f *guard.Facts) {
			f.Shares = guard.Shares{Sensor: "edr-1", Classes: []guard.Share{{Class: "workstation", Total: 40, Adds: 1, Case: 1, Sensor: 4}}}
		}), guard: guard.SensorPart},
		"one sensor's word and a person's": {f: facts(verb.IsolateHost, threat.TargetAsset, onAsset(laptop), func(f *guard.Facts) {
			f.Basis = threat.BasisApproval
			f.Shares = guard.Shares{Sensor: "edr-1", Classes: []guard.Share{{Class: "workstation", Total: 40, Adds: 1, Case: 1, Sensor: 4}}}
		})},
		"two sensors' word": {f: facts(verb.IsolateHost, threat.TargetAsset, onAsset(laptop), func(f *guard.Facts) {
			f.Shares = guard.Shares{Classes: []guard.Share{{Class: "workstation", Total: 40, Adds: 1, Case: 1}}}
		})},
		"no part at all": {f: facts(verb.IsolateHost, threat.TargetAsset, onAsset(laptop), share(guard.Share{Class: "workstation", Total: 4, Adds: 1}),
			func(f *guard.Facts) { none := 0; f.Settings.CasePart = &none }), guard: guard.CasePart},
		"what is not granted": {f: facts(verb.DeleteFile, threat.TargetFile, onAsset(laptop)+"/"+strings.Repeat("ab", 32)+":/tmp/x",
			func(f *guard.Facts) { f.State.Eradicate = false }), guard: guard.Mode},
		"a scan in notify":      {f: facts(verb.ScanHost, threat.TargetAsset, onAsset(laptop), func(f *guard.Facts) { f.State.Mode = threat.ModeNotify })},
		"an isolation for good": {f: facts(verb.IsolateHost, threat.TargetAsset, onAsset(laptop), func(f *guard.Facts) { f.Action.Duration = 0 }), guard: guard.Shape, plain: true},
		"a kill with a length": {f: facts(verb.KillProcess, threat.TargetProcess, onAsset(laptop)+"/1@2026-03-02T08:00:00Z",
			func(f *guard.Facts) { f.Action.Duration = time.Hour }), guard: guard.Shape, plain: true},
		"a spent budget":           {f: facts(verb.IsolateHost, threat.TargetAsset, onAsset(laptop), func(f *guard.Facts) { f.UsedClass = 50 }), guard: guard.Budget},
		"a spent budget, and eyes": {f: facts(verb.CollectEvidence, threat.TargetAsset, onAsset(laptop), func(f *guard.Facts) { f.UsedClass = 50 })},
	} {
		t.Run(name, func(t *testing.T) {
			v := guard.Check(c.f)
			require.Equal(t, c.guard, v.Guard, v.Why)
			if c.guard == "" {
				return
			}
			require.NotEmpty(t, v.Why)
			require.Contains(t, guard.Names, v.Guard)
			if !c.plain {
				require.NotEmpty(t, v.Narrower, "nothing narrower is offered: %s", v.Why)
			}
			c.f.Kind = threat.ClaimRelease
			require.True(t, guard.Check(c.f).OK(), "the way back is never barred")
		})
	}
}

func protectedNow(f *guard.Facts) {
	f.Assets[0].Protected = true
}

// TestEveryVerbIsUnderTheGuards holds that no verb passes where the stop switch is on, and none that changes anything where the
// mode is notify.
func TestEveryVerbIsUnderTheGuards(t *testing.T) {
	for _, v := range verb.All() {
		f := facts(v.Name, v.Targets[0], example(v.Targets[0]))
		f.State.Stopped = true
		require.Equal(t, guard.Stop, guard.Check(f).Guard, v.Name)
		f.State.Stopped, f.State.Mode = false, threat.ModeNotify
		if v.Class != threat.Observe {
			require.Equal(t, guard.Mode, guard.Check(f).Guard, v.Name)
		}
		f.State.Mode, f.Basis = threat.ModeCollaborate, threat.BasisMode
		if v.Class != threat.Observe {
			require.Equal(t, guard.Mode, guard.Check(f).Guard, v.Name)
		}
	}
}

func example(k threat.TargetKind) string {
	hash := strings.Repeat("ab", 32)
	return map[threat.TargetKind]string{threat.TargetIP: "203.0.113.9", threat.TargetRange: "45.7.0.0/24", threat.TargetDomain: "bad.example",
		threat.TargetURL: "https://bad.example/", threat.TargetAsset: onAsset(laptop), threat.TargetHash: hash, threat.TargetAccount: "u@corp.example",
		threat.TargetSession: "account:u@corp.example/1", threat.TargetFile: onAsset(laptop) + "/" + hash + ":/tmp/x",
		threat.TargetProcess: onAsset(laptop) + "/1@2026-03-02T08:00:00Z", threat.TargetService: onAsset(laptop) + "/evil", threat.TargetMessage: "u@corp.example/1",
		threat.TargetSender: "bad.example", threat.TargetPort: "sw/1", threat.TargetBackup: "nightly", threat.TargetResource: "i-0"}[k]
}

func TestRecheckOfWhatStands(t *testing.T) {
	a := facts(verb.BlockIP, threat.TargetIP, "203.0.113.9").Action
	set := tenant.Effective()
	require.True(t, guard.Recheck(a, set, nil, nil).OK())
	set.Egress = []string{"203.0.113.0/24"}
	require.Equal(t, guard.NeverBlock, guard.Recheck(a, set, nil, nil).Guard)
	require.Equal(t, guard.Lockout, guard.Recheck(a, tenant.Effective(), []string{"203.0.113.9"}, nil).Guard)
	require.Equal(t, guard.Protected, guard.Recheck(a, tenant.Effective(), nil, []threat.Asset{{Protected: true}}).Guard)
}

func TestUntil(t *testing.T) {
	now := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	require.Equal(t, now.Add(time.Hour), guard.Until(now, threat.Action{Verb: verb.BlockIP, Duration: time.Hour}))
	require.Equal(t, now.Add(24*time.Hour), guard.Until(now, threat.Action{Verb: verb.ScanHost}))
}
