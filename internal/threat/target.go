package threat

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// TargetKinds lists every kind, in the order in which documents and schemas name them.
var TargetKinds = []TargetKind{TargetIP, TargetRange, TargetDomain, TargetURL, TargetAsset, TargetHash, TargetAccount,
	TargetSession, TargetFile, TargetProcess, TargetService, TargetMessage, TargetSender, TargetPort, TargetBackup,
	TargetResource}

// onAsset are the kinds whose value begins with the id of the asset on which the thing is: two hosts with the same process
// id never share an effect.
var onAsset = []TargetKind{TargetAsset, TargetFile, TargetProcess, TargetService}

// OnAsset reports whether every target of a kind is a thing of one asset, whose id its value begins with. Sessions are of
// an asset or of an account.
func (k TargetKind) OnAsset() bool { return slices.Contains(onAsset, k) }

// EveryHost is the value of an asset target that stands for each host of the tenant. It is spread into one action a host
// before anything is decided, and is canonical nowhere.
const EveryHost = "*"

// maxTargetText bounds what a target's value may be, in bytes.
const maxTargetText = 2048

// AccountPrefix begins the value of a session that is of an account and not of an asset.
const AccountPrefix = "account:"

// Canonical gives the target in its one canonical form, on which the identity of its effects hangs, or an Invalid fault that
// says why it has none. The forms:
//
//	ip        address, IPv4-mapped ones as IPv4                    203.0.113.9
//	range     masked prefix with its bits                         203.0.113.0/24
//	domain    lower case, no final dot                            bad.example
//	url       scheme and host in lower case, no fragment          https://bad.example/a
//	asset     the asset's id                                      0192f0c1-0000-7000-8000-000000000001
//	process   asset/pid@start, UTC, milliseconds                  <asset>/4711@2026-03-02T08:00:00.120Z
//	          asset/sha256:hash, all that run that program        <asset>/sha256:<64 hexadecimal digits>
//	file      asset/sha256:absolute path                          <asset>/<64 hexadecimal digits>:/tmp/x
//	service   asset/name                                          <asset>/evil.service
//	session   asset/id, or account:name/id                        <asset>/c4
//	hash      SHA-256                                             <64 hexadecimal digits>
//	account   the directory's name of it, lower case              jdoe@corp.example
//	message   mailbox/message id without angle brackets           jdoe@corp.example/20260302.1@bad.example
//	sender    address or domain, lower case                       x@bad.example
//	port      device/port                                         sw-1/GigabitEthernet1/0/12
//	backup    job, or job/restore point                           nightly/2026-03-01
//	resource  the cloud's own id of it                            arn:aws:ec2:eu-west-1:1:instance/i-0a
//
// AssetID is set for what is on an asset, and a different one is refused.
func (t Target) Canonical() (Target, error) {
	canonical, ok := canonicals[t.Kind]
	if !ok {
		return t, &Fault{Kind: Invalid, What: "unknown target kind \"" + Inert(string(t.Kind), 32) + "\"", Place: "/target/kind"}
	}
	v, err := canonical(t.Value)
	if err == nil && len(v) > maxTargetText {
		err = Faultf(Invalid, "a %s of %d bytes; the limit is %d", t.Kind, len(v), maxTargetText)
	}
	if err != nil {
		return t, err
	}
	t.Value = v
	if id, ok := t.Asset(); ok {
		if t.AssetID.Valid && t.AssetID.UUID != id {
			return t, Faultf(Invalid, "the target names one asset and is on another")
		}
		t.AssetID = uuid.NullUUID{UUID: id, Valid: true}
	}
	return t, nil
}

var canonicals = map[TargetKind]func(string) (string, error){
	TargetIP: CanonicalIP, TargetDomain: CanonicalDomain, TargetURL: canonicalURLTarget, TargetRange: canonicalRange,
	TargetAsset: canonicalAsset, TargetHash: CanonicalSHA256, TargetAccount: canonicalAccount,
	TargetSession: canonicalSession, TargetFile: canonicalFile, TargetProcess: canonicalProcess,
	TargetService: canonicalService, TargetMessage: canonicalMessage, TargetSender: canonicalSender,
	TargetPort: canonicalPort, TargetBackup: plainText, TargetResource: oneWord,
}

// Asset gives the asset that a canonical target's value begins with; false for what is not on one.
func (t Target) Asset() (uuid.UUID, bool) {
	if !t.Kind.OnAsset() && (t.Kind != TargetSession || strings.HasPrefix(t.Value, AccountPrefix)) {
		return uuid.Nil, false
	}
	head, _, _ := strings.Cut(t.Value, "/")
	id, err := uuid.Parse(head)
	return id, err == nil
}

// Named gives the value with an asset's name in the place of its id, for people; as it is for what is not on an asset.
func (t Target) Named(name string) string {
	if _, on := t.Asset(); !on || name == "" {
		return t.Value
	}
	_, rest, more := strings.Cut(t.Value, "/")
	if !more {
		return name
	}
	return name + "/" + rest
}

