package engine_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/firebreak/firebreak/internal/engine"
)

func connection(t *testing.T, address string, c credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(c))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// refusesStrangers tries what any process of this machine could.
func refusesStrangers(t *testing.T, e *engine.Engine) {
	conn := connection(t, e.Address(), insecure.NewCredentials())
	calls := map[string]func(context.Context) error{
		"start": func(ctx context.Context) error {
			_, err := workflowservice.NewWorkflowServiceClient(conn).StartWorkflowExecution(ctx,
				&workflowservice.StartWorkflowExecutionRequest{Namespace: engine.Namespace, WorkflowId: "stranger"})
			return err
		},
		"poll": func(ctx context.Context) error {
			_, err := workflowservice.NewWorkflowServiceClient(conn).PollWorkflowTaskQueue(ctx,
				&workflowservice.PollWorkflowTaskQueueRequest{Namespace: engine.Namespace})
			return err
		},
		"list": func(ctx context.Context) error {
			_, err := workflowservice.NewWorkflowServiceClient(conn).ListWorkflowExecutions(ctx,
				&workflowservice.ListWorkflowExecutionsRequest{Namespace: engine.Namespace})
			return err
		},
		"namespaces": func(ctx context.Context) error {
			_, err := workflowservice.NewWorkflowServiceClient(conn).ListNamespaces(ctx, &workflowservice.ListNamespacesRequest{})
			return err
		},
		"operate": func(ctx context.Context) error {
			_, err := operatorservice.NewOperatorServiceClient(conn).DeleteNamespace(ctx,
				&operatorservice.DeleteNamespaceRequest{Namespace: engine.Namespace})
			return err
		},
		"reflect": func(ctx context.Context) error {
			s, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
			if err != nil {
				return err
			}
			_, err = s.Recv()
			return err
		},
	}
	for who, header := range map[string]string{"nobody": "", "a guess": "Bearer guess", "no bearer": e.Credential(),
		"a longer one": "Bearer " + e.Credential() + "x"} {
		for what, call := range calls {
			ctx := within(t)
			if header != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", header)
			}
			err := call(ctx)
			require.ErrorContains(t, err, "Request unauthorized", "%s: %s", who, what)
			require.True(t, what == "reflect" || status.Code(err) == codes.PermissionDenied, "a stream bears another code: %v", err)
		}
	}
	right := metadata.AppendToOutgoingContext(within(t), "authorization", "Bearer "+e.Credential())
	require.NoError(t, calls["namespaces"](right))
}

// listening gives the TCP sockets on which this process listens, by address. The test is skipped, by name, where there is
// no /proc.
func listening(t *testing.T) map[string]bool {
	t.Helper()
	ours := map[string]bool{}
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(links) == 0 {
		return nil
	}
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && strings.HasPrefix(to, "socket:[") {
			ours[strings.Trim(to, "socket:[]")] = true
		}
	}
	out := map[string]bool{}
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(text), "\n")[1:] {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && ours[f[9]] {
				out[f[1]] = true
			}
		}
	}
	return out
}

// listensOnLoopback checks every port that came with the server: none is open to the network, and those that ask for no
// credential ask for a certificate that only this process has.
func listensOnLoopback(t *testing.T, e *engine.Engine, before map[string]bool) {
	if before == nil {
		t.Skipf("%s: no /proc on this system", t.Name())
	}
	others := 0
	for address := range listening(t) {
		if before[address] {
			continue
		}
		ip, hex, _ := strings.Cut(address, ":")
		require.Equal(t, "0100007F", ip, "127.0.0.1, as the kernel writes it")
		port, err := strconv.ParseUint(hex, 16, 16)
		require.NoError(t, err)
		if hostPort := net.JoinHostPort("127.0.0.1", fmt.Sprint(port)); hostPort != e.Address() {
			others++
			for _, c := range []credentials.TransportCredentials{insecure.NewCredentials(),
				credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})} { // it is us that must be refused
				conn := connection(t, hostPort, c)
				_, err := workflowservice.NewWorkflowServiceClient(conn).ListNamespaces(within(t),
					&workflowservice.ListNamespacesRequest{})
				require.Equal(t, codes.Unavailable, status.Code(err), "no connection comes about: %v", err)
			}
		}
	}
	require.GreaterOrEqual(t, others, 3)
}
