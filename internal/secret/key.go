package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
)

// KeySize is the length of every symmetric key, in bytes: AES-256.
const KeySize = 32

// saltSize is the length of the random salt from which each sealing's own key is derived, in bytes.
const saltSize = 16

// ErrOpen is given when sealed bytes were changed, or belong to another key or place.
var ErrOpen = errors.New("the sealed bytes do not open under this key and place")

// Key is a symmetric key. Its texts are redacted, so that it cannot slip into a log.
type Key struct{ k *[KeySize]byte }

// NewKey makes a random key.
func NewKey() Key {
	k := new([KeySize]byte)
	_, _ = rand.Read(k[:]) // crypto/rand.Read never fails: it ends the program instead
	return Key{k}
}

func keyFrom(b []byte) (Key, error) {
	if len(b) != KeySize {
		return Key{}, errors.New("a key of the wrong length")
	}
	k := new([KeySize]byte)
	copy(k[:], b)
	return Key{k}, nil
}

// String gives a placeholder.
func (Key) String() string { return "secret.Key(redacted)" }

// GoString gives a placeholder.
func (Key) GoString() string { return "secret.Key(redacted)" }

// MarshalText gives a placeholder.
func (Key) MarshalText() ([]byte, error) { return []byte("redacted"), nil }

// Seal encrypts with AES-256-GCM under a key derived for this one sealing (HKDF-SHA256 over a random salt), so that the
// number of sealings under one Key is not bounded by GCM's nonce. place is authenticated with it: the bytes open only
// where they were meant to stand.
func (k Key) Seal(plain, place []byte) ([]byte, error) {
	out := make([]byte, saltSize, saltSize+len(plain)+16)
	_, _ = rand.Read(out)
	aead, err := k.derived(out)
	if err != nil {
		return nil, err
	}
	return aead.Seal(out, zeroNonce[:], plain, place), nil
}

// Open decrypts what Seal made for the same place. It gives ErrOpen when that cannot be.
func (k Key) Open(sealed, place []byte) ([]byte, error) {
	if len(sealed) < saltSize+16 {
		return nil, ErrOpen
	}
	aead, err := k.derived(sealed[:saltSize])
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, zeroNonce[:], sealed[saltSize:], place)
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// zeroNonce serves keys that encrypt once.
var zeroNonce [12]byte

func (k Key) derived(salt []byte) (cipher.AEAD, error) {
	if k.k == nil {
		return nil, errors.New("a key that was never made")
	}
	b, err := hkdf.Key(sha256.New, k.k[:], salt, "firebreak/seal/v1", KeySize)
	if err != nil {
		return nil, err
	}
	return gcm(b)
}

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// SealApart encrypts under a fresh data key and gives that key wrapped by k. Dropping the wrapped key erases the bytes
// wherever copies of them lie.
func (k Key) SealApart(plain, place []byte) (wrapped, sealed []byte, err error) {
	data := NewKey()
	aead, err := gcm(data.k[:])
	if err != nil {
		return nil, nil, err
	}
	sealed = aead.Seal(nil, zeroNonce[:], plain, place) // a data key encrypts once, so that a fixed nonce never repeats
	wrapped, err = k.Seal(data.k[:], place)
	return wrapped, sealed, err
}

// OpenApart decrypts what SealApart made for the same place. It gives ErrOpen when that cannot be.
func (k Key) OpenApart(wrapped, sealed, place []byte) ([]byte, error) {
	b, err := k.Open(wrapped, place)
	if err != nil {
		return nil, err
	}
	aead, err := gcm(b)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, zeroNonce[:], sealed, place)
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}
