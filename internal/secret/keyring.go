// Package secret keeps keys and seals what must not lie in clear: payloads of the journal and credentials of products.
// One master key lies in a file outside the data directory; it wraps one key an organisation, which wraps one data key a
// payload. The file also holds the seed that signs journal heads, which a rotation of the master key leaves alone.
//
// It must not know the database: wrapped keys are stored by whoever asks.
package secret

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/firebreak/firebreak/internal/threat"
)

// Keyring holds the master keys, newest first, and the signing key. It is safe for concurrent use.
type Keyring struct {
	path string // empty: only in memory

	mu      sync.RWMutex
	masters []Key
	seed    []byte
}

// fileHead is the first line of a key file.
const fileHead = "firebreak-keys v1"

// DefaultPath is where the key file lies unless told otherwise: firebreak/key in the user's configuration directory.
func DefaultPath() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", threat.Faultf(threat.Invalid, "no configuration directory for the key file: %w", err)
	}
	return filepath.Join(dir, "firebreak", "key"), nil
}

// Ephemeral makes a keyring that lives in memory only, for tests.
func Ephemeral() *Keyring {
	k := &Keyring{masters: []Key{NewKey()}, seed: make([]byte, ed25519.SeedSize)}
	_, _ = rand.Read(k.seed)
	return k
}

// Open reads the key file, or makes it (mode 0600) when there is none. dataDir may be empty. It gives Invalid for a file
// inside dataDir, where one stolen copy would hold both the key and the data, for a file that others may read, and for one
// that cannot be understood. A key file that is lost cannot be made again.
func Open(path, dataDir string) (*Keyring, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if inside, err := within(path, dataDir); err != nil {
		return nil, err
	} else if inside {
		return nil, &threat.Fault{Kind: threat.Invalid, What: "the key file lies inside the data directory", Place: "--key-file",
			Next: "keep it elsewhere: whoever copies the data must not get the key with it"}
	}
	k, err := load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, threat.Faultf(threat.Unavailable, "the key file's directory cannot be made: %w", err)
	}
	k = Ephemeral()
	k.path = path
	if err := k.save(true); err != nil {
		if errors.Is(err, fs.ErrExist) { // another process was first
			return load(path)
		}
		return nil, err
	}
	return k, nil
}

func within(path, dir string) (bool, error) {
	if dir == "" {
		return false, nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return false, err
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	if real, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(real, filepath.Base(path))
	}
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return false, nil // on another volume
	}
	return rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)), nil
}

func load(path string) (*Keyring, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, &threat.Fault{Kind: threat.Invalid, What: fmt.Sprintf("the key file may be read by others (mode %04o)",
			info.Mode().Perm()), Place: path, Next: "chmod 600 it, and rotate the key if somebody may have read it"}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, threat.Faultf(threat.Unavailable, "the key file cannot be read: %w", err)
	}
	bad := func(line int) error {
		return &threat.Fault{Kind: threat.Invalid, What: fmt.Sprintf("line %d of the key file cannot be understood", line),
			Place: path, Next: "restore it from a backup; without it the data cannot be read"}
	}
	k := &Keyring{path: path}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if n == 1 {
			if line != fileHead {
				return nil, bad(1)
			}
			continue
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		word, value, _ := strings.Cut(line, " ")
		b, err := base64.StdEncoding.DecodeString(value)
		if err != nil || len(b) != KeySize {
			return nil, bad(n)
		}
		switch word {
		case "master":
			key, err := keyFrom(b)
			if err != nil {
				return nil, bad(n)
			}
			k.masters = append(k.masters, key)
		case "sign":
			k.seed = b
		default:
			return nil, bad(n)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, bad(0)
	}
	if len(k.masters) == 0 || k.seed == nil {
		return nil, &threat.Fault{Kind: threat.Invalid, What: "the key file is not complete", Place: path,
			Next: "restore it from a backup; without it the data cannot be read"}
	}
	return k, nil
}

