package mock

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/steadfeed/steadfeed/mock/internal/wait"
)

// A Network is an in-memory network: hosts that listen, and connections to them. A connection
// behaves like TCP: each direction holds 64 KiB and then blocks its writer; deadlines,
// CloseWrite and SetLinger(0) work as on a *net.TCPConn; errors are *net.OpError around the
// errno of a real network. The time of a synctest bubble advances while goroutines wait on a
// connection.
//
// The zero Network has no listeners and is ready for use. Set its fields before the first Dial.
// All methods may be called from any goroutine. A Network starts no goroutine.
type Network struct {
	// Latency is how long data takes to arrive. Dial takes a round trip. A reset is not delayed,
	// and neither is the error of a Write after the peer has closed the connection. Default: none.
	Latency time.Duration

	// Bandwidth limits each direction of a connection, in bytes per second. Default: no limit.
	Bandwidth int

	mu        sync.Mutex
	listeners map[string]*listener // by host:port; an empty host is any host
	hosts     map[string]bool      // that have ever listened
	ends      map[*conn]struct{}   // that are open
	port      int                  // assigned last
	closed    bool
	changed   wait.Signal
}

const (
	firstPort = 49152 // first dynamic port (RFC 6335, section 6)
	backlog   = 128   // connections that a listener queues until they are accepted
	closeWait = 5 * time.Second
)

// dialer is the address of every dialing end, from a block for documentation (RFC 5737, section
// 3).
var dialer = net.IPv4(192, 0, 2, 1)

// Listen listens on "host:port". Without a host it accepts connections to the port of any host.
// Port 0 picks a free port.
func (n *Network) Listen(addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, listenError(addr, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, listenError(addr, net.ErrClosed)
	}
	if n.listeners == nil {
		n.listeners, n.hosts = make(map[string]*listener), make(map[string]bool)
		n.ends = make(map[*conn]struct{})
	}
	host = canonical(host)
	pick := port == "0"
	for addr = net.JoinHostPort(host, port); pick; pick = n.listeners[addr] != nil {
		addr = net.JoinHostPort(host, strconv.Itoa(n.nextPort()))
	}
	if n.listeners[addr] != nil {
		return nil, listenError(addr, os.NewSyscallError("bind", syscall.EADDRINUSE))
	}
	l := &listener{network: n, addr: address(addr)}
	n.listeners[addr] = l
	n.hosts[host] = true
	return l, nil
}

func listenError(addr string, err error) error {
	return &net.OpError{Op: "listen", Net: "tcp", Addr: address(addr), Err: err}
}

// Dial connects to a listener. It can be the DialContext of a [net/http.Transport]. A host that
// has never listened is a *net.DNSError, a port without a listener is ECONNREFUSED. While the
// listener's backlog is full, Dial waits until ctx ends.
func (n *Network) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: address(addr), Err: err}
	}
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return fail(net.UnknownNetworkError(network))
	}
	if ctx.Err() != nil {
		return fail(ctx.Err())
	}
	l, err := n.resolve(addr)
	if err != nil {
		return fail(err)
	}
	if trip := 2 * n.link().latency; trip > 0 {
		if wait.For(ctx, trip); ctx.Err() != nil {
			return fail(ctx.Err())
		}
	}
	c, err := l.admit(ctx, address(addr))
	if err != nil {
		return fail(err)
	}
	return c, nil
}

func (n *Network) resolve(addr string) (*listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	host = canonical(host)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, os.NewSyscallError("connect", syscall.ENETUNREACH)
	}
	for _, h := range []string{host, ""} {
		if l := n.listeners[net.JoinHostPort(h, port)]; l != nil {
			return l, nil
		}
	}
	if !n.hosts[host] && !n.hosts[""] {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return nil, errRefused()
}

func canonical(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }

func errRefused() error { return os.NewSyscallError("connect", syscall.ECONNREFUSED) }

func (n *Network) nextPort() int {
	n.port++
	if n.port < firstPort || n.port > 65535 {
		n.port = firstPort
	}
	return n.port
}

// forget removes an end that is being closed. It reports false if that was already removed.
func (n *Network) forget(c *conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, open := n.ends[c]; !open {
		return false
	}
	delete(n.ends, c)
	n.changed.Fire()
	return true
}

// open returns the ends that are open.
func (n *Network) open() []*conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]*conn, 0, len(n.ends))
	for c := range n.ends {
		all = append(all, c)
	}
	return all
}

// reset breaks every open connection: data in transit is lost, and both ends get ECONNRESET.
func (n *Network) reset() {
	for _, c := range n.open() {
		c.rx.reset()
		c.tx.reset()
	}
}

// Cut makes every open connection half-open, as if a cable were unplugged. Data that has
// arrived can be read; after it there is silence: neither bytes nor the end of the connection
// get through. Writes succeed until 64 KiB are buffered. Deadlines expire as usual. Connections
// that are dialed later work.
func (n *Network) Cut() {
	for _, c := range n.open() {
		c.rx.sever()
		c.tx.sever()
	}
}

// Close closes the listeners, resets every connection, and waits up to five seconds until the
// users of each connection have closed both ends. The error then names the ends that are left.
func (n *Network) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	n.closeAll()
	return errors.Join(n.left(ctx)...)
}

// closeAll closes the listeners and resets the connections.
func (n *Network) closeAll() {
	n.mu.Lock()
	n.closed = true
	var all []*listener
	for _, l := range n.listeners {
		all = append(all, l)
	}
	n.mu.Unlock()
	for _, l := range all {
		l.Close()
	}
	n.reset()
}

// left waits until no end is open or ctx ends, and returns an error for each end that is still
// open.
func (n *Network) left(ctx context.Context) (errs []error) {
	for {
		n.mu.Lock()
		idle, wake := len(n.ends) == 0, n.changed.Fired()
		n.mu.Unlock()
		if idle {
			return nil
		}
		if ctx.Err() != nil {
			break
		}
		wait.Until(ctx, time.Time{}, wake)
	}
	for _, c := range n.open() {
		errs = append(errs, c.unclosed())
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errs
}
