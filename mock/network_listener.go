package mock

import (
	"context"
	"net"
	"time"

	"github.com/steadfeed/steadfeed/mock/internal/wait"
)

// A listener's fields are guarded by the mutex of its network.
type listener struct {
	network *Network
	addr    address
	queue   []*conn // ends not yet accepted
	closed  bool
}

// admit creates a connection as soon as the backlog has room, and returns the dialing end.
func (l *listener) admit(ctx context.Context, addr net.Addr) (*conn, error) {
	n := l.network
	for {
		n.mu.Lock()
		if l.closed {
			n.mu.Unlock()
			return nil, errRefused()
		}
		if len(l.queue) < backlog {
			defer n.mu.Unlock()
			return l.connect(addr), nil
		}
		wake := n.changed.Fired()
		n.mu.Unlock()
		wait.Until(ctx, time.Time{}, wake)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

func (l *listener) connect(addr net.Addr) *conn {
	n := l.network
	from := &net.TCPAddr{IP: dialer, Port: n.nextPort()}
	up, down := newPipe(n.link()), newPipe(n.link())
	client := &conn{network: n, local: from, remote: addr, dialed: true, tx: up, rx: down}
	server := &conn{network: n, local: addr, remote: from, tx: down, rx: up}
	n.ends[client], n.ends[server] = struct{}{}, struct{}{}
	l.queue = append(l.queue, server)
	n.changed.Fire()
	return client
}

func (l *listener) Addr() net.Addr { return l.addr }

func (l *listener) Accept() (net.Conn, error) {
	n := l.network
	for {
		n.mu.Lock()
		if l.closed {
			n.mu.Unlock()
			return nil, l.errClosed("accept")
		}
		if len(l.queue) > 0 {
			defer n.mu.Unlock()
			c := l.queue[0]
			l.queue = l.queue[1:]
			n.changed.Fire()
			return c, nil
		}
		wake := n.changed.Fired()
		n.mu.Unlock()
		<-wake
	}
}

// Close resets the connections that have not been accepted.
func (l *listener) Close() error {
	n := l.network
	n.mu.Lock()
	if l.closed {
		n.mu.Unlock()
		return l.errClosed("close")
	}
	l.closed = true
	delete(n.listeners, string(l.addr))
	left := l.queue
	l.queue = nil
	n.changed.Fire()
	n.mu.Unlock()
	for _, c := range left {
		c.drop()
	}
	return nil
}

func (l *listener) errClosed(op string) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
}
