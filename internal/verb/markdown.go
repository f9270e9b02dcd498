package verb

import (
	"fmt"
	"strings"
	"time"

	"github.com/firebreak/firebreak/internal/threat"
)

// Markdown gives the table as docs/response.md has it: a table of all verbs, and a paragraph each. A test holds the two
// together.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| verb | what | class | acts on | how long | way back |\n|---|---|---|---|---|---|\n")
	for _, v := range table {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s | %s | %s | %s |\n", v.Name, v.Name, v.Title, v.Class, kinds(v.Targets), v.long(), v.Undo)
	}
	for _, v := range table {
		fmt.Fprintf(&b, "\n### %s\n\n%s%s. Class %s, on %s.\n\n", v.Name, strings.ToUpper(v.Title[:1]), v.Title[1:], v.Class, kinds(v.Targets))
		for _, p := range v.Params {
			fmt.Fprintf(&b, "- Parameter `%s` (%s): %s.\n", p.Name, p.words(), p.Meaning)
		}
		fmt.Fprintf(&b, "- How long: %s.\n- Way back (%s): %s.\n- Proof: %s.\n- If Firebreak is lost: %s.\n", v.lasts(), v.Undo, v.UndoText,
			v.VerifyText, v.LossText)
		if v.Cuts {
			b.WriteString("- It cuts off: one case may do so to a part of each class of assets only.\n")
		}
		fmt.Fprintf(&b, "- In the words of others: OpenC2 `%s`, OCSF class %d activity %d%s.\n", v.OpenC2, v.OCSFClass, v.OCSFAction, v.defends())
	}
	return b.String()
}

func (v Verb) long() string {
	if v.Once {
		return "once"
	}
	return "at most " + days(v.MaxDuration)
}

func (v Verb) lasts() string {
	if v.Once {
		return "done once; not seen to be done within " + days(v.Within) + ", it has failed and people are told"
	}
	return "for as long as was decided, at most " + days(v.MaxDuration)
}

func (v Verb) defends() string {
	if v.D3FEND == "" {
		return ""
	}
	return ", D3FEND " + v.D3FEND
}

func (p Param) words() string {
	need := ""
	if p.Required {
		need = ", needed"
	}
	switch p.Kind {
	case ParamEnum:
		return strings.Join(p.Values, ", ") + "; left out, " + p.Values[0]
	case ParamText:
		return fmt.Sprintf("text of at most %d bytes%s", p.Max, need)
	case ParamIPs:
		return fmt.Sprintf("addresses and ranges with commas, at most %d%s", p.Max, need)
	case ParamDomains:
		return fmt.Sprintf("domains with commas, at most %d%s", p.Max, need)
	case ParamDuration:
		return fmt.Sprintf("seconds, at most %d%s", p.Max, need)
	case ParamProcess:
		return "pid@start time, or sha256:hash" + need
	case ParamTime:
		return "RFC 3339" + need
	}
	return string(p.Kind) + need
}

func days(d time.Duration) string {
	switch {
	case d >= 24*time.Hour && d%(24*time.Hour) == 0 && d > 24*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d == time.Hour:
		return "an hour"
	}
	return fmt.Sprintf("%d hours", d/time.Hour)
}

// Targets gives the kinds of targets with what they are, as docs/response.md has them.
func Targets() string {
	var b strings.Builder
	b.WriteString("| kind | what it is | how it is written |\n|---|---|---|\n")
	for _, k := range threat.TargetKinds {
		fmt.Fprintf(&b, "| %s | %s | `%s` |\n", k, targets[k][0], targets[k][1])
	}
	return b.String()
}

var targets = map[threat.TargetKind][2]string{
	threat.TargetIP:       {"an address", "203.0.113.9"},
	threat.TargetRange:    {"a range of addresses", "203.0.113.0/24"},
	threat.TargetDomain:   {"a domain with all that is below it", "bad.example"},
	threat.TargetURL:      {"a web address", "https://bad.example/a"},
	threat.TargetAsset:    {"a host, by the id of the asset; its name is looked up", "0192f0c1-0000-7000-8000-000000000001"},
	threat.TargetHash:     {"a program, by its SHA-256", "<64 hexadecimal digits>"},
	threat.TargetAccount:  {"an account, as its directory names it", "jdoe@corp.example"},
	threat.TargetSession:  {"a login session on a host, or of an account", "<asset>/c4 or account:jdoe@corp.example/c4"},
	threat.TargetFile:     {"a file on a host, by hash and path", "<asset>/<SHA-256>:/tmp/x"},
	threat.TargetProcess:  {"a process on a host, by number and start, or by its program", "<asset>/4711@2026-03-02T08:00:00.120Z"},
	threat.TargetService:  {"a service on a host", "<asset>/evil.service"},
	threat.TargetMessage:  {"an e-mail in a mailbox", "jdoe@corp.example/20260302.1@bad.example"},
	threat.TargetSender:   {"a sender, or all of a domain", "x@bad.example"},
	threat.TargetPort:     {"a port of a switch", "sw-1/Gi1/0/12"},
	threat.TargetBackup:   {"a backup job, or one restore point", "nightly/2026-03-01"},
	threat.TargetResource: {"a machine in a cloud", "arn:aws:ec2:eu-west-1:1:instance/i-0a"},
}
