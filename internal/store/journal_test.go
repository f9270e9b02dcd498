package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/firebreak/firebreak/internal/secret"
	"github.com/firebreak/firebreak/internal/store"
	"github.com/firebreak/firebreak/internal/store/storetest"
	"github.com/firebreak/firebreak/internal/threat"
)

func TestAppendGivesTheFirstEntryOfAKey(t *testing.T) {
	ctx := context.Background()
	clock := storetest.NewClock()
	s := storetest.Open(t, storetest.WithClock(clock))
	o := storetest.Tenant(t, s)
	caseID := uuid.NullUUID{UUID: uuid.New(), Valid: true}
	e := note(o.ID, "once")
	e.CaseID = caseID
	first, err := s.Append(ctx, e)
	require.NoError(t, err)
	require.Equal(t, clock.Now(), first.At)
	require.Len(t, first.Hash, 64)

	clock.Advance(time.Hour)
	e.Payload = []byte(`{"text":"something else"}`)
	again, err := s.Append(ctx, e)
	require.NoError(t, err)
	require.Equal(t, first, again)

	// In one batch: a standing key, a new one, and the new one again.
	out, firsts, err := s.AppendAll(ctx, o.ID, []threat.Entry{note(o.ID, "once"), note(o.ID, "new"), note(o.ID, "new")})
	require.NoError(t, err)
	require.Equal(t, []bool{false, true, false}, firsts)
	require.Equal(t, first, out[0])
	require.Equal(t, first.Seq+1, out[1].Seq)
	require.Equal(t, out[1], out[2])
	require.Equal(t, first.Hash, out[1].Prev)

	of, err := s.EntriesOfCase(ctx, caseID.UUID)
	require.NoError(t, err)
	require.Equal(t, []threat.Entry{first}, of)
	_, err = s.Append(ctx, threat.Entry{OrgID: o.ID, Kind: threat.EntryCaseNote, Actor: "system"})
	require.True(t, threat.Is(err, threat.Internal), "an entry without a key")
}

func TestBatchesOfEverySize(t *testing.T) {
	ctx := context.Background()
	s := storetest.Open(t)
	o := storetest.Tenant(t, s)
	seen := 0
	for _, n := range []int{0, 1, 9, 10, 11, 99, 100, 101, 523} {
		es := make([]threat.Entry, n)
		for i := range es {
			es[i] = note(o.ID, fmt.Sprintf("%d of %d", i, n))
		}
		out, firsts, err := s.AppendAll(ctx, o.ID, es)
		require.NoError(t, err)
		require.Len(t, out, n)
		for i := range out {
			require.True(t, firsts[i])
			require.JSONEq(t, string(es[i].Payload), string(out[i].Payload))
		}
		again, firsts, err := s.AppendAll(ctx, o.ID, es)
		require.NoError(t, err)
		for i := range again {
			require.False(t, firsts[i])
			require.Equal(t, out[i], again[i])
		}
		seen += n
	}
	r := verified(t, s)
	require.Empty(t, r.Problems)
	require.GreaterOrEqual(t, r.Entries, int64(seen))
}

// tampered is a store with a chain of thirty notes and one consent, and somebody with access to its disk.
func tampered(t *testing.T) (s *store.Store, o threat.Organisation, change func(q string, args ...any)) {
	t.Helper()
	address := storetest.URL(t)
	s = storetest.Open(t, storetest.WithURL(address), storetest.WithKeys(secret.Ephemeral()))
	o = storetest.Tenant(t, s)
	storetest.SetMode(t, s, o, threat.ModeCollaborate)
	for i := range 30 {
		_, err := s.Append(context.Background(), note(o.ID, fmt.Sprint(i)))
		require.NoError(t, err)
	}
	require.Empty(t, verified(t, s).Problems)
	return s, o, behind(t, address)
}

// behind changes a database behind its store's back.
func behind(t *testing.T, address string) func(q string, args ...any) {
	db := raw(t, address)
	placeholder := strings.HasPrefix(address, "postgres")
	return func(q string, args ...any) {
		t.Helper()
		if placeholder {
			q = strings.NewReplacer("?1", "$1", "?2", "$2", "?3", "$3", "X'00'", `'\x00'::bytea`).Replace(q)
		}
		run(t, db, q, args...)
	}
}

func flaws(r store.Report) map[store.Flaw]int {
	out := map[store.Flaw]int{}
	for _, p := range r.Problems {
		out[p.Flaw]++
	}
	return out
}

