package engine

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"github.com/firebreak/firebreak/internal/threat"
)

func TestCodec(t *testing.T) {
	oldKey, newKey := bytes.Repeat([]byte{1}, keySize), bytes.Repeat([]byte{2}, keySize)
	word, err := converter.GetDefaultDataConverter().ToPayloads("a word", map[string]int{"n": 1}, nil)
	require.NoError(t, err)
	before := newCodec(oldKey)
	sealed, err := before.Encode(word.Payloads)
	require.NoError(t, err)
	for i, p := range sealed {
		require.NotContains(t, string(p.Data), "word")
		require.Equal(t, []byte(encodingOurs), p.Metadata[converter.MetadataEncoding])
		require.Equal(t, []byte(keyID(oldKey)), p.Metadata[keyIDField])
		require.NotContains(t, p.String(), "json/plain", "how it was encoded is told to nobody")
		require.False(t, i > 0 && bytes.Equal(p.Data[:saltSize], sealed[0].Data[:saltSize]))
	}
	same := func(got []*commonpb.Payload) {
		t.Helper()
		for i := range word.Payloads {
			require.True(t, proto.Equal(word.Payloads[i], got[i]))
		}
	}
	opened, err := before.Decode(sealed)
	require.NoError(t, err)
	same(opened)

	opened, err = newCodec(newKey, oldKey).Decode(sealed) // after a rotation
	require.NoError(t, err)
	same(opened)

	_, err = newCodec(newKey).Decode(sealed)
	require.Equal(t, threat.Invalid, threat.KindOf(err))
	require.ErrorContains(t, err, keyID(oldKey))

	clear, err := before.Decode(word.Payloads) // somebody else's
	require.NoError(t, err)
	same(clear)

	for i := range sealed[0].Data {
		p := proto.Clone(sealed[0]).(*commonpb.Payload)
		p.Data[i] ^= 1
		_, err := before.Decode([]*commonpb.Payload{p})
		require.Equal(t, threat.Invalid, threat.KindOf(err), "byte %d", i)
	}
	short := proto.Clone(sealed[0]).(*commonpb.Payload)
	short.Data = short.Data[:10]
	_, err = before.Decode([]*commonpb.Payload{short})
	require.Equal(t, threat.Invalid, threat.KindOf(err))

	for _, secret := range [][]byte{oldKey, newKey} {
		require.NotContains(t, keyID(secret), string(secret))
	}
}
