package verb_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/threat"
	"github.com/firebreak/firebreak/internal/verb"
)

const asset = "0192f0c1-0000-7000-8000-000000000001"

// TestEveryVerbOfTheHouse holds that none of the verbs that were promised is missing, and that none stands twice.
func TestEveryVerbOfTheHouse(t *testing.T) {
	promised := strings.Fields(`block_ip block_range block_domain block_url isolate_host contain_from_neighbours
		quarantine_port scan_host run_query collect_evidence kill_process quarantine_file delete_file remove_service block_hash
		terminate_session disable_identity revoke_credentials force_reset quarantine_email block_sender protect_backup
		flag_restore_point detach_cloud`)
	require.ElementsMatch(t, promised, verb.Names())
}

// TestNoRowIsIncomplete fails for a verb without an undo class or a verification.
func TestNoRowIsIncomplete(t *testing.T) {
	for _, v := range verb.All() {
		for _, flaw := range flaws(v) {
			t.Errorf("%s: %s", v.Name, flaw)
		}
	}
}

// TestFlawsAreFound holds that the check above sees what it is for.
func TestFlawsAreFound(t *testing.T) {
	for name, edit := range map[string]func(v *verb.Verb){
		"no undo class":                  func(v *verb.Verb) { v.Undo = "" },
		"an unknown undo class":          func(v *verb.Verb) { v.Undo = "forget" },
		"no way back in words":           func(v *verb.Verb) { v.UndoText = "" },
		"no verification":                func(v *verb.Verb) { v.VerifyText = "" },
		"no word on the loss":            func(v *verb.Verb) { v.LossText = "" },
		"no title":                       func(v *verb.Verb) { v.Title = "" },
		"no class":                       func(v *verb.Verb) { v.Class = "" },
		"no targets":                     func(v *verb.Verb) { v.Targets = nil },
		"an unknown target":              func(v *verb.Verb) { v.Targets = []threat.TargetKind{"planet"} },
		"a containment without a length": func(v *verb.Verb) { v.MaxDuration = 0 },
		"a duration of what is over":     func(v *verb.Verb) { v.Once = true },
		"it lasts and cannot be undone":  func(v *verb.Verb) { v.Undo = verb.UndoNone },
		"destroys and holds":             func(v *verb.Verb) { v.Class = threat.Eradicate },
		"looks and holds":                func(v *verb.Verb) { v.Class = threat.Observe },
		"an enum of one":                 func(v *verb.Verb) { v.Params[0].Values = v.Params[0].Values[:1] },
		"no OpenC2":                      func(v *verb.Verb) { v.OpenC2 = "deny" },
		"no D3FEND for what it contains": func(v *verb.Verb) { v.D3FEND = "" },
		"D3FEND that is none":            func(v *verb.Verb) { v.D3FEND = "T1071" },
		"no OCSF class":                  func(v *verb.Verb) { v.OCSFClass = 2004 },
		"no OCSF activity":               func(v *verb.Verb) { v.OCSFAction = 0 },
	} {
		v, _ := verb.Find(verb.BlockIP)
		v.Params = slices.Clone(v.Params)
		edit(&v)
		require.NotEmpty(t, flaws(v), name)
	}
}

var (
	openC2 = regexp.MustCompile(`^(scan|query|deny|contain|stop|delete|set|copy) ((x-firebreak:)?[a-z0-9_]+)$`)
	d3fend = regexp.MustCompile(`^(D3-[A-Z]{2,6})(, D3-[A-Z]{2,6})*$`)
)

