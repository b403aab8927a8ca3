package transport_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// OnConnect logs in on whatever host a redirect has led to.
func TestWebSocketEdgeHelloAfterRedirect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var heard atomic.Value
		client := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Host != "evil.test" {
				http.Redirect(w, r, "ws://evil.test/", http.StatusFound)
				return
			}
			c, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			defer c.CloseNow()
			_, b, _ := c.Read(r.Context())
			heard.Store(string(b))
			c.Read(r.Context())
		})
		w := &transport.WebSocket{URL: "ws://feed.test/", Client: client}
		w.OnConnect = func(ctx context.Context, s *transport.Socket, token string) error {
			return s.Send(ctx, []byte("auth=API-SECRET since="+token))
		}
		if conn, err := w.Open(t.Context(), "position"); err == nil {
			synctest.Wait()
			conn.Close()
		}
		synctest.Wait()
		if got, _ := heard.Load().(string); got != "" {
			t.Errorf("evil.test, which is not trusted, was told %q", got)
		}
	})
}

// The context ends as soon as the connection is there.
func TestWebSocketEdgeCancelledAtOnce(t *testing.T) {
	for range exhaustive(20, 1000) {
		bubble(t, func(t *testing.T) {
			w := sockets(t, func(p *peer) { p.wait() })
			ctx, cancel := context.WithCancel(t.Context())
			w.NewDecompressor = func() func([]byte) ([]byte, error) {
				cancel()
				return func(b []byte) ([]byte, error) { return b, nil }
			}
			if conn, err := w.Open(ctx, ""); err == nil {
				conn.Close()
			}
		})
	}
}

// A heartbeat that is left out needs no answer.
func TestWebSocketEdgeHeartbeatLeftOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.wait() })
		w.OnConnect = func(ctx context.Context, s *transport.Socket, _ string) error {
			s.Heartbeat(transport.Heartbeat{Interval: 10 * time.Second, RequireAck: true, Message: func() []byte { return nil }})
			return nil
		}
		conn := openSocket(t, w, "")
		time.AfterFunc(2*time.Minute, func() { conn.Close() })
		start := time.Now()
		err := readError(t, conn)
		var timeout *transport.TimeoutError
		if errors.As(err, &timeout) {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestWebSocketEdgeHeartbeatNilFunc(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.wait() })
		w.OnConnect = func(ctx context.Context, s *transport.Socket, _ string) error {
			s.Heartbeat(transport.Heartbeat{Interval: 10 * time.Second})
			return nil
		}
		conn := openSocket(t, w, "")
		time.AfterFunc(2*time.Minute, func() { conn.Close() })
		readFrom(conn)
	})
}

func child(t *testing.T, name string, env ...string) {
	limit := time.Duration(0)
	if deadline, ok := t.Deadline(); ok {
		limit = time.Until(deadline) * 9 / 10 // it shows where it hangs before this test does
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+name+"$", "-test.timeout="+limit.String(), "-test.v")
	cmd.Env = append(append(os.Environ(), "STEADFEED_TEST_CHILD=1"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%.600s\n[...]\n%s", err, out, out[max(0, len(out)-3000):]) // what was wrong is at the end
	} else if testing.Verbose() {
		t.Logf("%.600s", out)
	}
}

func TestWebSocketEdgeSendRateHuge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.wait() })
		w.SendRate = transport.Rate{N: math.MaxInt, Per: time.Second}
		if w.Validate() != nil {
			return
		}
		conn, err := w.Open(t.Context(), "")
		if err == nil {
			conn.Close()
		}
	})
}

func TestWebSocketEdgeCloseRuleHugeWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.Close(4000, "") })
		w.CloseRules = []transport.CloseRule{{From: 4000, Action: transport.ActionWait, MaxWait: math.MaxInt64}}
		conn := openSocket(t, w, "")
		readFrom(conn)
	})
}

// MaxConnectionAge while the reader answers a ping that the server does not take at once.
func TestWebSocketEdgeExpiresWhilePonging(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) {
			time.Sleep(time.Second) // a large message is on the way then
			conn.Write(wsFrame(fin|opPing, "x"))
			time.Sleep(2 * time.Second) // takes nothing
			io.Copy(io.Discard, conn)
		})
		w.MaxConnectionAge = 2 * time.Second
		w.PingInterval = -1
		start := time.Now()
		conn := openSocket(t, w, "")
		go w.Send(t.Context(), bytes.Repeat([]byte("x"), 100<<10))
		timer := time.AfterFunc(10*time.Minute, func() { conn.Close() })
		defer timer.Stop()
		readFrom(conn)
		if d := time.Since(start); d > time.Minute {
			t.Errorf("with MaxConnectionAge 2 s it lasted %v", d)
		}
	})
}

