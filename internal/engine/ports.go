package engine

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/firebreak/firebreak/internal/threat"
)

// choose finds n free ports on 127.0.0.1, the frontend's first. It gives Conflict when there are too few.
func (p Ports) choose(n int) ([]int, error) {
	var taken []net.Listener
	defer func() {
		for _, l := range taken {
			_ = l.Close() // the server binds it next
		}
	}()
	take := func(port int) error {
		l, err := net.Listen("tcp4", net.JoinHostPort(loopbackIP, strconv.Itoa(port)))
		if err == nil {
			taken = append(taken, l)
		}
		return err
	}
	if p.Frontend != 0 {
		if err := take(p.Frontend); err != nil {
			return nil, &threat.Fault{Kind: threat.Conflict, Err: err,
				What: fmt.Sprintf("port %d is not free for Temporal", p.Frontend),
				Next: "end the program that holds it, or give another"}
		}
	}
	if p.Base == 0 {
		for len(taken) < n {
			if err := take(0); err != nil {
				return nil, threat.Faultf(threat.Unavailable, "no free port for Temporal: %w", err)
			}
		}
	}
	for port := p.Base; len(taken) < n; port++ {
		if port >= p.Base+portRange {
			return nil, &threat.Fault{Kind: threat.Conflict,
				What: fmt.Sprintf("of the ports %d to %d too few are free for Temporal, which needs %d", p.Base, p.Base+portRange-1, n),
				Next: "end the other Firebreak on this machine, or give another range with --temporal-port"}
		}
		if err := take(port); err != nil && !errors.Is(err, syscall.EADDRINUSE) {
			return nil, threat.Faultf(threat.Unavailable, "no port for Temporal: %w", err)
		}
	}
	ports := make([]int, n)
	for i, l := range taken {
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}
