package command

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/firebreak/firebreak/internal/threat"
)

// ServeOptions are the flags of serve. Empty ones take the server's defaults.
type ServeOptions struct {
	Data          string
	Listen        string
	MetricsListen string
	BaseURL       string
	KeyFile       string
	DatabaseURL   string
	PolicyDir     string

	TemporalAddress    string
	TemporalNamespace  string
	TemporalTLSCA      string
	TemporalTLSCert    string
	TemporalTLSKey     string
	TemporalServerName string
	TemporalAPIKeyFile string
	TemporalPort       int // first of ten for an embedded one

	Lab          bool
	AdminLink    bool
	LogFormat    string // text or json
	LogLevel     string // debug, info, warn or error
	OTLPEndpoint string

	Build    Build
	Announce func(line string) // tells a person at the terminal
}

func (p *program) serveCommand() *cobra.Command {
	o := ServeOptions{Build: p.build, Announce: p.announce}
	c := &cobra.Command{Use: "serve", Short: "Run the server", Args: cobra.NoArgs,
		Long: "Run the server: API, console, feed, engine. Without a flag everything lies in ./firebreak-data, but the key file, which\n" +
			"lies in the user's configuration directory. The first start prints a one-time sign-in link of the first administrator.\n\n" +
			"Each flag can be given as a variable of the environment: --data as FIREBREAK_DATA, --log-format as FIREBREAK_LOG_FORMAT."}
	f := c.Flags()
	f.StringVar(&o.Data, "data", "./firebreak-data", "the data directory")
	f.StringVar(&o.Listen, "listen", "127.0.0.1:7300", "address of API, console and feed")
	f.StringVar(&o.MetricsListen, "metrics-listen", "127.0.0.1:7301", "address of the metrics; off for none")
	f.StringVar(&o.BaseURL, "base-url", "", "the URL under which people reach the console (default: made of --listen)")
	f.StringVar(&o.KeyFile, "key-file", "", "the key file, outside of the data (default: firebreak/key in the configuration directory)")
	f.StringVar(&o.DatabaseURL, "database-url", "", "postgres://...; left out, the data lies in SQLite below --data")
	f.StringVar(&o.PolicyDir, "policy-dir", "", "a directory of rules, read anew when it changes; left out, those built in")
	f.IntVar(&o.TemporalPort, "temporal-port", 7310, "first of ten ports on 127.0.0.1, of which the embedded Temporal takes free ones")
	f.StringVar(&o.TemporalAddress, "temporal-address", "", "an outside Temporal, host:port; left out, one is embedded")
	f.StringVar(&o.TemporalNamespace, "temporal-namespace", "firebreak", "its namespace")
	f.StringVar(&o.TemporalTLSCA, "temporal-tls-ca", "", "file of its certificate authority, PEM")
	f.StringVar(&o.TemporalTLSCert, "temporal-tls-cert", "", "file of our certificate for it, PEM")
	f.StringVar(&o.TemporalTLSKey, "temporal-tls-key", "", "file of that certificate's key, PEM")
	f.StringVar(&o.TemporalServerName, "temporal-tls-server-name", "", "the name that its certificate has")
	f.StringVar(&o.TemporalAPIKeyFile, "temporal-api-key-file", "", "file of the API key for it")
	f.BoolVar(&o.Lab, "lab", false, "simulate a customer's network to try things in")
	f.BoolVar(&o.AdminLink, "admin-link", false, "print a new sign-in link of the first administrator, when nobody else can make one")
	f.StringVar(&o.LogFormat, "log-format", "text", "text or json")
	f.StringVar(&o.LogLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&o.OTLPEndpoint, "otlp-endpoint", "", "where traces go, OTLP over HTTP; left out, nowhere")
	c.PreRunE = func(*cobra.Command, []string) error { return p.fromEnvironment(f) }
	c.RunE = run(func(ctx context.Context, _ []string) error {
		if err := checkServe(o); err != nil {
			return err
		}
		if p.serve == nil {
			return threat.Faultf(threat.Unsupported, "there is no server in this program")
		}
		return p.serve(ctx, o)
	})
	return c
}

// announce tells a person at the terminal; stdout is theirs, the log goes to stderr.
func (p *program) announce(line string) {
	_, _ = fmt.Fprintln(p.out, line) // a server goes on without a terminal
}

// fromEnvironment takes every flag that was not given from FIREBREAK_<ITS_NAME>.
func (p *program) fromEnvironment(flags *pflag.FlagSet) (err error) {
	flags.VisitAll(func(f *pflag.Flag) {
		v := p.env("FIREBREAK_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_")))
		if f.Changed || v == "" || err != nil || f.Name == "help" || f.Name == "json" || f.Name == "server" || f.Name == "token" {
			return
		}
		if f.Value.Type() == "bool" {
			if _, perr := strconv.ParseBool(v); perr != nil {
				err = &failed{&threat.Fault{Kind: threat.Invalid, What: "neither true nor false", Place: "FIREBREAK_" +
					strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))}}
				return
			}
		}
		err = flags.Set(f.Name, v)
	})
	return err
}

// checkServe refuses what cannot be meant.
func checkServe(o ServeOptions) error {
	bad := func(flag, what, next string) error {
		return &threat.Fault{Kind: threat.Invalid, What: what, Place: flag, Next: next}
	}
	switch {
	case o.LogFormat != "text" && o.LogFormat != "json":
		return bad("--log-format", "unknown format of the log", "give text or json")
	case o.LogLevel != "debug" && o.LogLevel != "info" && o.LogLevel != "warn" && o.LogLevel != "error":
		return bad("--log-level", "unknown level of the log", "give debug, info, warn or error")
	case o.TemporalPort < 1024 || o.TemporalPort > 65526:
		return bad("--temporal-port", "no ten ports begin there", "give one of 1024 to 65526")
	case (o.TemporalTLSCert == "") != (o.TemporalTLSKey == ""):
		return bad("--temporal-tls-cert", "a certificate and its key come together", "give --temporal-tls-key too, or neither")
	case o.TemporalAddress == "" && (o.TemporalTLSCA != "" || o.TemporalTLSCert != "" || o.TemporalAPIKeyFile != "" ||
		o.TemporalServerName != ""):
		return bad("--temporal-address", "these flags are for an outside Temporal, and none was named", "give --temporal-address")
	}
	return nil
}