// CloseCode -1 cuts the connection without a close frame, also when it is too old.
func TestWebSocketEdgeExpireCloseCode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		code := make(chan int, 1)
		w := raw(t, func(conn net.Conn) { code <- sentClose(hangUp(conn)) })
		w.MaxConnectionAge, w.CloseCode = 5*time.Second, -1
		conn := openSocket(t, w, "")
		readFrom(conn)
		conn.Close()
		if c := <-code; c != 0 {
			t.Errorf("the server was told %d, which CloseCode -1 is to avoid", c)
		}
	})
}

// A server that takes what is sent, but not quickly.
func TestWebSocketEdgeSlowUplink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) {
			buf := make([]byte, 4096)
			for {
				time.Sleep(100 * time.Millisecond)
				if _, err := conn.Read(buf); err != nil {
					return
				}
			}
		})
		w.PingInterval = -1
		conn := openSocket(t, w, "")
		go readFrom(conn)
		if err := w.Send(t.Context(), bytes.Repeat([]byte("x"), 1<<20)); err != nil {
			t.Errorf("%v, although the server takes 40 KiB/s", err)
		}
	})
}

func TestWebSocketEdgeSlowUplinkMany(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) {
			buf := make([]byte, 4096)
			for {
				time.Sleep(100 * time.Millisecond)
				if _, err := conn.Read(buf); err != nil {
					return
				}
			}
		})
		w.PingInterval = -1
		conn := openSocket(t, w, "")
		go readFrom(conn)
		var group sync.WaitGroup
		var failed atomic.Int32
		for range 120 {
			group.Go(func() {
				if err := w.Send(t.Context(), bytes.Repeat([]byte("x"), 4000)); err != nil {
					failed.Add(1)
				}
			})
		}
		group.Wait()
		if n := failed.Load(); n > 0 {
			t.Errorf("%d of 120 messages of 4 KB failed", n)
		}
	})
}

// The cause of a context is not the end of the connection.
func TestWebSocketEdgeSendCause(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.wait() })
		w.SendRate = transport.Rate{N: 1, Per: time.Hour}
		openSocket(t, w, "")
		if err := w.Send(t.Context(), []byte("1")); err != nil {
			t.Fatal(err)
		}
		gone := errors.New("the user has gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(gone) })
		if err := w.Send(ctx, []byte("2")); errors.Is(err, transport.ErrNotConnected) || !errors.Is(err, gone) {
			t.Errorf("got %v on a connection that is open, want %v", err, gone)
		}
	})
}

// A gap that OnMessage has added survives the error that it returns.
func TestWebSocketEdgeControlGapWithError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.say("you lost five; reconnect"); p.wait() })
		w.OnMessage = func(_ *transport.Socket, m *transport.Message) error {
			m.Gap = &transport.Gap{Reason: transport.GapNotice, Missed: 5}
			return io.EOF
		}
		conn := openSocket(t, w, "")
		m, _ := readFrom(conn)
		if m.Gap == nil {
			t.Error("the gap is lost")
		}
	})
}

// OnMessage is to see messages, not halves of them.
func TestWebSocketEdgeControlSeesHalf(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			p.Write(p.req.Context(), websocket.MessageBinary, []byte(`{"a":`))
			p.Write(p.req.Context(), websocket.MessageBinary, []byte(`1}`))
			p.wait()
		})
		w.NewDecompressor = func() func([]byte) ([]byte, error) {
			var whole []byte
			return func(b []byte) ([]byte, error) {
				whole = append(whole, b...)
				if !bytes.HasSuffix(whole, []byte("}")) {
					return nil, nil
				}
				return bytes.Clone(whole), nil
			}
		}
		w.OnMessage = func(_ *transport.Socket, m *transport.Message) error {
			if string(m.Data) != `{"a":1}` {
				t.Errorf("OnMessage saw %q of kind %v", m.Data, m.Kind)
			}
			return nil
		}
		conn := openSocket(t, w, "")
		for read(t, conn).Kind != decode.KindData {
		}
	})
}

// What OnMessage says of a message holds for the events in it.
func TestWebSocketEdgeControlWithFormat(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.say(`[1,2]`); p.wait() })
		w.Format = decode.JSONArray{}
		w.OnMessage = func(_ *transport.Socket, m *transport.Message) error {
			m.ID, m.Type = "cursor", "batch"
			return nil
		}
		conn := openSocket(t, w, "")
		read(t, conn)
		if m := read(t, conn); m.ID != "cursor" || m.Type != "batch" {
			t.Errorf("ID %q and Type %q of OnMessage are lost", m.ID, m.Type)
		}
	})
}

