package transporttest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/transporttest"
)

// tail is a third-party Transport for a protocol over TCP: the client sends the token on a line,
// and the server sends "ok" or "over", then a line for each event with the token, a space and the
// data, and "bye" before it ends a connection.
type tail struct {
	addr string
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

type tailConn struct {
	ctx    context.Context
	net    net.Conn
	lines  *bufio.Reader
	closed chan struct{}
	close  func()
	err    error
}

func (t *tail) Validate() error {
	if t.addr == "" {
		return errors.New("tail: addr is missing")
	}
	return nil
}

func (t *tail) Open(ctx context.Context, token string) (*transport.Session, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	nc, err := t.dial(ctx, "tcp", t.addr)
	if err != nil {
		return nil, fmt.Errorf("tail: %w", err)
	}
	c := &tailConn{ctx: ctx, net: nc, lines: bufio.NewReader(nc), closed: make(chan struct{})}
	c.close = sync.OnceFunc(func() {
		close(c.closed)
		nc.Close()
	})
	context.AfterFunc(ctx, c.close)
	if err := c.greet(token); err != nil {
		c.close()
		return nil, err
	}
	return &transport.Session{Conn: c, Resumes: true}, nil
}

func (c *tailConn) greet(token string) error {
	if _, err := io.WriteString(c.net, token+"\n"); err != nil {
		return c.failure(err)
	}
	line, err := c.lines.ReadString('\n')
	switch {
	case err != nil:
		return c.failure(err)
	case line == "over\n":
		return transport.ErrComplete
	}
	return nil
}

func (c *tailConn) Read(m *transport.Message) error {
	if c.err == nil {
		*m, c.err = c.message()
	}
	return c.err
}

func (c *tailConn) message() (transport.Message, error) {
	line, err := c.lines.ReadBytes('\n')
	if err != nil || c.over() {
		return transport.Message{}, c.failure(err)
	}
	if string(line) == "bye\n" {
		return transport.Message{}, io.EOF
	}
	id, data, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
	next, _ := c.lines.Peek(c.lines.Buffered())
	return transport.Message{Token: id, Data: []byte(data), More: strings.Contains(string(next), "\n")}, nil
}

func (c *tailConn) over() bool {
	select {
	case <-c.closed:
		return true
	default:
		return c.ctx.Err() != nil
	}
}

// failure returns why no more can be read.
func (c *tailConn) failure(err error) error {
	switch {
	case c.ctx.Err() != nil:
		return context.Cause(c.ctx)
	case c.over():
		return errors.New("tail: closed")
	case err == io.EOF:
		return fmt.Errorf("tail: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("tail: %w", err)
}

func (c *tailConn) Close() error {
	c.close()
	return nil
}

// A tailPeer is the server of a tail.
type tailPeer struct {
	script transporttest.Script
	done   chan struct{}
	work   sync.WaitGroup

	mu     sync.Mutex
	joined bool // the first connection was made
	over   bool
	conns  []net.Conn
}

func startTail(t testing.TB, s transporttest.Script, l net.Listener) {
	p := &tailPeer{script: s, done: make(chan struct{})}
	p.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			first := !p.joined
			p.joined = true
			p.conns = append(p.conns, c)
			p.mu.Unlock()
			p.work.Go(func() { p.serve(c, first) })
		}
	})
	t.Cleanup(func() {
		close(p.done)
		l.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.work.Wait()
	})
}

func (p *tailPeer) serve(c net.Conn, first bool) {
	defer c.Close()
	token, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return
	}
	if p.script.Dial == transporttest.DialSilent {
		<-p.done
	}
	p.mu.Lock()
	over := p.over
	p.mu.Unlock()
	if over {
		io.WriteString(c, "over\n")
		return
	}
	io.WriteString(c, "ok\n")
	due := token == "\n"
	for _, e := range p.script.Events {
		if due {
			time.Sleep(e.Pause)
			fmt.Fprintf(c, "%s %s\n", e.Token, e.Data)
		}
		due = due || token == e.Token+"\n"
	}
	if first {
		p.end(c)
		return
	}
	<-p.done
}

func (p *tailPeer) end(c net.Conn) {
	switch p.script.Ending {
	case transporttest.EndingStay:
		<-p.done
	case transporttest.EndingPartial:
		io.WriteString(c, "secret-x {")
	case transporttest.EndingComplete:
		p.mu.Lock()
		p.over = true
		p.mu.Unlock()
		io.WriteString(c, "bye\n")
	case transporttest.EndingClean:
		io.WriteString(c, "bye\n")
	}
}

func TestThirdPartyInMemory(t *testing.T) {
	transporttest.RunInBubble(t, func(t testing.TB, s transporttest.Script) transport.Transport {
		if s.Misconfigured {
			return new(tail)
		}
		n := new(mock.Network)
		l, err := n.Listen("feed.test:7")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
		startTail(t, s, l)
		if s.Dial == transporttest.DialRefused {
			return &tail{"feed.test:8", n.Dial}
		}
		return &tail{"feed.test:7", n.Dial}
	})
}

func TestThirdPartyOnLoopback(t *testing.T) {
	t.Parallel()
	transporttest.Run(t, func(t testing.TB, s transporttest.Script) transport.Transport {
		if s.Misconfigured {
			return new(tail)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if s.Dial == transporttest.DialRefused {
			l.Close()
		} else {
			startTail(t, s, l)
		}
		return &tail{l.Addr().String(), new(net.Dialer).DialContext}
	})
}
