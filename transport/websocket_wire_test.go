package transport_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// pingAnd returns an application's ping and n texts.
func pingAnd(n int) []byte {
	b := wsFrame(fin|opText, "PING")
	for i := range n {
		b = append(b, wsFrame(fin|opText, fmt.Sprint(i))...)
	}
	return b
}

// pongFirst sends before it makes the message a keepalive, as most programs do.
func pongFirst(s *transport.Socket, m *transport.Message) error {
	if string(m.Data) != "PING" {
		return nil
	}
	if err := s.Send(context.Background(), []byte("PONG")); err != nil {
		return err
	}
	m.Kind = decode.KindKeepalive
	return nil
}

// Messages received before a loss are delivered before it, whatever detects the loss.
func TestWebSocketDeliversWhatIsReceived(t *testing.T) {
	const messages = 300
	stuck := func(t *testing.T, w *transport.WebSocket) { // the network is full
		go func() {
			for w.Send(t.Context(), make([]byte, 10000)) == nil {
			}
		}()
		synctest.Wait()
	}
	for name, c := range map[string]struct {
		serve   func(conn net.Conn)
		disturb func(t *testing.T, w *transport.WebSocket)
		pings   time.Duration
		err     string
	}{
		"the server is gone": {serve: func(conn net.Conn) {
			conn.Write(pingAnd(messages))
		}, err: "without a close frame"},
		"closed by the server": {serve: func(conn net.Conn) {
			conn.Write(append(pingAnd(messages), closing(1001, "")...))
		}, err: "code 1001"},
		"the answer is stuck": {serve: func(conn net.Conn) {
			conn.Write(pingAnd(messages))
			time.Sleep(8 * time.Second)
		}, disturb: stuck, err: "accepted no data"},
		"the answer is stuck, closed by the server": {serve: func(conn net.Conn) {
			conn.Write(append(pingAnd(messages), closing(1001, "")...))
			time.Sleep(8 * time.Second)
		}, disturb: stuck, err: "code 1001"},
		"the pong is stuck": {serve: func(conn net.Conn) {
			conn.Write(append(wsFrame(fin|opText, "first"), append(wsFrame(fin|opPing, "x"), pingAnd(messages)...)...))
			time.Sleep(8 * time.Second)
		}, disturb: stuck, err: "accepted no data"},
		"a ping is stuck": {serve: func(conn net.Conn) {
			conn.Write(pingAnd(messages))
			time.Sleep(8 * time.Second)
		}, disturb: stuck, pings: time.Second, err: "accepted no data"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := raw(t, c.serve)
				w.OnMessage, w.PingInterval, w.PongTimeout = pongFirst, c.pings, c.pings
				conn := openSocket(t, w, "")
				synctest.Wait()
				if c.disturb != nil {
					c.disturb(t, w)
				}
				next, err := 0, error(nil)
				for err == nil {
					var m transport.Message
					m, err = readFrom(conn)
					switch {
					case err != nil:
					case m.Kind != decode.KindData, string(m.Data) == "first":
					case string(m.Data) != fmt.Sprint(next):
						t.Fatalf("got %.20q, want %d", m.Data, next)
					default:
						next++
					}
				}
				if next != messages || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %d messages of %d, then %v, want all, then %q", next, messages, err, c.err)
				}
			})
		})
	}
}

// Send fails once everything received has been read, so that a loop of sends ends.
func TestWebSocketSendAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) { conn.Write(pingAnd(1)) })
		var socket *transport.Socket
		w.OnMessage = func(s *transport.Socket, _ *transport.Message) error {
			socket = s
			return nil
		}
		conn := openSocket(t, w, "")
		read(t, conn)
		synctest.Wait()
		time.Sleep(time.Second)
		w.Send(t.Context(), []byte("x")) // notices
		if err := socket.Send(t.Context(), []byte("x")); err != nil {
			t.Errorf("Send while a message is unread: %v", err)
		}
		if err := w.Send(t.Context(), []byte("x")); !errors.Is(err, transport.ErrNotConnected) {
			t.Errorf("WebSocket.Send on a lost connection: got %v, want %v", err, transport.ErrNotConnected)
		}
		read(t, conn)
		readError(t, conn)
		if err := socket.Send(t.Context(), []byte("x")); !errors.Is(err, transport.ErrNotConnected) {
			t.Errorf("Send after the end: got %v, want %v", err, transport.ErrNotConnected)
		}
	})
}

