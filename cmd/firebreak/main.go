// Command firebreak turns security detections into contained threats. Its verbs are in package command; here is only what
// links them with the server.
package main

import (
	"os"
	"runtime/debug"

	"github.com/firebreak/firebreak/cmd/firebreak/command"
)

// version is set when a release is built: -ldflags "-X main.version=1.2.3".
var version = "dev"

func main() {
	os.Exit(command.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, build(), startServer))
}

// build says what program this is.
func build() command.Build {
	b := command.Build{Version: version}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Commit = s.Value
		}
	}
	return b
}