// Fresh credentials are tried once, though the server greets before it refuses.
func TestWebSocketEdgeRefreshOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.say("welcome"); p.Close(4401, "") })
		w.Prepare = func(*http.Request) error { return nil }
		w.OnMessage = func(_ *transport.Socket, m *transport.Message) error { m.Kind = decode.KindKeepalive; return nil }
		for n := range 5 {
			conn, err := w.Open(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			for err == nil {
				_, err = readFrom(conn)
			}
			conn.Close()
			var s interface{ StatusCode() int }
			if errors.As(err, &s) && s.StatusCode() == 401 {
				if n != 1 {
					t.Errorf("stopped at attempt %d", n+1)
				}
				return
			}
		}
		t.Error("refreshed five times and still at it")
	})
}

// ActionRefresh of Classify for an answer to the handshake.
func TestWebSocketEdgeClassifyRefreshesStatus(t *testing.T) {
	bubble(t, func(t *testing.T) {
		refreshed := 0
		client := inMemory(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "expired", 400) })
		w := &transport.WebSocket{URL: "ws://feed.test/", Client: client}
		w.Prepare = func(r *http.Request) error {
			if transport.CredentialsRejected(r.Context()) {
				refreshed++
			}
			return nil
		}
		w.Classify = func(error) transport.Action { return transport.ActionRefresh }
		for range 3 {
			_, err := w.Open(t.Context(), "")
			t.Logf("%v retryable %v", err, retryable(err))
		}
		if refreshed != 1 {
			t.Errorf("Prepare was asked for fresh credentials %d times in three attempts, want 1", refreshed)
		}
	})
}

// A subprotocol that carries a bearer token.
func TestWebSocketEdgeSubprotocolSecret(t *testing.T) {
	w := &transport.WebSocket{URL: "ws://feed.test/", Subprotocols: []string{"bearer.c2VjcmV0LXRva2Vu=="}}
	if err := w.Validate(); err != nil && strings.Contains(err.Error(), "c2Vjc") {
		t.Errorf("%v", err)
	}
}

// A message that is kept keeps its own memory, not that of the large one before it.
func TestWebSocketEdgeSlabRetention(t *testing.T) {
	const rounds, size = 8, 2 << 20
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	w := raw(t, func(conn net.Conn) {
		half := strings.Repeat("x", size/2)
		for range rounds {
			conn.Write(wsFrame(opText, half))
			conn.Write(wsFrame(fin|opContinuation, half))
			conn.Write(wsFrame(fin|opText, "tiny"))
		}
		hangUp(conn)
	})
	conn := openSocket(t, w, "")
	before := heap()
	var kept [][]byte
	for range rounds {
		read(t, conn)
		kept = append(kept, read(t, conn).Data)
	}
	if held := int64(heap() - before); held > rounds*size/2 {
		t.Errorf("%d messages of 4 bytes hold %d MiB", len(kept), held>>20)
	}
	runtime.KeepAlive(kept)
}

// Unread has a bound.
func TestWebSocketEdgeUnreadFlood(t *testing.T) {
	w := raw(t, func(conn net.Conn) {
		msg := bytes.Repeat(wsFrame(fin|opText, strings.Repeat("x", 60000)), 1)
		for {
			if _, err := conn.Write(msg); err != nil {
				return
			}
		}
	})
	const stop = 256 << 20
	total := 0
	w.OnConnect = func(ctx context.Context, s *transport.Socket, _ string) error {
		for {
			m, err := s.Receive()
			if err != nil {
				return err
			}
			if total += len(m.Data); total > stop {
				return errors.New("enough")
			}
			s.Unread(m)
		}
	}
	w.Open(t.Context(), "")
	if total > stop {
		t.Errorf("the server made OnConnect put back %d MiB", total>>20)
	}
}

// IdleTimeout counts the time of a Read, not of the consumer.
func TestWebSocketEdgeIdleSlowConsumer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			ctx := p.CloseRead(context.Background())
			for ctx.Err() == nil {
				p.say("x")
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		})
		w.IdleTimeout = 850 * time.Millisecond
		conn := openSocket(t, w, "")
		for range 500 {
			m, err := readFrom(conn)
			if err != nil {
				t.Fatalf("the Read had waited for a tenth of a second: %v", err)
			}
			_ = m
			time.Sleep(900 * time.Millisecond)
		}
	})
}

