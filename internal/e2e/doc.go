// Package e2e runs the built program against real parts: network namespaces with nftables, CrowdSec, Suricata, PostgreSQL
// and Chromium. Everything in it carries the build tag e2e; `make e2e` runs it, as root, on Debian 12. A part that the
// machine lacks skips the test by name, and .ci/run brings them all. E2E_ARTIFACTS names a folder that keeps pictures of pages.
package e2e