// save writes the file whole or not at all. fresh refuses to replace one (fs.ErrExist).
func (k *Keyring) save(fresh bool) error {
	if k.path == "" {
		return nil
	}
	var b strings.Builder
	b.WriteString(fileHead + "\n# Keep a copy in a safe place: without it the data cannot be read.\n")
	for _, m := range k.masters {
		b.WriteString("master " + base64.StdEncoding.EncodeToString(m.k[:]) + "\n")
	}
	b.WriteString("sign " + base64.StdEncoding.EncodeToString(k.seed) + "\n")

	dir := filepath.Dir(k.path)
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return threat.Faultf(threat.Unavailable, "the key file cannot be written: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(b.String())
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return threat.Faultf(threat.Unavailable, "the key file cannot be written: %w", err)
	}
	if fresh {
		err = os.Link(f.Name(), k.path)
	} else {
		err = os.Rename(f.Name(), k.path)
	}
	if err != nil {
		if errors.Is(err, fs.ErrExist) {
			return err
		}
		return threat.Faultf(threat.Unavailable, "the key file cannot be put in place: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return threat.Faultf(threat.Unavailable, "the key file's directory cannot be opened: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return threat.Faultf(threat.Unavailable, "the key file's directory cannot be synchronised: %w", err)
	}
	return nil
}

// masterID names a master key without telling it.
func masterID(k Key) string {
	m := hmac.New(sha256.New, k.k[:])
	m.Write([]byte("firebreak/master-id/v1"))
	return hex.EncodeToString(m.Sum(nil)[:8])
}

// Master names the master key under which new keys are wrapped.
func (k *Keyring) Master() string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return masterID(k.masters[0])
}

// Has reports whether a master key of that name is in the ring.
func (k *Keyring) Has(master string) bool {
	_, ok := k.find(master)
	return ok
}

func (k *Keyring) find(master string) (Key, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, m := range k.masters {
		if masterID(m) == master {
			return m, true
		}
	}
	return Key{}, false
}

// Wrap seals a key under the newest master key, and names that. place is where it will stand.
func (k *Keyring) Wrap(key Key, place []byte) (wrapped []byte, master string, err error) {
	k.mu.RLock()
	m := k.masters[0]
	k.mu.RUnlock()
	if key.k == nil {
		return nil, "", errors.New("a key that was never made")
	}
	wrapped, err = m.Seal(key.k[:], place)
	return wrapped, masterID(m), err
}

// Unwrap is the way back. It gives Invalid when the ring has no such master key, and ErrOpen when the bytes were changed.
func (k *Keyring) Unwrap(wrapped []byte, master string, place []byte) (Key, error) {
	m, ok := k.find(master)
	if !ok {
		return Key{}, &threat.Fault{Kind: threat.Invalid, What: "the key file has no master key " + master,
			Place: "--key-file", Next: "give the key file that this data was written under"}
	}
	b, err := m.Open(wrapped, place)
	if err != nil {
		return Key{}, err
	}
	return keyFrom(b)
}

// Rotate puts a new master key before the others and writes the file. Until Forget the older ones stay, so that what they
// wrap can still be read; whoever stores wrapped keys wraps them anew in between.
func (k *Keyring) Rotate() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	old := k.masters
	k.masters = append([]Key{NewKey()}, old...)
	if err := k.save(false); err != nil {
		k.masters = old
		return err
	}
	return nil
}

// Forget drops every master key but the newest and writes the file.
func (k *Keyring) Forget() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	old := k.masters
	k.masters = old[:1:1]
	if err := k.save(false); err != nil {
		k.masters = old
		return err
	}
	return nil
}

// Sign signs with the ed25519 key of this installation.
func (k *Keyring) Sign(message []byte) []byte {
	return ed25519.Sign(ed25519.NewKeyFromSeed(k.seed), message)
}

// Verify checks a signature of this installation.
func (k *Keyring) Verify(message, signature []byte) bool {
	return ed25519.Verify(k.PublicKey(), message, signature)
}

// Derived gives a key of KeySize bytes for one purpose, named by a label: the same on every process with this key file, and
// unchanged by a rotation of the master key (HKDF-SHA256 over the signing seed).
func (k *Keyring) Derived(label string) ([]byte, error) {
	return hkdf.Key(sha256.New, k.seed, nil, "firebreak/derived/v1/"+label, KeySize)
}

// PublicKey is what others check signatures with.
func (k *Keyring) PublicKey() ed25519.PublicKey {
	return ed25519.NewKeyFromSeed(k.seed).Public().(ed25519.PublicKey)
}

// Signer names the signing key: the first 8 bytes of its public key's SHA-256, in hexadecimal.
func (k *Keyring) Signer() string {
	h := sha256.Sum256(k.PublicKey())
	return hex.EncodeToString(h[:8])
}

// String gives a placeholder.
func (k *Keyring) String() string { return "secret.Keyring(redacted)" }

// GoString gives a placeholder.
func (k *Keyring) GoString() string { return k.String() }