func TestVerifyFindsWhatWasChanged(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change string // ?1 is the organisation
		want   store.Flaw
		seq    int64 // where it shows; 0: not looked at
	}{
		{"payload", `UPDATE journal_payloads SET sealed = (SELECT sealed FROM journal_payloads WHERE org_id = ?1 AND seq = 8)
			WHERE org_id = ?1 AND seq = 9`, store.FlawPayload, 9},
		{"payload of another entry, with its key", `UPDATE journal_payloads SET
			sealed = (SELECT sealed FROM journal_payloads WHERE org_id = ?1 AND seq = 8),
			data_key = (SELECT data_key FROM journal_payloads WHERE org_id = ?1 AND seq = 8),
			salt = (SELECT salt FROM journal_payloads WHERE org_id = ?1 AND seq = 8)
			WHERE org_id = ?1 AND seq = 9`, store.FlawPayload, 9},
		{"salt", `UPDATE journal_payloads SET salt = X'00' WHERE org_id = ?1 AND seq = 9`, store.FlawPayload, 9},
		{"payload removed", `DELETE FROM journal_payloads WHERE org_id = ?1 AND seq = 9`, store.FlawPayload, 9},
		{"erased without a record", `UPDATE journal_payloads SET salt = NULL, data_key = NULL, sealed = NULL, erased_at = 1
			WHERE org_id = ?1 AND seq = 9`, store.FlawNoEntry, 9},
		{"actor", `UPDATE journal SET actor = 'person:x' WHERE org_id = ?1 AND seq = 9`, store.FlawRow, 9},
		{"time", `UPDATE journal SET at = at + 1 WHERE org_id = ?1 AND seq = 9`, store.FlawRow, 9},
		{"kind", `UPDATE journal SET kind = 'case.closed' WHERE org_id = ?1 AND seq = 9`, store.FlawRow, 9},
		{"case", `UPDATE journal SET case_id = org_id WHERE org_id = ?1 AND seq = 9`, store.FlawRow, 9},
		{"digest", `UPDATE journal SET digest = X'00' WHERE org_id = ?1 AND seq = 9`, store.FlawRow, 9},
		{"removed in the middle", `DELETE FROM journal WHERE org_id = ?1 AND seq IN (9, 10)`, store.FlawGap, 11},
		{"removed at the start", `DELETE FROM journal WHERE org_id = ?1 AND seq = 1`, store.FlawGap, 2},
		{"tail cut", `DELETE FROM journal WHERE org_id = ?1 AND seq > 20`, store.FlawTail, 0},
		{"head set back", `UPDATE journal_heads SET seq = seq - 1 WHERE org_id = ?1`, store.FlawTail, 0},
		{"head's hash", `UPDATE journal_heads SET hash = X'00' WHERE org_id = ?1`, store.FlawHead, 0},
		{"head removed", `DELETE FROM journal_heads WHERE org_id = ?1`, store.FlawTail, 0},
		{"consent slipped in", `INSERT INTO consents SELECT tenant_id, 7, 'authorize', eradicate, given_by, words, language, at
			FROM consents WHERE tenant_id = ?1`, store.FlawNoEntry, 0},
		{"consent removed", `DELETE FROM consents WHERE tenant_id = ?1`, store.FlawNoRow, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, o, change := tampered(t)
			change(tt.change, o.ID.String())
			r := verified(t, s)
			require.NotZero(t, flaws(r)[tt.want], "%+v", r.Problems)
			for _, p := range r.Problems {
				require.Equal(t, o.ID, p.OrgID)
			}
			if tt.seq > 0 {
				require.Equal(t, tt.want, r.Problems[0].Flaw, "%+v", r.Problems)
				for _, p := range r.Problems { // what else follows from it shows there too
					require.Equal(t, tt.seq, p.Seq, "%+v", r.Problems)
				}
			}
		})
	}
}

