package threat_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/firebreak/firebreak/internal/threat"
)

const (
	hostA = "0192f0c1-0000-7000-8000-00000000000a"
	hostB = "0192f0c1-0000-7000-8000-00000000000b"
)

var digits = strings.Repeat("0A", 32)

func TestTargetsHaveOneForm(t *testing.T) {
	low := strings.ToLower(digits)
	for _, c := range []struct {
		kind     threat.TargetKind
		in, want string
	}{
		{threat.TargetIP, "::ffff:203.0.113.9", "203.0.113.9"},
		{threat.TargetRange, "203.0.113.9", "203.0.113.9/32"},
		{threat.TargetRange, "::ffff:203.0.113.9/120", "203.0.113.0/24"},
		{threat.TargetDomain, "Bad.Example.", "bad.example"},
		{threat.TargetURL, "HTTPS://Bad.Example/A#x", "https://bad.example/A"},
		{threat.TargetAsset, "urn:uuid:" + strings.ToUpper(hostA), hostA},
		{threat.TargetHash, digits, low},
		{threat.TargetAccount, " CORP\\JDoe ", `corp\jdoe`},
		{threat.TargetProcess, hostA + "/4711@2026-03-02T09:00:00.1239+01:00", hostA + "/4711@2026-03-02T08:00:00.123Z"},
		{threat.TargetProcess, hostA + "/0004711@2026-03-02T08:00:00Z", hostA + "/4711@2026-03-02T08:00:00.000Z"},
		{threat.TargetProcess, hostA + "/sha256:" + digits, hostA + "/sha256:" + low},
		{threat.TargetFile, strings.ToUpper(hostA) + "/" + digits + ":/tmp/a:b", hostA + "/" + low + ":/tmp/a:b"},
		{threat.TargetFile, hostA + "/" + digits + `:c:/Temp\x.exe`, hostA + "/" + low + `:C:\Temp\x.exe`},
		{threat.TargetService, hostA + "/evil.service", hostA + "/evil.service"},
		{threat.TargetSession, hostA + "/c4", hostA + "/c4"},
		{threat.TargetSession, "account:HTTP/Web@Corp/c4", "account:http/web@corp/c4"},
		{threat.TargetMessage, "JDoe@Corp.Example/<a/B@x>", "jdoe@corp.example/a/B@x"},
		{threat.TargetSender, "X@Bad.Example", "x@bad.example"},
		{threat.TargetSender, "Bad.Example", "bad.example"},
		{threat.TargetPort, "SW-1/Gi1/0/12", "sw-1/Gi1/0/12"},
		{threat.TargetBackup, " nightly ", "nightly"},
		{threat.TargetResource, "arn:aws:ec2:eu-west-1:1:instance/i-0a", "arn:aws:ec2:eu-west-1:1:instance/i-0a"},
	} {
		got, err := threat.Target{Kind: c.kind, Value: c.in}.Canonical()
		require.NoError(t, err, "%s %s", c.kind, c.in)
		require.Equal(t, c.want, got.Value)
		again, err := got.Canonical()
		require.NoError(t, err)
		require.Equal(t, got, again)
		id, on := got.Asset()
		require.Equal(t, on, got.AssetID.Valid, c.in)
		if on {
			require.Equal(t, hostA, id.String())
		}
	}
}

