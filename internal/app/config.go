package app

import (
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/firebreak/firebreak/adapters"
	"github.com/firebreak/firebreak/internal/engine"
	"github.com/firebreak/firebreak/internal/threat"
)

// Config is what `firebreak serve` is started with. Zero fields take the default beside them.
type Config struct {
	Data          string // the data directory; ./firebreak-data
	Listen        string // of API, console and feed; 127.0.0.1:7300
	MetricsListen string // of Prometheus' metrics; 127.0.0.1:7301, "off" for none
	BaseURL       string // under which people reach the console; made of Listen
	KeyFile       string // secret.DefaultPath
	DatabaseURL   string // postgres://...; empty keeps the store in SQLite below Data
	PolicyDir     string // a bundle that is read anew when it changes; empty takes the one built in
	Temporal      Temporal
	Lab           bool   // simulate a customer network
	AdminLink     bool   // announce a sign-in link of the first administrator, though they have signed in before
	Version       string // of the program
	Commit        string // that it was built from; may be empty
	OTLPEndpoint  string // where traces go (OTLP over HTTP); empty sends none
	Log           *slog.Logger

	Sweep time.Duration // between sweeps for rows without a live workflow; 30 s

	// Products stand in the registry behind the program's own: what a benchmark acts on.
	Products []adapters.Product

	// Announce gets what a person must see at start: where to look, and the first sign-in. Nil writes to the log.
	Announce func(line string)
}

// Temporal says which Temporal is used.
type Temporal struct {
	Address       string // of an outside cluster; empty embeds one
	Namespace     string // firebreak
	TLSCA         string // files, PEM
	TLSCert       string
	TLSKey        string
	TLSServerName string
	APIKeyFile    string // a file with the key, so that it stands on no command line
	BasePort      int    // first of ten ports for the embedded server; 7310. Below zero any free ones are taken
}

// DefaultListen is where API, console and feed are.
const DefaultListen = "127.0.0.1:7300"

// DefaultMetricsListen is where Prometheus finds the metrics.
const DefaultMetricsListen = "127.0.0.1:7301"

func (c Config) filled() Config {
	if c.Data == "" {
		c.Data = "./firebreak-data"
	}
	if c.Listen == "" {
		c.Listen = DefaultListen
	}
	if c.MetricsListen == "" {
		c.MetricsListen = DefaultMetricsListen
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Announce == nil {
		log := c.Log
		c.Announce = func(line string) { log.Info(line) }
	}
	if c.Version == "" {
		c.Version = "dev"
	}
	switch {
	case c.Temporal.BasePort == 0:
		c.Temporal.BasePort = engine.BasePort
	case c.Temporal.BasePort < 0:
		c.Temporal.BasePort = 0
	}
	return c
}

// lockData makes the data directory (mode 0700) and locks it: two processes on one SQLite directory would each believe
// that the file is theirs. Conflict when another process has it.
func lockData(dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &threat.Fault{Kind: threat.Unavailable, What: "the data directory cannot be made", Place: "--data",
			Next: "see that its parent is there and may be written", Err: err}
	}
	l := flock.New(filepath.Join(dir, "lock"))
	got, err := l.TryLock()
	if err != nil {
		return nil, &threat.Fault{Kind: threat.Unavailable, What: "the data directory cannot be locked", Place: "--data", Err: err}
	}
	if !got {
		return nil, &threat.Fault{Kind: threat.Conflict, What: "another firebreak runs on this data directory", Place: "--data",
			Next: "stop it, give another directory, or let several processes share a PostgreSQL with --database-url and --temporal-address"}
	}
	return l, nil
}
