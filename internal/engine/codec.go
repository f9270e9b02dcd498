package engine

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"github.com/firebreak/firebreak/internal/threat"
)

const (
	keySize  = 32
	saltSize = 16

	encodingOurs = "binary/firebreak-aes256gcm-v1"
	keyIDField   = "firebreak-key-id"
)

// zeroNonce serves keys that encrypt once.
var zeroNonce [12]byte

// codec encrypts payloads with AES-256-GCM, each under a key of its own that is derived from the payload key and a random
// salt, so that the number of payloads under one payload key is not bounded.
type codec struct {
	newest string
	keys   map[string][]byte // by id
}

var _ converter.PayloadCodec = (*codec)(nil)

func newCodec(newest []byte, old ...[]byte) *codec {
	c := &codec{newest: keyID(newest), keys: map[string][]byte{}}
	for _, k := range append([][]byte{newest}, old...) {
		c.keys[keyID(k)] = k
	}
	return c
}

// keyID names a key without telling it.
func keyID(key []byte) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("firebreak/payload-key-id/v1"))
	return hex.EncodeToString(m.Sum(nil)[:8])
}

// Encode encrypts each payload whole, its metadata too.
func (c *codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		plain, err := proto.Marshal(p)
		if err != nil {
			return nil, err
		}
		data := make([]byte, saltSize, saltSize+len(plain)+16)
		_, _ = rand.Read(data)
		aead, err := derive(c.keys[c.newest], data)
		if err != nil {
			return nil, err
		}
		out[i] = &commonpb.Payload{
			Metadata: map[string][]byte{converter.MetadataEncoding: []byte(encodingOurs), keyIDField: []byte(c.newest)},
			Data:     aead.Seal(data, zeroNonce[:], plain, []byte(c.newest)),
		}
	}
	return out, nil
}

// Decode decrypts what Encode made. A payload that somebody else wrote in clear is passed on: it says nothing that a
// workflow would act on without the store.
func (c *codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		if string(p.GetMetadata()[converter.MetadataEncoding]) != encodingOurs {
			out[i] = p
			continue
		}
		id := string(p.GetMetadata()[keyIDField])
		key, ok := c.keys[id]
		if !ok {
			return nil, &threat.Fault{Kind: threat.Invalid, What: "a payload of Temporal was encrypted under the key " +
				threat.Inert(id, 32) + ", which is not here", Next: "give the key file that this data was written under"}
		}
		plain, err := open(key, id, p.GetData())
		if err != nil {
			return nil, err
		}
		out[i] = &commonpb.Payload{}
		if err := proto.Unmarshal(plain, out[i]); err != nil {
			return nil, threat.Faultf(threat.Invalid, "a payload of Temporal cannot be read: %w", err)
		}
	}
	return out, nil
}

func open(key []byte, id string, data []byte) ([]byte, error) {
	bad := threat.Faultf(threat.Invalid, "a payload of Temporal does not open under its key")
	if len(data) < saltSize+16 {
		return nil, bad
	}
	aead, err := derive(key, data[:saltSize])
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, zeroNonce[:], data[saltSize:], []byte(id))
	if err != nil {
		return nil, bad
	}
	return plain, nil
}

func derive(key, salt []byte) (cipher.AEAD, error) {
	k, err := hkdf.Key(sha256.New, key, salt, "firebreak/payload/v1", keySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// converters give the data converter and the failure converter under which nothing lies in clear, error texts included.
func converters(o Options) (converter.DataConverter, converter.FailureConverter) {
	if o.ServeOnly {
		return converter.GetDefaultDataConverter(), temporal.GetDefaultFailureConverter()
	}
	data := converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), newCodec(o.PayloadKey, o.OldPayloadKeys...))
	return data, temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter:          data,
		EncodeCommonAttributes: true,
	})
}
