package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	"go.temporal.io/server/temporal"

	"github.com/firebreak/firebreak/internal/threat"
)

const (
	shards      = 4 // of history; fixed for ever once the databases are made
	clusterName = "active"
	loopbackIP  = "127.0.0.1"
	startTries  = 3
)

// services are the server's parts, in the order in which they take ports: the frontend first.
var services = []primitives.ServiceName{
	primitives.FrontendService,
	primitives.InternalFrontendService, // for the server's own workers, behind the certificate and not the credential
	primitives.HistoryService,
	primitives.MatchingService,
	primitives.WorkerService,
}

// server is an embedded Temporal server.
type server struct {
	temporal.Server
	quiet *atomic.Bool
}

// stop ends the server; what it wrote stays.
func (s *server) stop() (err error) {
	s.quiet.Store(true)
	defer recoverFatal(&err)
	return s.Stop()
}

// embed makes the databases ready, starts the server, and connects to it.
func (e *Engine) embed(ctx context.Context, o Options) error {
	var stores config.Persistence
	var err error
	if o.SQLitePath != "" {
		stores, err = sqliteStores(o.SQLitePath, o.Log)
	} else {
		if e.lock, err = acquire(ctx, o.PostgresURL); err != nil {
			return err
		}
		stores, err = postgresStores(ctx, o.PostgresURL)
	}
	if err != nil {
		return err
	}
	if err := makeNamespace(stores); err != nil {
		return threat.Faultf(threat.Unavailable, "Temporal's namespace cannot be written: %w", err)
	}
	if e.credential = o.Credential; e.credential == "" {
		e.credential = rand.Text() + rand.Text()
	}
	if err := e.serve(o, stores); err != nil {
		return err
	}
	if err := e.connect(ctx, o, e.credential, nil); err != nil {
		return err
	}
	return e.ready(ctx)
}

// serve starts the server. A port that somebody took between its choice and its use is a reason to choose again.
func (e *Engine) serve(o Options, stores config.Persistence) error {
	for try := 1; ; try++ {
		ports, err := o.Ports.choose(len(services))
		if err != nil {
			return err
		}
		s, err := newServer(o.Log, ports, stores, e.credential)
		if err == nil {
			e.server, e.address = s, net.JoinHostPort(loopbackIP, strconv.Itoa(ports[0]))
			if err = s.start(); err != nil {
				e.server = nil
				err = errors.Join(err, s.stop())
			}
		}
		var taken fatal
		if err == nil || !errors.As(err, &taken) || try == startTries {
			if err != nil {
				err = threat.Faultf(threat.Unavailable, "the embedded Temporal cannot start: %w", err)
			}
			return err
		}
	}
}

func newServer(log *slog.Logger, ports []int, stores config.Persistence, credential string) (s *server, err error) {
	defer recoverFatal(&err)
	certs, err := newCertificates()
	if err != nil {
		return nil, err
	}
	conf := &config.Config{
		Persistence: stores,
		Services:    map[string]config.Service{},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{clusterName: {Enabled: true, InitialFailoverVersion: 1,
				RPCAddress: net.JoinHostPort(loopbackIP, strconv.Itoa(ports[0]))}},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Archival: config.Archival{History: config.HistoryArchival{State: "disabled"},
			Visibility: config.VisibilityArchival{State: "disabled"}},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: "disabled"},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: "disabled"}}},
	}
	var names []string
	hosts := map[primitives.ServiceName]static.Hosts{} // in place of gossip, which would need ports that anybody can join
	for i, name := range services {
		names = append(names, string(name))
		conf.Services[string(name)] = config.Service{RPC: config.RPC{GRPCPort: ports[i], BindOnIP: loopbackIP}}
		hosts[name] = static.SingleLocalHost(net.JoinHostPort(loopbackIP, strconv.Itoa(ports[i])))
	}
	s = &server{quiet: &atomic.Bool{}}
	s.Server, err = temporal.NewServer(
		temporal.WithConfig(conf),
		temporal.ForServices(names),
		temporal.WithStaticHosts(hosts),
		temporal.WithLogger(serverLog{log, s.quiet}),
		temporal.WithNamespaceLogger(serverLog{log, s.quiet}),
		temporal.WithDynamicConfigClient(dynamic()),
		temporal.WithTLSConfigFactory(certs),
		temporal.WithAuthorizer(authorization.NewDefaultAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return bearer(credential) }),
	)
	return s, err
}

func (s *server) start() (err error) {
	defer recoverFatal(&err)
	return s.Start()
}

// recoverFatal turns what serverLog panics with into an error.
func recoverFatal(err *error) {
	switch r := recover().(type) {
	case nil:
	case fatal:
		*err = r
	default:
		panic(r)
	}
}

// dynamic gives the settings that differ from the server's own.
func dynamic() dynamicconfig.Client {
	return dynamicconfig.StaticClient{
		// One process needs no partitions, and with several a task waits for a poller of the right one.
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,
		// 20 a second a shard by default: a floor of 50 ms under every workflow task.
		dynamicconfig.TransferProcessorMaxPollRPS.Key():   200,
		dynamicconfig.TimerProcessorMaxPollRPS.Key():      200,
		dynamicconfig.VisibilityProcessorMaxPollRPS.Key(): 200,
		// The sweep reads all open workflows page by page.
		dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key(): 100,
		// It would ask a host on the Internet which versions there are.
		dynamicconfig.EnableServerVersionCheck.Key(): false,
	}
}

// makeNamespace writes our namespace unless it is there. Closed workflows are kept a day.
func makeNamespace(stores config.Persistence) error {
	ns, err := sqliteschema.NewNamespaceConfig(clusterName, Namespace, false, nil)
	if err != nil {
		return err
	}
	return sqliteschema.CreateNamespaces(stores.DataStores[stores.DefaultStore].SQL, ns) // in any SQL database
}

// ready waits until the server answers for our namespace.
func (e *Engine) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		_, err := e.client.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
			Namespace: e.namespace,
			TaskQueue: &taskqueuepb.TaskQueue{Name: TaskQueue}, TaskQueueType: enumspb.TASK_QUEUE_TYPE_WORKFLOW})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return &threat.Fault{Kind: threat.Unavailable, What: "the embedded Temporal does not become ready",
				Err: fmt.Errorf("%w: %w", ctx.Err(), err)}
		case <-time.After(20 * time.Millisecond):
		}
	}
}
