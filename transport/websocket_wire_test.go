package transport_test

import (
	"context"
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

// pingAnd is n texts of which the first is a ping of the application's.
func pingAnd(n int) []byte {
	b := wsFrame(fin|opText, "PING")
	for i := range n {
		b = append(b, wsFrame(fin|opText, fmt.Sprint(i))...)
	}
	return b
}

// pongFirst sends before it says that the message is no event, as most programs do.
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

// What was received before a connection was lost is delivered before the loss, whatever
// notices it first.
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
			bubble(t, func(t *testing.T) {
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
					t.Errorf("%d messages of %d, then %v; want all, then %q", next, messages, err, c.err)
				}
			})
		})
	}
}

// A loop that sends until it fails ends with the connection.
func TestWebSocketSendAfterTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
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
			t.Errorf("WebSocket.Send on a lost connection: %v", err)
		}
		read(t, conn)
		readError(t, conn)
		if err := socket.Send(t.Context(), []byte("x")); !errors.Is(err, transport.ErrNotConnected) {
			t.Errorf("Send after the end: %v", err)
		}
	})
}

// oneWay is a network whose writes fail while its reads wait.
type oneWay struct {
	net.Conn
	broken *atomic.Bool
}

func (c oneWay) Write(p []byte) (int, error) {
	if c.broken.Load() {
		return 0, errors.New("no way out")
	}
	return c.Conn.Write(p)
}

// A connection that can only be read ends once what the server sent is read.
func TestWebSocketOneWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
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
			t.Errorf("%v after %v", err, d)
		}
	})
}