// replace is called once.
func TestWebSocketEdgeReplaceOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.say("bye", "bye", "bye"); p.wait() })
		w.Overlap = true
		w.OnMessage = func(s *transport.Socket, _ *transport.Message) error { s.Replace(); return nil }
		conn := openSocket(t, w, "")
		n := 0
		conn.OnExpiring(func() { n++ })
		for range 3 {
			read(t, conn)
		}
		if n != 1 {
			t.Errorf("replace was called %d times", n)
		}
	})
}

// Close from the message function of a heartbeat.
func TestWebSocketEdgeCloseFromHeartbeat(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.wait() })
		opened := make(chan *transport.Session, 1)
		w.OnConnect = func(ctx context.Context, s *transport.Socket, _ string) error {
			s.Heartbeat(transport.Heartbeat{Interval: time.Second, Message: func() []byte { (<-opened).Close(); return nil }})
			return nil
		}
		conn := openSocket(t, w, "")
		opened <- conn
		readFrom(conn)
		conn.Close()
	})
}

// Prepare brings fresh credentials once in an attempt, whatever redirects there are.
func TestWebSocketEdgeRefreshOncePerAttempt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/c" {
				http.Redirect(w, r, map[string]string{"/": "/b", "/b": "/c"}[r.URL.Path], http.StatusTemporaryRedirect)
				return
			}
			c, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			c.Close(4401, "")
		})
		w := &transport.WebSocket{URL: "ws://feed.test/", Client: client}
		refreshed := 0
		w.Prepare = func(r *http.Request) error {
			if transport.CredentialsRejected(r.Context()) {
				refreshed++
			}
			return nil
		}
		for range 2 {
			conn := openSocket(t, w, "")
			readFrom(conn)
			conn.Close()
		}
		if refreshed != 1 {
			t.Errorf("Prepare was asked for fresh credentials %d times in one attempt", refreshed)
		}
	})
}

// A refresh that was due is not forgotten because the attempt did not get that far.
func TestWebSocketEdgeRefreshSurvivesFailedDial(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := 0
		client := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			if n++; n == 2 {
				http.Error(w, "busy", http.StatusServiceUnavailable)
				return
			}
			c, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			c.Close(4401, "")
		})
		w := &transport.WebSocket{URL: "ws://feed.test/", Client: client}
		var fresh []bool
		w.OnConnect = func(ctx context.Context, s *transport.Socket, _ string) error {
			fresh = append(fresh, transport.CredentialsRejected(ctx))
			_, err := s.Receive()
			return err
		}
		for range 3 {
			w.Open(t.Context(), "")
		}
		if len(fresh) != 2 || !fresh[1] {
			t.Errorf("OnConnect was asked for fresh credentials: %v, want the second time", fresh)
		}
	})
}

// An endless answer of the proxy.
func TestWebSocketEdgeProxyFlood(t *testing.T) {
	if os.Getenv("STEADFEED_TEST_CHILD") != "" {
		w := &transport.WebSocket{URL: "ws://feed.test/", HandshakeTimeout: 3 * time.Second}
		w.Open(t.Context(), "")
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		t.Logf("%d MiB", m.Sys>>20)
		if m.Sys > 100<<20 {
			t.Errorf("an answer without an end took %d MiB", m.Sys>>20)
		}
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for i := 0; ; i++ {
				if _, err := fmt.Fprintf(c, "X-%d: %s\r\n", i, strings.Repeat("y", 60000)); err != nil {
					break
				}
			}
			c.Close()
		}
	}()
	child(t, "TestWebSocketEdgeProxyFlood", "HTTP_PROXY=http://"+l.Addr().String(), "NO_PROXY=")
	l.Close()
	<-done
}

// The context ends at each step on the network, from Dial to the last message.
func TestWebSocketEdgeCancelAnywhere(t *testing.T) {
	for round := range exhaustive(4, 200) {
		step := int64(1)
		for cancelAt(t, step, round%2 == 0) {
			step++
		}
		if step < 10 {
			t.Fatalf("the connection took %d steps", step)
		}
	}
}

