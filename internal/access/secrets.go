package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/firebreak/firebreak/internal/threat"
)

// What secrets begin with, so that one that leaked is found and named by scanners.
const (
	TokenPrefix   = "fbt_" // of programs' bearer tokens
	FeedPrefix    = "fbf_" // of tokens that stand in a feed's path
	SessionPrefix = "fbs_" // of sessions: the cookie's value, or a terminal's bearer token
)

// secretBytes is how many random bytes a secret has.
const secretBytes = 32

// secretLength is the length of a secret in base64url, without its prefix.
var secretLength = base64.RawURLEncoding.EncodedLen(secretBytes)

// newSecret makes a secret and the hash that is kept of it.
func newSecret(prefix string) (secret string, hash []byte) {
	b := make([]byte, secretBytes)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	secret = prefix + base64.RawURLEncoding.EncodeToString(b)
	return secret, hashOf(secret)
}

// hashOf is what the store keeps of a secret. Secrets are looked up by it, so that how long a comparison takes tells
// nothing about them.
func hashOf(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}

// shaped reports whether a text could be a secret of ours with a prefix; anything else is not looked up.
func shaped(text, prefix string) bool {
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok || len(rest) != secretLength {
		return false
	}
	_, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	return err == nil
}

// errNobody is the answer to every credential that is not known, whatever is wrong with it.
func errNobody(what string) error {
	return &threat.Fault{Kind: threat.Unauthenticated, What: what, Next: "sign in, or give a token that is good"}
}
