//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// CrowdSec is a real CrowdSec that reads a log of its own for failed sign-ins over SSH, and posts its alerts. It is
// offline: no Central API, no hub, its local API on loopback.
type CrowdSec struct {
	*Process
	Log string // the file that it reads
	t   testing.TB
}

// crowdSecPlaces are where the package has what the configuration folder links to.
var crowdSecPlaces = map[string]string{
	"parsers/s00-raw":    "parsers/s00-raw/crowdsecurity/syslog-logs.yaml",
	"parsers/s01-parse":  "parsers/s01-parse/crowdsecurity/sshd-logs.yaml",
	"parsers/s02-enrich": "parsers/s02-enrich/crowdsecurity/dateparse-enrich.yaml",
	"scenarios":          "scenarios/crowdsecurity/ssh-bf.yaml",
}

// StartCrowdSec starts the unpacked package with its own sshd parser and ssh-bf scenario. Alerts are posted to sink by its
// HTTP plugin, with the token as a bearer token, in the plugin's default form: an array of alerts in JSON. The package
// names its plugins otherwise than its own loader wants them, and has no notifications/http.yaml; both are mended here.
func StartCrowdSec(t testing.TB, sink, token string) *CrowdSec {
	t.Helper()
	needRoot(t) // the plugin loader wants root to own the plugin
	root, dir := part(t, "crowdsec"), t.TempDir()
	c := &CrowdSec{Log: filepath.Join(dir, "auth.log"), t: t}
	put := func(name, text string) {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hub := filepath.Join(root, "usr/share/crowdsec/hub")
	for place, from := range crowdSecPlaces {
		if err := os.MkdirAll(filepath.Join(dir, "etc", place), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(hub, from), filepath.Join(dir, "etc", place, filepath.Base(from))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(root, "etc/crowdsec/patterns"), filepath.Join(dir, "etc/patterns")); err != nil {
		t.Fatal(err)
	}
	plugin, err := os.ReadFile(filepath.Join(root, "usr/lib/crowdsec/plugins/http"))
	if err != nil {
		t.Fatal(err)
	}
	put("plugins/notification-http", string(plugin))
	if err := os.Chmod(filepath.Join(dir, "plugins/notification-http"), 0o755); err != nil {
		t.Fatal(err)
	}
	put("auth.log", "")
	put("data/.keep", "")
	put("etc/local_api_credentials.yaml", "")
	put("etc/simulation.yaml", "simulation: off\n")
	put("etc/acquis.yaml", "filenames:\n - "+c.Log+"\nlabels:\n  type: syslog\n")
	put("etc/profiles.yaml", `name: default_ip_remediation
filters:
 - Alert.Remediation == true && Alert.GetScope() == "Ip"
decisions:
 - type: ban
   duration: 4h
notifications:
 - http_default
on_success: break
`)
	put("etc/notifications/http.yaml", fmt.Sprintf(`type: http
name: http_default
log_level: info
format: |
  {{.|toJson}}
url: %s
method: POST
headers:
  Authorization: "Bearer %s"
  Content-Type: application/json
`, sink, token))
	put("etc/config.yaml", strings.NewReplacer("DIR", dir, "HUB", hub, "PORT", fmt.Sprint(FreePort(t))).Replace(
		`common: {daemonize: false, log_media: stdout, log_level: info, working_dir: DIR}
config_paths: {config_dir: DIR/etc/, data_dir: DIR/data/, simulation_path: DIR/etc/simulation.yaml, hub_dir: HUB/,
  index_path: HUB/.index.json, notification_dir: DIR/etc/notifications/, plugin_dir: DIR/plugins/}
crowdsec_service: {acquisition_path: DIR/etc/acquis.yaml, parser_routines: 1}
cscli: {output: json}
db_config: {type: sqlite, db_path: DIR/data/crowdsec.db, log_level: info, use_wal: true}
plugin_config: {user: "", group: ""}
api:
  client: {credentials_path: DIR/etc/local_api_credentials.yaml}
  server: {log_level: info, listen_uri: "127.0.0.1:PORT", profiles_path: DIR/etc/profiles.yaml}
prometheus: {enabled: false}
`))
	config := filepath.Join(dir, "etc/config.yaml")
	if out, err := exec.CommandContext(t.Context(), filepath.Join(root, "usr/bin/cscli"), "-c", config, "machines", "add", "e2e",
		"--password", "only-on-loopback", "--force", "-f", filepath.Join(dir, "etc/local_api_credentials.yaml")).CombinedOutput(); err != nil {
		t.Fatalf("cscli: %v: %s", err, out)
	}
	c.Process = Start(t, "crowdsec", exec.Command(filepath.Join(root, "usr/bin/crowdsec"), "-c", config))
	Eventually(t, time.Minute, "CrowdSec reads its log", func() bool {
		if c.Ended() {
			t.Fatal("CrowdSec ended before it read its log")
		}
		return strings.Contains(c.Output(), "Starting processing data")
	})
	return c
}

// BruteForce writes to the log what sshd writes of failed sign-ins from an address, each with another name. Six within ten
// seconds are enough for the scenario.
func (c *CrowdSec) BruteForce(address string, tries int) {
	c.t.Helper()
	f, err := os.OpenFile(c.Log, os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	for i := range tries {
		if _, err := fmt.Fprintf(f, "%s victim sshd[%d]: Failed password for invalid user admin%d from %s port %d ssh2\n",
			time.Now().Format(time.Stamp), 900+i, i, address, 40000+i); err != nil {
			c.t.Fatal(err)
		}
	}
}