// cancelAt reports whether the connection lived to the step of that number, when the context
// ended: within the step, or beside it.
func cancelAt(t *testing.T, number int64, within bool) (reached bool) {
	bubble(t, func(t *testing.T) {
		const messages = 10
		w := sockets(t, func(p *peer) {
			p.say("hello")
			p.hear()
			p.say(slices.Repeat([]string{"x"}, messages)...) // says no more once the client is gone
			p.wait()
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var steps atomic.Int64
		w.Client = stepping(w.Client, func() {
			switch {
			case steps.Add(1) != number:
			case within:
				cancel()
			default:
				go cancel()
			}
		})
		w.OnConnect = func(ctx context.Context, s *transport.Socket, _ string) error {
			if _, err := s.Receive(); err != nil {
				return err
			}
			return s.Send(ctx, []byte("hi"))
		}
		conn, err := w.Open(ctx, "")
		if err == nil {
			defer conn.Close()
		}
		for n := 0; err == nil && n < messages; n++ {
			_, err = readFrom(conn)
		}
		synctest.Wait()
		if reached = ctx.Err() != nil; err != nil && !reached {
			t.Fatal(err)
		}
	})
	return reached
}

// stepping calls step before and after each operation on the network.
func stepping(client *http.Client, step func()) *http.Client {
	network := client.Transport.(*http.Transport).Clone()
	dial := network.DialContext
	network.DialContext = func(ctx context.Context, name, addr string) (net.Conn, error) {
		step()
		conn, err := dial(ctx, name, addr)
		step()
		return stepConn{conn, step}, err
	}
	return &http.Client{Transport: network}
}

type stepConn struct {
	net.Conn
	step func()
}

func (c stepConn) Read(p []byte) (int, error) {
	c.step()
	defer c.step()
	return c.Conn.Read(p)
}

func (c stepConn) Write(p []byte) (int, error) {
	c.step()
	defer c.step()
	return c.Conn.Write(p)
}

// The server says its last, asks for a pong that it does not wait for, and is gone.
func TestWebSocketEdgeLastWordsBehindPing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) {
			conn.Write(bytes.Join([][]byte{
				wsFrame(fin|opText, "first"), wsFrame(fin|opPing, ""), wsFrame(fin|opText, "last"), closing(1000, ""),
			}, nil))
		})
		w.End = transport.EndFeed
		conn := openSocket(t, w, "")
		if m := read(t, conn); string(m.Data) != "first" || !m.More {
			t.Errorf("got %q, more %v", m.Data, m.More)
		}
		time.Sleep(time.Second)
		m, err := readFrom(conn)
		if errors.Is(err, transport.ErrComplete) {
			t.Errorf("the feed is said to be complete, without its last message: %v", err)
		} else if err == nil && string(m.Data) != "last" {
			t.Errorf("got %q", m.Data)
		}
	})
}

// The same on a real network, where the server has not read a heartbeat of ours.
func TestWebSocketEdgeLastWordsTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
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
			time.Sleep(50 * time.Millisecond) // a heartbeat has come, which nobody reads
			c.Write(bytes.Join([][]byte{
				wsFrame(fin|opText, "first"), wsFrame(fin|opPing, ""), wsFrame(fin|opText, "last"), closing(1000, ""),
			}, nil))
			time.Sleep(20 * time.Millisecond)
			c.Close()
		}
	}()
	w := &transport.WebSocket{URL: "ws://" + l.Addr().String(), End: transport.EndFeed}
	conn := openSocket(t, w, "")
	w.Send(t.Context(), []byte("heartbeat"))
	read(t, conn)
	time.Sleep(200 * time.Millisecond) // the consumer is busy
	m, err := readFrom(conn)
	t.Logf("%q %v", m.Data, err)
	if errors.Is(err, transport.ErrComplete) {
		t.Errorf("the feed is said to be complete, without its last message: %v", err)
	}
}

// A server that dies between its ping and our pong breaks no rule.
func TestWebSocketEdgeDeadBeforePong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) {
			conn.Write(append(wsFrame(fin|opText, "first"), wsFrame(fin|opPing, "")...))
		})
		conn := openSocket(t, w, "")
		read(t, conn)
		time.Sleep(time.Second)
		_, err := readFrom(conn)
		var p *transport.ProtocolError
		if errors.As(err, &p) {
			t.Errorf("the network failed, and the server is blamed: %v", err)
		}
	})
}

// A violation of the rules in front of a close frame is not the end of the feed.
func TestWebSocketEdgeViolationBeforeClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) {
			conn.Write(bytes.Join([][]byte{wsFrame(fin|rsv2|opText, "event"), wsFrame(fin|opText, "last"), closing(1000, "")}, nil))
			hangUp(conn)
		})
		w.End = transport.EndFeed
		conn := openSocket(t, w, "")
		if m, err := readFrom(conn); errors.Is(err, transport.ErrComplete) {
			t.Errorf("two messages were not read (%q), and the feed is said to be complete", m.Data)
		}
	})
}
