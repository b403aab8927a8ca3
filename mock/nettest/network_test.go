package nettest

import (
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/steadfeed/steadfeed/mock"
)

func TestNetwork(t *testing.T) {
	t.Run("dialed", func(t *testing.T) { nettest.TestConn(t, pipe(t, false, 0)) })
	t.Run("accepted", func(t *testing.T) { nettest.TestConn(t, pipe(t, true, 0)) })
	t.Run("slow", func(t *testing.T) { nettest.TestConn(t, pipe(t, false, time.Millisecond)) })
}

// pipe makes connections whose first end, which most subtests examine, is the one that
// has dialed or the one that was accepted.
func pipe(t *testing.T, acceptedFirst bool, latency time.Duration) nettest.MakePipe {
	return func() (net.Conn, net.Conn, func(), error) {
		n := &mock.Network{Latency: latency}
		l, err := n.Listen("host.test:1")
		if err != nil {
			return nil, nil, nil, err
		}
		dialed, dialErr := n.Dial(t.Context(), "tcp", l.Addr().String())
		accepted, acceptErr := l.Accept()
		if err := errors.Join(dialErr, acceptErr); err != nil {
			return nil, nil, nil, err
		}
		stop := func() {
			dialed.Close()
			accepted.Close()
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}
		if acceptedFirst {
			return accepted, dialed, stop, nil
		}
		return dialed, accepted, stop, nil
	}
}