// flaws lists what a row lacks, and where it contradicts itself.
func flaws(v verb.Verb) (out []string) {
	bad := func(is bool, what string) {
		if is {
			out = append(out, what)
		}
	}
	bad(v.Title == "" || v.UndoText == "" || v.LossText == "", "it lacks words")
	bad(v.VerifyText == "", "nothing proves it")
	bad(!slices.Contains(verb.Undos, v.Undo), "it has no undo class")
	bad(!slices.Contains([]threat.Class{threat.Observe, threat.Contain, threat.Eradicate, threat.Recover}, v.Class), "it has no class")
	bad(len(v.Targets) == 0, "it acts on nothing")
	for _, k := range v.Targets {
		bad(!slices.Contains(threat.TargetKinds, k), "it acts on an unknown kind of target")
	}
	if v.Once {
		bad(v.MinDuration != 0 || v.MaxDuration != 0, "it is done once and has a duration")
		bad(v.Within <= 0, "it has no time in which to be done")
		bad(v.Undo != verb.UndoNone, "it is over when it is done and can be taken back")
	} else {
		bad(v.MinDuration <= 0 || v.MaxDuration < v.MinDuration, "it holds and has no duration")
		bad(v.Within != 0, "it holds and has a time in which to be done")
		bad(v.Undo == verb.UndoNone, "it holds and cannot be taken back")
		bad(v.Class == threat.Eradicate || v.Class == threat.Observe, "its class does not hold anything")
	}
	bad(v.Class == threat.Eradicate && v.Undo != verb.UndoNone, "it destroys and can be taken back")
	bad(v.Class == threat.Observe && v.OCSFAction != 5, "it only looks and OCSF calls it something else")
	bad(v.Class != threat.Observe && v.OCSFAction == 5, "it acts and OCSF calls it a look")
	bad(v.OCSFAction < 1 || v.OCSFAction > 5 || v.OCSFClass < 7001 || v.OCSFClass > 7004, "OCSF does not know it")
	bad(!openC2.MatchString(v.OpenC2), "OpenC2 does not know it")
	bad(v.D3FEND != "" && !d3fend.MatchString(v.D3FEND), "D3FEND does not know it")
	bad(v.D3FEND == "" && v.Class != threat.Observe && v.Name != verb.RemoveService, "no D3FEND countermeasure is named")
	seen := map[string]bool{}
	for _, p := range v.Params {
		bad(p.Name == "" || p.Meaning == "" || seen[p.Name], "a parameter lacks its name or meaning, or stands twice")
		seen[p.Name] = true
		bad(!slices.Contains(verb.ParamKinds, p.Kind), "a parameter has no kind")
		bad((p.Kind == verb.ParamEnum) != (len(p.Values) > 1), "a parameter's values are not those of its kind")
		limited := slices.Contains([]verb.ParamKind{verb.ParamText, verb.ParamIPs, verb.ParamDomains, verb.ParamDuration}, p.Kind)
		bad(limited != (p.Max > 0), "a parameter has no limit, or one that it does not need")
		bad((p.Kind == verb.ParamDuration) != (p.Unit == "s"), "a number lacks its unit")
	}
	return out
}

func TestWhatIsDestroyedHasARightOfItsOwn(t *testing.T) {
	var got []string
	for _, v := range verb.All() {
		if v.Class == threat.Eradicate {
			got = append(got, v.Name)
		}
	}
	require.ElementsMatch(t, []string{verb.KillProcess, verb.DeleteFile, verb.RemoveService, verb.RevokeCredentials}, got)
}