func TestTargetsThatAreNone(t *testing.T) {
	for kind, values := range map[threat.TargetKind][]string{
		threat.TargetIP:       {"", "here", "fe80::1%eth0", "203.0.113.0/24"},
		threat.TargetRange:    {"", "::ffff:0.0.0.0/90", "10.0.0.0/33"},
		threat.TargetURL:      {"bad.example/a", "https://u:p@bad.example/"},
		threat.TargetAsset:    {"", "laptop-7", threat.EveryHost, uuid.Nil.String(), hostA + "/x"},
		threat.TargetHash:     {"", digits[1:], digits[2:], strings.Repeat("zz", 32)},
		threat.TargetAccount:  {"", " ", "a\nb", "a\u202eb", threat.EveryHost},
		threat.TargetProcess:  {hostA, hostA + "/4711", hostA + "/0@2026-03-02T08:00:00Z", hostA + "/-1@2026-03-02T08:00:00Z", hostA + "/4711@now", "laptop/4711@2026-03-02T08:00:00Z", hostA + "/sha256:00"},
		threat.TargetFile:     {hostA + "/" + digits, hostA + "/" + digits + ":", hostA + "/" + digits + ":tmp/x", hostA + "/" + digits + ":/tmp/../etc/passwd", hostA + "/" + digits + ":/tmp/", hostA + "/:/tmp/x", hostA + "/" + digits + ":/tmp/a\nb", hostA + "/" + digits + ":/"},
		threat.TargetService:  {hostA, hostA + "/", hostA + "/a b", hostA + "/../x", "x/evil"},
		threat.TargetSession:  {"", "c4", hostA + "/", hostA + "/a b", "account:/c4", "laptop/c4"},
		threat.TargetMessage:  {"jdoe@corp.example", "jdoe@corp.example/", "/x", "jdoe/x", "jdoe@corp.example/a b"},
		threat.TargetSender:   {"", "@bad.example", "x@bad", "a b@bad.example", "\"x\"@bad.example"},
		threat.TargetPort:     {"sw-1", "sw-1/", "/Gi1", "sw 1/Gi1"},
		threat.TargetBackup:   {"", " ", "a\x00b"},
		threat.TargetResource: {"", "a b"},
		"planet":              {"mars"},
	} {
		for _, v := range values {
			_, err := threat.Target{Kind: kind, Value: v}.Canonical()
			require.True(t, threat.Is(err, threat.Invalid), "%s %q: %v", kind, v, err)
		}
	}
	_, err := threat.Target{Kind: threat.TargetAsset, Value: hostA, AssetID: uuid.NullUUID{UUID: uuid.MustParse(hostB), Valid: true}}.Canonical()
	require.True(t, threat.Is(err, threat.Invalid), "one asset's name and another's id")
}

func TestTargetsAreReadBack(t *testing.T) {
	at := func(k threat.TargetKind, v string) threat.Target {
		c, err := threat.Target{Kind: k, Value: v}.Canonical()
		require.NoError(t, err)
		return c
	}
	p, err := at(threat.TargetProcess, hostA+"/4711@2026-03-02T08:00:00.5Z").Process()
	require.NoError(t, err)
	require.Equal(t, threat.Process{PID: 4711, Start: time.Date(2026, 3, 2, 8, 0, 0, 5e8, time.UTC)}, p)
	hash, path := at(threat.TargetFile, hostA+"/"+digits+":/tmp/a:b").File()
	require.Equal(t, []string{strings.ToLower(digits), "/tmp/a:b"}, []string{hash, path})
	require.Equal(t, "evil@1.service", at(threat.TargetService, hostA+"/evil@1.service").Service())
	id, account := at(threat.TargetSession, "account:http/web/c4").Session()
	require.Equal(t, []string{"c4", "http/web"}, []string{id, account})
	id, account = at(threat.TargetSession, hostA+"/c4").Session()
	require.Equal(t, []string{"c4", ""}, []string{id, account})
	mailbox, id := at(threat.TargetMessage, "a@b.example/<x/y@z>").Message()
	require.Equal(t, []string{"a@b.example", "x/y@z"}, []string{mailbox, id})
	device, port := at(threat.TargetPort, "sw/Gi1/0/1").Port()
	require.Equal(t, []string{"sw", "Gi1/0/1"}, []string{device, port})
}

// TestEffectsOfTwoHostsNeverMeet holds that what is on one host never has the key of what is on another, however an attacker
// named it.
func TestEffectsOfTwoHostsNeverMeet(t *testing.T) {
	kinds := []threat.TargetKind{threat.TargetAsset, threat.TargetFile, threat.TargetProcess, threat.TargetService, threat.TargetSession}
	name := rapid.StringMatching(`[a-z/:@. -]{1,20}`)
	rapid.Check(t, func(t *rapid.T) {
		made := map[uuid.UUID]threat.Target{}
		for _, host := range []string{hostA, hostB} {
			kind := rapid.SampledFrom(kinds).Draw(t, "kind")
			rest := map[threat.TargetKind]string{threat.TargetAsset: "", threat.TargetFile: "/" + digits + ":/" + name.Draw(t, "path"),
				threat.TargetProcess: "/4711@2026-03-02T08:00:00Z", threat.TargetService: "/" + name.Draw(t, "service"),
				threat.TargetSession: "/" + name.Draw(t, "session")}[kind]
			c, err := threat.Target{Kind: kind, Value: host + rest}.Canonical()
			if err != nil {
				continue
			}
			id := threat.EffectKey{Verb: "v", Target: c}.ID()
			if other, there := made[id]; there {
				t.Fatalf("%s and %s have one effect", other, c)
			}
			if got, _ := c.Asset(); got.String() != host {
				t.Fatalf("%s is on %s", c, got)
			}
			made[id] = c
		}
	})
}