// rest gives what follows the asset's id.
func (t Target) rest() string {
	_, rest, _ := strings.Cut(t.Value, "/")
	return rest
}

// Process is what a process target means: one process by its number and start, or every one that runs a program.
type Process struct {
	PID    int
	Start  time.Time // UTC, whole milliseconds; a number is used again, a number with its start is not
	SHA256 string    // of the program; PID is then zero
}

// Process reads a canonical process target.
func (t Target) Process() (Process, error) { return parseProcess(t.rest()) }

// File gives the hash and the absolute path of a canonical file target.
func (t Target) File() (sha256, path string) {
	sha256, path, _ = strings.Cut(t.rest(), ":")
	return sha256, path
}

// Service gives the name of a canonical service target.
func (t Target) Service() string { return t.rest() }

// Session gives a canonical session target's own id, and the account when it is not a session on an asset.
func (t Target) Session() (id, account string) {
	at := strings.LastIndexByte(t.Value, '/')
	if at < 0 {
		return "", ""
	}
	account, ok := strings.CutPrefix(t.Value[:at], AccountPrefix)
	if !ok {
		account = ""
	}
	return t.Value[at+1:], account
}

// Message gives the mailbox and the message id, without angle brackets, of a canonical message target.
func (t Target) Message() (mailbox, id string) {
	mailbox, id, _ = strings.Cut(t.Value, "/")
	return mailbox, id
}

// Port gives the device and its port of a canonical port target.
func (t Target) Port() (device, port string) {
	device, port, _ = strings.Cut(t.Value, "/")
	return device, port
}

func canonicalURLTarget(s string) (string, error) {
	o, err := Observable{Kind: ObservableURL, Value: s}.Canonical()
	return o.Value, err
}

func canonicalRange(s string) (string, error) {
	p, err := CanonicalPrefix(s)
	if err != nil {
		return "", err
	}
	return p.String(), nil
}

func canonicalAsset(s string) (string, error) {
	id, err := uuid.Parse(strings.TrimSpace(s))
	if err != nil || id == uuid.Nil {
		return "", Faultf(Invalid, "%q is not the id of an asset", Inert(s, 64))
	}
	return id.String(), nil
}

// CanonicalSHA256 gives a SHA-256 in lower-case hexadecimal.
func CanonicalSHA256(s string) (string, error) {
	v := strings.ToLower(strings.TrimSpace(s))
	if _, err := hex.DecodeString(v); err != nil || len(v) != 64 {
		return "", Faultf(Invalid, "%q is not a SHA-256 in hexadecimal", Inert(s, 80))
	}
	return v, nil
}

// ofAsset splits a value into the asset's id, canonical, and the rest.
func ofAsset(s string) (asset, rest string, err error) {
	head, rest, _ := strings.Cut(strings.TrimSpace(s), "/")
	asset, err = canonicalAsset(head)
	return asset, rest, err
}

func canonicalProcess(s string) (string, error) {
	asset, rest, err := ofAsset(s)
	if err != nil {
		return "", err
	}
	p, err := parseProcess(rest)
	return asset + "/" + p.String(), err
}

// String gives the process as it stands in a target.
func (p Process) String() string {
	if p.SHA256 != "" {
		return "sha256:" + p.SHA256
	}
	return strconv.Itoa(p.PID) + "@" + p.Start.UTC().Format(processStart)
}

const processStart = "2006-01-02T15:04:05.000Z"

func parseProcess(s string) (Process, error) {
	if hash, ok := strings.CutPrefix(s, "sha256:"); ok {
		hash, err := CanonicalSHA256(hash)
		return Process{SHA256: hash}, err
	}
	number, start, _ := strings.Cut(s, "@")
	pid, err := strconv.ParseUint(number, 10, 31)
	if err != nil || pid == 0 {
		return Process{}, Faultf(Invalid, "%q is not a process: give pid@start time, or sha256:hash", Inert(s, 80))
	}
	at, err := time.Parse(time.RFC3339Nano, start)
	if err != nil {
		return Process{}, Faultf(Invalid, "%q is not the start time of a process (RFC 3339)", Inert(start, 40))
	}
	return Process{PID: int(pid), Start: at.UTC().Truncate(time.Millisecond)}, nil
}

// CanonicalProcess gives "pid@start" or "sha256:hash" in canonical form, as it stands in a process target.
func CanonicalProcess(s string) (string, error) {
	p, err := parseProcess(strings.TrimSpace(s))
	return p.String(), err
}

func canonicalFile(s string) (string, error) {
	asset, rest, err := ofAsset(s)
	if err != nil {
		return "", err
	}
	hash, path, ok := strings.Cut(rest, ":")
	if !ok {
		return "", Faultf(Invalid, "%q is not a file: give the SHA-256, a colon and its path", Inert(rest, 80))
	}
	if hash, err = CanonicalSHA256(hash); err != nil {
		return "", err
	}
	path, err = CanonicalPath(path)
	return asset + "/" + hash + ":" + path, err
}

