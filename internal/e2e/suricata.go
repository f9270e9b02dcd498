//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Suricata is a real Suricata that watches one interface of a namespace, with the rules that it is given and no others.
type Suricata struct {
	*Process
	Eve string // the file of its EVE records, one a line
	t   testing.TB
}

// StartSuricata starts the unpacked package. Its libraries lie beside it.
func StartSuricata(t testing.TB, n Namespace, device string, rules ...string) *Suricata {
	t.Helper()
	needRoot(t)
	root, dir := part(t, "suricata"), t.TempDir()
	s := &Suricata{Eve: filepath.Join(dir, "eve.json"), t: t}
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("local.rules", strings.Join(rules, "\n")+"\n")
	put("suricata.yaml", strings.NewReplacer("DIR", dir, "ETC", filepath.Join(root, "etc/suricata"), "DEVICE", device).Replace(`%YAML 1.1
---
vars:
  address-groups: {HOME_NET: "[10.0.0.0/8,192.168.0.0/16,172.16.0.0/12,fd00::/8]", EXTERNAL_NET: "!$HOME_NET"}
  port-groups: {HTTP_PORTS: "80", SSH_PORTS: "22"}
default-log-dir: DIR
default-rule-path: DIR
rule-files: [local.rules]
classification-file: ETC/classification.config
reference-config-file: ETC/reference.config
threshold-file: ETC/threshold.config
stats: {enabled: no}
outputs:
  - eve-log: {enabled: yes, filetype: regular, filename: eve.json, types: [{alert: {metadata: yes}}, dns, http]}
logging:
  default-log-level: notice
  outputs: [{console: {enabled: yes}}]
af-packet: [{interface: DEVICE, threads: 1, cluster-id: 99, cluster-type: cluster_flow, defrag: yes}]
unix-command: {enabled: no}
app-layer:
  protocols:
    http: {enabled: yes, libhtp: {default-config: {personality: IDS}}}
    dns: {tcp: {enabled: yes, detection-ports: {dp: 53}}, udp: {enabled: yes, detection-ports: {dp: 53}}}
    tls: {enabled: yes, detection-ports: {dp: 443}}
`))
	libraries := []string{filepath.Join(root, "usr/lib/x86_64-linux-gnu"), filepath.Join(root, "lib/x86_64-linux-gnu")}
	cmd := exec.Command("ip", "netns", "exec", n.Name, filepath.Join(root, "usr/bin/suricata"), "-c", filepath.Join(dir, "suricata.yaml"),
		"--af-packet="+device, "-k", "none", "--runmode", "single", "-l", dir)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
	s.Process = Start(t, "suricata", cmd)
	Eventually(t, time.Minute, "Suricata watches "+device, func() bool {
		if s.Ended() {
			t.Fatal("Suricata ended before it watched")
		}
		return strings.Contains(s.Output(), "Engine started")
	})
	return s
}

// Records gives what Suricata has written so far, whole lines only.
func (s *Suricata) Records() [][]byte {
	s.t.Helper()
	b, err := os.ReadFile(s.Eve)
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	lines := bytes.Split(b, []byte("\n"))
	return lines[:len(lines)-1]
}

// Alerts gives the alerts among the records.
func (s *Suricata) Alerts() [][]byte {
	s.t.Helper()
	var out [][]byte
	for _, line := range s.Records() {
		if bytes.Contains(line, []byte(`"event_type":"alert"`)) {
			out = append(out, line)
		}
	}
	return out
}

// Ship posts every record to a sensor's address until the test ends, as a log shipper would. A batch that is not answered
// with 202 is posted again.
func (s *Suricata) Ship(address, token string) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		shipped := 0
		for tick := time.NewTicker(100 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
			b, err := os.ReadFile(s.Eve)
			end := bytes.LastIndexByte(b, '\n') + 1
			if err != nil || end <= shipped {
				continue // nothing new, or not there yet
			}
			if err := post(ctx, address, token, b[shipped:end]); err != nil {
				s.t.Logf("the shipper tries again: %v", err)
				continue
			}
			shipped = end
		}
	}()
}

func post(ctx context.Context, address, token string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("answered %s", resp.Status)
	}
	return nil
}
