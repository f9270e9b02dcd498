package console

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/google/uuid"

	"github.com/firebreak/firebreak/internal/threat"
)

// targetRow is what something is done to.
type targetRow struct {
	Kind   string // in words
	Value  string
	Assets []assetLine // of the tenant, which it touches
}

// assetLine is an asset in a line, with the id that stays its own whatever it is called.
type assetLine struct {
	ID        string
	Name      string
	Role      string
	Managed   bool
	Protected bool
}

var targetKinds = map[threat.TargetKind]string{threat.TargetIP: "address", threat.TargetRange: "range",
	threat.TargetDomain: "domain", threat.TargetURL: "URL", threat.TargetAsset: "asset", threat.TargetHash: "program",
	threat.TargetAccount: "account", threat.TargetSession: "session", threat.TargetFile: "file", threat.TargetProcess: "process",
	threat.TargetService: "service", threat.TargetMessage: "e-mail", threat.TargetSender: "sender", threat.TargetPort: "switch port",
	threat.TargetBackup: "backup", threat.TargetResource: "cloud resource"}

// plainTarget shows a target without its assets.
func plainTarget(t threat.Target) targetRow {
	kind, ok := targetKinds[t.Kind]
	if !ok {
		kind = threat.Inert(string(t.Kind), maxName)
	}
	return targetRow{Kind: kind, Value: threat.Inert(t.Value, maxText)}
}

// target shows a target with the assets of the tenant that it touches.
func (k *call) target(tenant uuid.UUID, t threat.Target) (targetRow, error) {
	row := plainTarget(t)
	list, err := k.deps.Store.AssetsTouched(k.ctx(), tenant, t)
	for _, a := range list {
		if t.AssetID.Valid && t.AssetID.UUID == a.ID {
			row.Value = threat.Inert(t.Named(a.Name), maxText)
		}
		row.Assets = append(row.Assets, assetLine{ID: a.ID.String(), Name: threat.Inert(a.Name, maxName),
			Role: assetWords(a.Role), Managed: a.Managed, Protected: a.Protected})
	}
	return row, err
}

// observableRow is what a detection names.
type observableRow struct {
	Kind    string
	Value   string
	Bearing string
}

func observableRows(list []threat.Observable, max int) []observableRow {
	var out []observableRow
	for _, o := range list[:min(len(list), max)] {
		row := observableRow{Kind: strings.ReplaceAll(threat.Inert(string(o.Kind), 40), "_", " "),
			Value: threat.Inert(o.Value, maxText)}
		switch o.Bearing {
		case threat.BearingAdversary:
			row.Bearing = "the attacker's"
		case threat.BearingVictim:
			row.Bearing = "the customer's"
		}
		out = append(out, row)
	}
	return out
}

// maxRaw is how much of a document a page shows, in bytes.
const maxRaw = 24_000

// document shows JSON indented, and anything else as it is: every line inert, long ones cut. Cut reports that not all of it
// is shown.
func document(b []byte) (text string, cut bool) {
	if len(b) > maxRaw {
		b, cut = b[:maxRaw], true
	} else if json.Valid(b) {
		var out bytes.Buffer
		if json.Indent(&out, b, "", "  ") == nil {
			b = out.Bytes()
		}
	}
	lines := strings.Split(strings.ReplaceAll(string(b), "\t", "    "), "\n")
	for i, l := range lines {
		lines[i] = threat.Inert(strings.TrimSuffix(l, "\r"), 2000)
	}
	return strings.Join(lines, "\n"), cut
}