func TestCheck(t *testing.T) {
	hour := time.Hour
	hash := strings.Repeat("ab", 32)
	for name, c := range map[string]struct {
		in     threat.Action
		place  string // of the fault; "" when it passes
		kind   threat.FaultKind
		target string
		params map[string]string
	}{
		"an address":           {in: action(verb.BlockIP, threat.TargetIP, "::ffff:203.0.113.9", hour), target: "203.0.113.9", params: m("direction", "both")},
		"a range":              {in: action(verb.BlockRange, threat.TargetRange, "203.0.113.77/24", hour), target: "203.0.113.0/24", params: m("direction", "both")},
		"an unknown verb":      {in: action("format_disk", threat.TargetIP, "203.0.113.9", hour), place: "/verb", kind: threat.Unsupported},
		"a wrong kind":         {in: action(verb.BlockIP, threat.TargetDomain, "bad.example", hour), place: "/target/kind"},
		"no duration":          {in: action(verb.BlockIP, threat.TargetIP, "203.0.113.9", 0), place: "/duration"},
		"too long":             {in: action(verb.BlockIP, threat.TargetIP, "203.0.113.9", 31*24*hour), place: "/duration"},
		"a duration of a scan": {in: action(verb.ScanHost, threat.TargetAsset, asset, hour), place: "/duration"},
		"a scan":               {in: action(verb.ScanHost, threat.TargetAsset, strings.ToUpper(asset), 0), target: asset, params: m("depth", "quick")},
		"a query without one":  {in: action(verb.RunQuery, threat.TargetAsset, asset, 0), place: "/params/query"},
		"a query": {in: with(action(verb.RunQuery, threat.TargetAsset, asset, 0), "query", "select 1"), target: asset,
			params: m("query", "select 1", "language", "osquery")},
		"a query too long": {in: with(action(verb.RunQuery, threat.TargetAsset, asset, 0), "query", strings.Repeat("x", 4001)), place: "/params/query"},
		"exceptions": {in: with(action(verb.IsolateHost, threat.TargetAsset, asset, hour), "exceptions", "10.0.0.2, ::ffff:10.0.0.1,10.0.0.2,10.1.0.9/16"),
			target: asset, params: m("exceptions", "10.0.0.1,10.0.0.2,10.1.0.0/16")},
		"exceptions left empty": {in: with(action(verb.IsolateHost, threat.TargetAsset, asset, hour), "exceptions", ""), target: asset, params: m()},
		"an exception's name":   {in: with(action(verb.IsolateHost, threat.TargetAsset, asset, hour), "exceptions", "here"), place: "/params/exceptions"},
		"every host":            {in: action(verb.IsolateHost, threat.TargetAsset, threat.EveryHost, hour), place: "/target/value"},
		"another parameter":     {in: with(action(verb.BlockIP, threat.TargetIP, "203.0.113.9", hour), "color", "red"), place: "/params"},
		"not one of the values": {in: with(action(verb.BlockIP, threat.TargetIP, "203.0.113.9", hour), "direction", "up"), place: "/params/direction"},
		"evidence of a process": {in: with(with(action(verb.CollectEvidence, threat.TargetAsset, asset, 0), "what", "memory"), "process", "4711@2026-03-02T09:00:00+01:00"),
			target: asset, params: m("what", "memory", "process", "4711@2026-03-02T08:00:00.000Z")},
		"evidence of a file": {in: with(with(action(verb.CollectEvidence, threat.TargetAsset, asset, 0), "what", "file"), "path", "c:/x/y.exe"),
			target: asset, params: m("what", "file", "path", `C:\x\y.exe`)},
		"evidence of a file without it": {in: with(action(verb.CollectEvidence, threat.TargetAsset, asset, 0), "what", "file"), place: "/params/path"},
		"a file":                        {in: action(verb.DeleteFile, threat.TargetFile, asset+"/"+hash+":/tmp/x", 0), target: asset + "/" + hash + ":/tmp/x", params: m()},
		"restore points": {in: with(action(verb.FlagRestorePoint, threat.TargetBackup, "nightly", hour), "from", "2026-03-02T09:00:00+01:00"),
			target: "nightly", params: m("from", "2026-03-02T08:00:00Z")},
		"restore points of no time": {in: with(action(verb.FlagRestorePoint, threat.TargetBackup, "nightly", hour), "from", "monday"), place: "/params/from"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := verb.Check(c.in)
			if c.place != "" {
				require.Error(t, err)
				f, ok := err.(*threat.Fault)
				require.True(t, ok)
				require.Equal(t, c.place, f.Place, "%v", err)
				if c.kind == "" {
					c.kind = threat.Invalid
				}
				require.Equal(t, c.kind, f.Kind)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.target, got.Target.Value)
			require.Equal(t, c.params, got.Params)
			_, on := got.Target.Asset()
			require.Equal(t, on, got.Target.AssetID.Valid)
			again, err := verb.Check(got)
			require.NoError(t, err)
			require.Equal(t, got, again, "what is canonical stays")
		})
	}
}

func TestWindow(t *testing.T) {
	require.Equal(t, time.Hour, verb.Window(action(verb.BlockIP, threat.TargetIP, "203.0.113.9", time.Hour)))
	require.Equal(t, 24*time.Hour, verb.Window(action(verb.ScanHost, threat.TargetAsset, asset, 0)))
	require.True(t, verb.Once(verb.ScanHost))
	require.False(t, verb.Once(verb.IsolateHost))
}

// TestTheTableIsNobodysToChange holds that what All gives is the caller's.
func TestTheTableIsNobodysToChange(t *testing.T) {
	verb.All()[0].Name = "x"
	require.Equal(t, verb.BlockIP, verb.Names()[0])
}

func action(v string, k threat.TargetKind, value string, d time.Duration) threat.Action {
	return threat.Action{Verb: v, Target: threat.Target{Kind: k, Value: value}, Duration: d}
}

func with(a threat.Action, name, value string) threat.Action {
	p := map[string]string{name: value}
	for k, v := range a.Params {
		p[k] = v
	}
	a.Params = p
	return a
}

func m(pairs ...string) map[string]string {
	out := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = pairs[i+1]
	}
	return out
}