// A tail that was cut with care leaves a shorter chain that is whole in itself: only heads tell.
func TestSignedHeadsShowACutTail(t *testing.T) {
	ctx := context.Background()
	s, o, change := tampered(t)
	heads, err := s.SignHeads(ctx)
	require.NoError(t, err)
	require.Len(t, heads, 2, "provider and customer")
	again, err := s.SignHeads(ctx)
	require.NoError(t, err)
	require.Equal(t, heads, again, "a chain that stood still is not signed again")

	exported, err := json.Marshal(heads)
	require.NoError(t, err)
	var kept []store.Head
	require.NoError(t, json.Unmarshal(exported, &kept))
	require.Empty(t, verified(t, s, kept...).Problems)

	change(`DELETE FROM journal WHERE org_id = ?1 AND seq > 20`, o.ID.String())
	change(`DELETE FROM journal_payloads WHERE org_id = ?1 AND seq > 20`, o.ID.String())
	change(`UPDATE journal_heads SET seq = 20, hash = (SELECT hash FROM journal WHERE org_id = ?1 AND seq = 20) WHERE org_id = ?1`,
		o.ID.String())
	require.Equal(t, map[store.Flaw]int{store.FlawTail: 1}, flaws(verified(t, s)), "the head that was signed and kept")
	change(`DELETE FROM journal_signatures WHERE org_id = ?1`, o.ID.String())
	require.Empty(t, verified(t, s).Problems, "nothing in the database tells any more")
	require.Equal(t, map[store.Flaw]int{store.FlawTail: 1}, flaws(verified(t, s, kept...)), "the exported head does")

	// A chain written anew to the old length has other hashes.
	for i := range 40 {
		_, err := s.Append(ctx, note(o.ID, fmt.Sprint("forged ", i)))
		require.NoError(t, err)
	}
	require.Equal(t, map[store.Flaw]int{store.FlawHead: 1}, flaws(verified(t, s, kept...)))

	forged := kept[0]
	forged.Seq++
	require.Equal(t, map[store.Flaw]int{store.FlawSignature: 1}, flaws(verified(t, s, forged)))
	stranger := secret.Ephemeral()
	forged.Signer, forged.Signature = stranger.Signer(), stranger.Sign(forged.Message())
	require.Equal(t, map[store.Flaw]int{store.FlawSignature: 1}, flaws(verified(t, s, forged)))
}

func TestErasedPayloadIsGoneAndTheChainHolds(t *testing.T) {
	ctx := context.Background()
	address := storetest.URL(t)
	s := storetest.Open(t, storetest.WithURL(address))
	o := storetest.Tenant(t, s)
	e, err := s.Append(ctx, note(o.ID, "personal"))
	require.NoError(t, err)
	heads, err := s.SignHeads(ctx)
	require.NoError(t, err)
	db := raw(t, address)
	sealed := func() (b []byte) {
		q := fmt.Sprintf(`SELECT sealed FROM journal_payloads WHERE org_id = '%s' AND seq = %d`, o.ID, e.Seq)
		require.NoError(t, db.QueryRow(q).Scan(&b))
		return b
	}
	before := sealed()
	require.NotEmpty(t, before)
	require.NotContains(t, string(before), "personal", "payloads are sealed")

	require.True(t, threat.Is(s.Erase(ctx, o.ID, e.Seq, "", "person:x"), threat.Invalid))
	require.True(t, threat.Is(s.Erase(ctx, o.ID, 9999, "asked for", "person:x"), threat.NotFound))
	require.NoError(t, s.Erase(ctx, o.ID, e.Seq, "asked for", "person:x"))
	require.NoError(t, s.Erase(ctx, o.ID, e.Seq, "asked for", "person:x"), "again changes nothing")

	es, err := s.Entries(ctx, o.ID, e.Seq-1, 0)
	require.NoError(t, err)
	require.Len(t, es, 2)
	require.True(t, es[0].Erased)
	require.Nil(t, es[0].Payload)
	require.Equal(t, e.Hash, es[0].Hash)
	require.Equal(t, threat.EntryErased, es[1].Kind)
	require.Equal(t, "person:x", es[1].Actor)
	require.JSONEq(t, fmt.Sprintf(`{"seq":%d,"kind":"case.note","why":"asked for"}`, e.Seq), string(es[1].Payload))
	require.True(t, threat.Is(s.Erase(ctx, o.ID, es[1].Seq, "cover", "person:x"), threat.Conflict))
	require.Empty(t, sealed())

	repeated, err := s.Append(ctx, note(o.ID, "personal"))
	require.NoError(t, err)
	require.Equal(t, e.Seq, repeated.Seq, "the key still stands")
	require.True(t, repeated.Erased)

	r := verified(t, s, heads...)
	require.Empty(t, r.Problems)
	require.Equal(t, int64(1), r.Erased)
	if path, ok := strings.CutPrefix(address, "sqlite:"); ok {
		for _, f := range []string{path, path + "-wal"} {
			b, err := os.ReadFile(f)
			require.NoError(t, err)
			require.False(t, bytes.Contains(b, before), "the sealed bytes are not in %s any more", f)
		}
	}
}

func BenchmarkAppend500(b *testing.B) {
	ctx := context.Background()
	s := storetest.Open(b)
	o := storetest.Tenant(b, s)
	payload := []byte(`"` + strings.Repeat("x", 300) + `"`)
	n := 0
	for b.Loop() {
		es := make([]threat.Entry, 500)
		for i := range es {
			es[i] = note(o.ID, "detection.received:"+uuid.Must(uuid.NewV7()).String())
			es[i].Payload = payload
		}
		if _, _, err := s.AppendAll(ctx, o.ID, es); err != nil {
			b.Fatal(err)
		}
		n += len(es)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "entries/s")
}
