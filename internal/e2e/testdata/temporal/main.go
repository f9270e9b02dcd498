// Temporal for tests, as an outside cluster: the server that the program embeds, in a process of its own on 127.0.0.1. The
// credential that clients send is read from a file. It runs until it is interrupted.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/firebreak/firebreak/internal/engine"
)

func main() {
	file := flag.String("file", "temporal.db", "the SQLite file")
	port := flag.Int("port", 7310, "of the frontend; the nine behind it are the server's too")
	key := flag.String("api-key-file", "", "the file with the credential")
	flag.Parse()
	if err := run(*file, *port, *key); err != nil {
		fmt.Fprintln(os.Stderr, "temporal:", err)
		os.Exit(1)
	}
}

func run(file string, port int, key string) error {
	credential, err := os.ReadFile(key)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	start, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	e, err := engine.Start(start, engine.Options{SQLitePath: file, Ports: engine.Ports{Base: port, Frontend: port},
		Credential: strings.TrimSpace(string(credential)), ServeOnly: true, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	fmt.Println("Temporal runs at", e.Address())
	<-ctx.Done()
	end, done := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer done()
	return e.Close(end)
}
