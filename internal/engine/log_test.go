package engine

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/server/common/log/tag"
)

func TestWhatTheSDKLogs(t *testing.T) {
	var b bytes.Buffer
	log := sdklog.With(sdklog.NewStructuredLogger(slog.New(sdkLog{slog.NewTextHandler(&b, nil), &polling{}})), "queue", "q")
	log.Debug("no")
	log.Info("no")
	for range 10 {
		log.Warn(pollFailed)
		log.Warn("each")
	}
	log.Error("error")
	require.Equal(t, 1, strings.Count(b.String(), pollFailed))
	require.Equal(t, 10, strings.Count(b.String(), "each"))
	require.Equal(t, 12, strings.Count(b.String(), "queue=q"))
	require.NotContains(t, b.String(), "no\n")
}

func TestWhatTheServerLogs(t *testing.T) {
	var b bytes.Buffer
	log := serverLog{slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})), &atomic.Bool{}}
	log.Debug("no")
	log.Info("no")
	log.Warn("no")
	require.Zero(t, b.Len())
	log.With(tag.String("part", "history")).Error("it broke")
	require.Contains(t, b.String(), `level=ERROR msg="temporal: it broke" part=history`)
	var err error
	func() {
		defer recoverFatal(&err)
		log.Fatal("no port", tag.Error(assert.AnError))
	}()
	require.EqualError(t, err, "no port: "+assert.AnError.Error())
	log.quiet.Store(true)
	b.Reset()
	log.Error("it is being stopped")
	require.Zero(t, b.Len())
}