// oneWay is a connection whose writes fail and whose reads wait.
type oneWay struct {
	net.Conn
	broken *atomic.Bool
}

func (c oneWay) Write(p []byte) (int, error) {
	if c.broken.Load() {
		return 0, errors.New("write failed")
	}
	return c.Conn.Write(p)
}

// A connection whose writes fail ends once everything received has been read.
func TestWebSocketWritesFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) {
			conn.Write(pingAnd(3))
			hangUp(conn)
		})
		var broken atomic.Bool
		network := w.Client.Transport.(*http.Transport).Clone()
		dial := network.DialContext
		network.DialContext = func(ctx context.Context, name, addr string) (net.Conn, error) {
			conn, err := dial(ctx, name, addr)
			return oneWay{conn, &broken}, err
		}
		w.Client = &http.Client{Transport: network}
		w.PingInterval = -1
		w.OnMessage = pongFirst
		conn := openSocket(t, w, "")
		broken.Store(true)
		for range 4 {
			read(t, conn)
		}
		start := time.Now()
		err := want[*transport.CloseError](t, readError(t, conn))
		if d := time.Since(start); err.Code != 1006 || d > 10*time.Second {
			t.Errorf("got %v after %v, want close code 1006 within 10s", err, d)
		}
	})
}

// The server sends a ping and its last event, and is gone before the pong arrives.
func TestWebSocketEventAfterUnansweredPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) {
			conn.Write(bytes.Join([][]byte{
				wsFrame(fin|opText, "first"), wsFrame(fin|opPing, ""), wsFrame(fin|opText, "last"), closing(1000, ""),
			}, nil))
		})
		w.End = transport.EndFeed
		conn := openSocket(t, w, "")
		if m := read(t, conn); string(m.Data) != "first" || !m.More {
			t.Errorf("got %q, more %v, want first, true", m.Data, m.More)
		}
		time.Sleep(time.Second)
		m, err := readFrom(conn)
		if errors.Is(err, transport.ErrComplete) {
			t.Errorf("got %v before the last event", err)
		} else if err == nil && string(m.Data) != "last" {
			t.Errorf("got %q, want last", m.Data)
		}
	})
}

// On a real network, a server that has not read everything resets the connection.
func TestWebSocketEventAfterUnansweredPingOnTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sent, first, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil {
				c.Close()
				continue
			}
			key := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
			fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
				"Sec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(key[:]))
			<-sent // a heartbeat arrives, which is not read
			c.Write(bytes.Join([][]byte{
				wsFrame(fin|opText, "first"), wsFrame(fin|opPing, ""), wsFrame(fin|opText, "last"), closing(1000, ""),
			}, nil))
			<-first
			c.Close()
			close(closed)
		}
	}()
	w := &transport.WebSocket{URL: "ws://" + l.Addr().String(), End: transport.EndFeed}
	conn := openSocket(t, w, "")
	w.Send(t.Context(), []byte("heartbeat"))
	close(sent)
	read(t, conn)
	close(first)
	<-closed
	_, err = readFrom(conn)
	if errors.Is(err, transport.ErrComplete) {
		t.Errorf("got %v before the last event", err)
	}
}

// A server that fails between its ping and the pong violates no rule.
func TestWebSocketServerGoneBeforePong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) {
			conn.Write(append(wsFrame(fin|opText, "first"), wsFrame(fin|opPing, "")...))
		})
		conn := openSocket(t, w, "")
		read(t, conn)
		time.Sleep(time.Second)
		_, err := readFrom(conn)
		var p *transport.ProtocolError
		if errors.As(err, &p) {
			t.Errorf("got %v, want a network failure", err)
		}
	})
}

func TestWebSocketViolationBeforeCloseFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) {
			conn.Write(bytes.Join([][]byte{wsFrame(fin|rsv2|opText, "event"), wsFrame(fin|opText, "last"), closing(1000, "")}, nil))
			hangUp(conn)
		})
		w.End = transport.EndFeed
		conn := openSocket(t, w, "")
		if m, err := readFrom(conn); errors.Is(err, transport.ErrComplete) {
			t.Errorf("got the end of the feed after %q, want a protocol violation", m.Data)
		}
	})
}