// CanonicalPath gives an absolute path of Unix or Windows. One with a ".." or an empty element, or with characters that do
// not print, is refused: what is shown to the approver is what is meant.
func CanonicalPath(s string) (string, error) {
	if err := printable(s); err != nil {
		return "", err
	}
	windows := len(s) >= 3 && s[1] == ':' && (s[2] == '\\' || s[2] == '/') && (s[0]|0x20 >= 'a' && s[0]|0x20 <= 'z')
	if windows {
		s = strings.ToUpper(s[:1]) + ":" + strings.ReplaceAll(s[2:], "/", `\`)
	} else if !strings.HasPrefix(s, "/") {
		return "", Faultf(Invalid, "%q is not an absolute path", Inert(s, 80))
	}
	elements := strings.Split(s[1:], "/")
	if windows {
		elements = strings.Split(s[3:], `\`)
	}
	for _, e := range elements {
		if e == "" || e == "." || e == ".." {
			return "", Faultf(Invalid, "%q is not a clean path of one file", Inert(s, 80))
		}
	}
	return s, nil
}

func canonicalService(s string) (string, error) {
	asset, name, err := ofAsset(s)
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(name, "/\\ ") {
		return "", Faultf(Invalid, "%q is not the name of a service", Inert(name, 80))
	}
	return asset + "/" + name, printable(name)
}

func canonicalSession(s string) (string, error) {
	s = strings.TrimSpace(s)
	at := strings.LastIndexByte(s, '/')
	if at < 0 {
		return "", Faultf(Invalid, "%q is not a session: give its asset or account, a slash and its id", Inert(s, 80))
	}
	owner, id := s[:at], s[at+1:]
	id, err := oneWord(id)
	if err != nil {
		return "", err
	}
	if name, ok := strings.CutPrefix(owner, AccountPrefix); ok {
		name, err = canonicalAccount(name)
		return AccountPrefix + name + "/" + id, err
	}
	owner, err = canonicalAsset(owner)
	return owner + "/" + id, err
}

func canonicalAccount(s string) (string, error) {
	v := strings.ToLower(strings.TrimSpace(s))
	if v == EveryHost {
		return "", Faultf(Invalid, "%q is not one account", v)
	}
	return v, printable(v)
}

func canonicalMessage(s string) (string, error) {
	mailbox, id, ok := strings.Cut(strings.TrimSpace(s), "/")
	if !ok {
		return "", Faultf(Invalid, "%q is not a message: give its mailbox, a slash and its id", Inert(s, 80))
	}
	mailbox, err := canonicalAddress(mailbox)
	if err != nil {
		return "", err
	}
	id, err = oneWord(strings.TrimSuffix(strings.TrimPrefix(id, "<"), ">"))
	return mailbox + "/" + id, err
}

// canonicalAddress gives an e-mail address in lower case. Exotic local parts (quoted, with a slash) are refused.
func canonicalAddress(s string) (string, error) {
	v := strings.ToLower(strings.TrimSpace(s))
	local, domain, ok := strings.Cut(v, "@")
	if !ok || local == "" || len(local) > 64 || strings.ContainsAny(local, "\"/\\<>(),;: ") {
		return "", Faultf(Invalid, "%q is not an e-mail address", Inert(s, 80))
	}
	domain, err := CanonicalDomain(domain)
	if err != nil {
		return "", err
	}
	return local + "@" + domain, printable(local)
}

func canonicalSender(s string) (string, error) {
	v := strings.TrimSpace(s)
	if !strings.Contains(v, "@") {
		return CanonicalDomain(v)
	}
	return canonicalAddress(v)
}

func canonicalPort(s string) (string, error) {
	device, port, ok := strings.Cut(strings.TrimSpace(s), "/")
	if !ok {
		return "", Faultf(Invalid, "%q is not a port: give its device, a slash and its name", Inert(s, 80))
	}
	device = strings.ToLower(device)
	if a, err := netip.ParseAddr(device); err == nil {
		device = a.Unmap().String()
	}
	if _, err := oneWord(device); err != nil {
		return "", err
	}
	port, err := plainText(port)
	return device + "/" + port, err
}

// oneWord demands printing characters without blanks.
func oneWord(s string) (string, error) {
	v := strings.TrimSpace(s)
	if strings.ContainsFunc(v, unicode.IsSpace) {
		return "", Faultf(Invalid, "%q holds a blank", Inert(s, 80))
	}
	return v, printable(v)
}

// plainText demands printing characters, without blanks at the ends.
func plainText(s string) (string, error) {
	v := strings.TrimSpace(s)
	return v, printable(v)
}

// printable refuses what is empty, too long, or would not show as what it is: control, format and bidirectional characters.
func printable(s string) error {
	switch {
	case s == "":
		return Faultf(Invalid, "an empty name")
	case len(s) > maxTargetText || !utf8.ValidString(s):
		return Faultf(Invalid, "a name that is too long or not UTF-8")
	case Inert(s, maxTargetText) != s:
		return Faultf(Invalid, "%q holds characters that do not show", Inert(s, 80))
	}
	return nil
}
