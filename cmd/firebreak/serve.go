package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/firebreak/firebreak/cmd/firebreak/command"
	"github.com/firebreak/firebreak/internal/app"
	"github.com/firebreak/firebreak/internal/telemetry"
)

// startServer runs the server until it is interrupted, and then drains. A second interrupt ends it at once.
func startServer(ctx context.Context, o command.ServeOptions) error {
	log, err := telemetry.Logger(os.Stderr, o.LogFormat, o.LogLevel)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	a, err := app.New(ctx, app.Config{Data: o.Data, Listen: o.Listen, MetricsListen: o.MetricsListen, BaseURL: o.BaseURL,
		KeyFile: o.KeyFile, DatabaseURL: o.DatabaseURL, PolicyDir: o.PolicyDir,
		Temporal: app.Temporal{Address: o.TemporalAddress, Namespace: o.TemporalNamespace, TLSCA: o.TemporalTLSCA,
			TLSCert: o.TemporalTLSCert, TLSKey: o.TemporalTLSKey, TLSServerName: o.TemporalServerName, APIKeyFile: o.TemporalAPIKeyFile,
			BasePort: o.TemporalPort},
		Lab: o.Lab, AdminLink: o.AdminLink, Version: o.Build.Version, Commit: o.Build.Commit, OTLPEndpoint: o.OTLPEndpoint, Log: log, Announce: o.Announce})
	if err != nil {
		return err
	}
	err = a.Run(ctx)
	o.Announce("Draining; what is open goes on at the next start.")
	return errors.Join(err, a.Close(context.WithoutCancel(ctx)))
}
