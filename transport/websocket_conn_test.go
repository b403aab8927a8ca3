package transport_test

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

func TestWebSocketFrames(t *testing.T) {
	long := strings.Repeat("long ", 3000)
	stream := bytes.Join([][]byte{
		wsFrame(fin|opText, "one"),
		wsFrame(opText, "t"), wsFrame(fin|opPing, "are you there"), wsFrame(opContinuation, "w"), wsFrame(fin|opPong, ""), wsFrame(fin|opContinuation, "o"),
		wsFrame(fin|opPing, ""),
		wsFrame(opText, ""), wsFrame(fin|opContinuation, ""),
		wsFrame(fin|opText, ""),
		wsFrame(fin|opBinary, long),
		wsFrame(opText, "\xc3"), wsFrame(fin|opContinuation, "\xa9"),
		wsFrame(opBinary, long), wsFrame(fin|opContinuation, long),
		closing(1001, "bye"),
	}, nil)
	texts := []string{"one", "two", "", "", long, "é", long + long}
	check := func(t *testing.T, w *transport.WebSocket) {
		conn := openSocket(t, w, "")
		for i, text := range texts {
			if m := read(t, conn); string(m.Data) != text {
				t.Errorf("message %d: got %.40q (%d bytes), want %.40q", i, m.Data, len(m.Data), text)
			}
		}
		if e := want[*transport.CloseError](t, readError(t, conn)); e.Code != 1001 || e.Reason != "bye" {
			t.Errorf("got %+v, want close code 1001 and reason bye", e)
		}
	}
	sizes := map[string]func() int{
		"at once":   func() int { return len(stream) },
		"one byte":  func() int { return 1 },
		"two bytes": func() int { return 2 },
		"random":    func() int { return 1 + rand.N(100) },
		"large":     func() int { return 1 + rand.N(9000) },
	}
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				check(t, raw(t, func(conn net.Conn) {
					for rest := stream; len(rest) > 0; {
						n := min(size(), len(rest))
						conn.Write(rest[:n])
						rest = rest[n:]
					}
					hangUp(conn)
				}))
			})
		})
	}
}

func TestWebSocketFaults(t *testing.T) {
	code := func(code int) func(*testing.T, error) {
		return func(t *testing.T, err error) {
			if e := want[*transport.CloseError](t, err); e.Code != code {
				t.Errorf("got code %d, want %d: %v", e.Code, code, err)
			}
		}
	}
	cut := func(t *testing.T, err error) {
		code(1006)(t, err)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v, want an end inside a message", err)
		}
	}
	message := func(t *testing.T, err error) { want[*transport.MessageError](t, err) }
	for name, c := range map[string]struct {
		bytes []byte
		check func(*testing.T, error)
		class string
		sent  int // the close code that the server gets, -1 for any
	}{
		"no close frame":                 {nil, code(1006), "network", 0},
		"close without a code":           {wsFrame(fin|opClose, ""), code(1005), "network", -1},
		"close 1000":                     {closing(1000, ""), code(1000), "network", 1000},
		"close 1006":                     {closing(1006, ""), code(1006), "network", 1002},
		"close 5000":                     {closing(5000, "x"), code(5000), "network", 1002},
		"close 999":                      {closing(999, ""), code(999), "network", 1002},
		"close 1009":                     {closing(1009, ""), code(1009), "protocol", 1009},
		"close with one byte":            {wsFrame(fin|opClose, "x"), code(1005), "network", 1002},
		"cut in a header":                {wsFrame(fin|opText, strings.Repeat("x", 300))[:3], code(1006), "network", 0},
		"cut in a payload":               {wsFrame(fin|opText, "payload")[:5], cut, "network", 0},
		"cut between fragments":          {wsFrame(opText, "payload"), cut, "network", 0},
		"masked":                         {append([]byte{fin | opText, 0x80 | 2, 1, 2, 3, 4}, 'h'^1, 'i'^2), isProtocol, "protocol", 1002},
		"continuation without a message": {wsFrame(fin|opContinuation, "x"), isProtocol, "protocol", 1002},
		"start in a message":             {append(wsFrame(opText, "x"), wsFrame(fin|opText, "y")...), isProtocol, "protocol", 1002},
		"RSV2":                           {wsFrame(fin|rsv2|opText, "x"), isProtocol, "protocol", 1002},
		"RSV1 without deflate":           {wsFrame(fin|rsv1|opText, "x"), isProtocol, "protocol", 1002},
		"opcode 3":                       {wsFrame(fin|3, "x"), isProtocol, "protocol", 1002},
		"fragmented ping":                {wsFrame(opPing, "x"), isProtocol, "protocol", 1002},
		"long ping":                      {wsFrame(fin|opPing, strings.Repeat("x", 126)), isProtocol, "protocol", 1002},
		"not UTF-8":                      {wsFrame(fin|opText, "\xff\xfe"), message, "protocol", 1007},
		"not UTF-8 in pieces":            {append(wsFrame(opText, "\xff"), wsFrame(fin|opContinuation, "\xfe")...), message, "protocol", 1007},
		"too large":                      {wsFrame(fin|opText, strings.Repeat("x", 101)), message, "permanent", 1009},
		"too large in pieces":            {append(wsFrame(opText, strings.Repeat("x", 60)), wsFrame(fin|opContinuation, strings.Repeat("x", 41))...), message, "permanent", 1009},
		"announced too large":            {append([]byte{fin | opText, 127}, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), message, "permanent", 1009},
		"announced negative":             {append([]byte{fin | opText, 127}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), func(*testing.T, error) {}, "", -1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := make(chan int, 1)
				w := raw(t, func(conn net.Conn) {
					conn.Write(append(wsFrame(fin|opText, "before"), c.bytes...))
					conn.(interface{ CloseWrite() error }).CloseWrite()
					sent <- sentClose(hangUp(conn))
				})
				w.MaxMessage = 100
				conn := openSocket(t, w, "")
				if m := read(t, conn); string(m.Data) != "before" {
					t.Errorf("got %q, want before", m.Data)
				}
				err := readError(t, conn)
				c.check(t, err)
				if got := class(err); c.class != "" && got != c.class {
					t.Errorf("got %v of class %s, want %s", err, got, c.class)
				}
				conn.Close()
				if got := <-sent; c.sent >= 0 && got != c.sent {
					t.Errorf("got close code %d, want %d", got, c.sent)
				}
			})
		})
	}
}

func TestWebSocketExactLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			p.say(strings.Repeat("x", 100), strings.Repeat("y", 101))
			p.wait()
		})
		w.MaxMessage = 100
		conn := openSocket(t, w, "")
		if m := read(t, conn); len(m.Data) != 100 {
			t.Errorf("got %d bytes, want 100", len(m.Data))
		}
		e := want[*transport.MessageError](t, readError(t, conn))
		if !errors.Is(e, decode.ErrTooLarge) || !strings.Contains(e.Error(), "WebSocket.MaxMessage (100 bytes)") {
			t.Errorf("got %v, want one that names MaxMessage", e)
		}
	})
}

func TestWebSocketReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) {
			conn.Write(append(wsFrame(fin|opText, "one"), wsFrame(fin|opText, "payload")[:4]...))
			conn.Read(make([]byte, 1))
			conn.(interface{ SetLinger(int) error }).SetLinger(0)
		})
		conn := openSocket(t, w, "")
		read(t, conn)
		w.Send(t.Context(), []byte("got it"))
		err := readError(t, conn)
		if e := want[*transport.CloseError](t, err); e.Code != 1006 {
			t.Errorf("got %v, want close code 1006", err)
		}
	})
}

func TestWebSocketAllowInvalidUTF8(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) {
			conn.Write(wsFrame(fin|opText, "\xff"))
			hangUp(conn)
		})
		w.AllowInvalidUTF8 = true
		if m := read(t, openSocket(t, w, "")); string(m.Data) != "\xff" {
			t.Errorf("got %q, want \\xff", m.Data)
		}
	})
}

func TestWebSocketCompression(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var offered string
		texts := []string{strings.Repeat("hello ", 100), "short", strings.Repeat("hello ", 20000)}
		w := socketsWith(t, &websocket.AcceptOptions{CompressionMode: websocket.CompressionContextTakeover}, func(p *peer) {
			offered = p.req.Header.Get("Sec-WebSocket-Extensions")
			p.say(texts...)
			p.say(texts...)
			p.wait()
		})
		w.Compression = true
		conn := openSocket(t, w, "")
		for i := range 2 * len(texts) {
			if m := read(t, conn); string(m.Data) != texts[i%len(texts)] {
				t.Errorf("message %d: got %.40q (%d bytes), want %.40q", i, m.Data, len(m.Data), texts[i%len(texts)])
			}
		}
		if !strings.HasPrefix(offered, "permessage-deflate") {
			t.Errorf("got extensions %q, want permessage-deflate", offered)
		}
	})
}

// A message that exceeds MaxMessage only when it is decompressed is refused.
func TestWebSocketBomb(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bomb bytes.Buffer
		z, _ := flate.NewWriter(&bomb, flate.BestSpeed)
		z.Write(make([]byte, 5<<20))
		z.Flush()
		w := rawWith(t, "Sec-WebSocket-Extensions: permessage-deflate\r\n", func(conn net.Conn) {
			conn.Write(wsFrame(fin|rsv1|opText, string(bytes.TrimSuffix(bomb.Bytes(), []byte{0, 0, 0xff, 0xff}))))
			hangUp(conn)
		})
		w.Compression, w.MaxMessage = true, 1<<20
		if e := want[*transport.MessageError](t, readError(t, openSocket(t, w, ""))); e.Limit != 1<<20 {
			t.Errorf("got %v, want a limit of 1 MiB", e)
		}
	})
}

func TestWebSocketClose(t *testing.T) {
	for name, serve := range map[string]func(conn net.Conn){
		"polite": func(conn net.Conn) { io.Copy(io.Discard, conn) },
		"silent": func(conn net.Conn) { time.Sleep(time.Hour) },
		"talking": func(conn net.Conn) {
			for err := error(nil); err == nil; time.Sleep(5 * time.Millisecond) {
				_, err = conn.Write(bytes.Repeat(wsFrame(fin|opText, "x"), 10))
			}
		},
	} {
		for _, reading := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reading %v", name, reading), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := raw(t, func(conn net.Conn) {
						serve(conn)
					})
					conn := openSocket(t, w, "")
					done := make(chan error, 1)
					if reading {
						go func() {
							for {
								if _, err := readFrom(conn); err != nil {
									done <- err
									return
								}
							}
						}()
						synctest.Wait()
					}
					start := time.Now()
					conn.Close()
					conn.Close()
					if d := time.Since(start); d > time.Second {
						t.Errorf("Close took %v, want at most 1s", d)
					}
					if !reading {
						_, err := readFrom(conn)
						done <- err
					}
					if err := <-done; !errors.Is(err, net.ErrClosed) {
						t.Errorf("Read after Close: got %v, want %v", err, net.ErrClosed)
					}
					if name == "silent" {
						time.Sleep(2 * time.Hour) // for the server
					}
				})
			})
		}
	}
}

func TestWebSocketCloseCode(t *testing.T) {
	for code, want := range map[int]int{0: 1000, 4000: 4000, -1: 0} {
		synctest.Test(t, func(t *testing.T) {
			sent := make(chan int, 1)
			w := raw(t, func(conn net.Conn) { sent <- sentClose(hangUp(conn)) })
			w.CloseCode = code
			openSocket(t, w, "").Close()
			if got := <-sent; got != want {
				t.Errorf("CloseCode %d: the server gets %d, want %d", code, got, want)
			}
		})
	}
}

func TestWebSocketContext(t *testing.T) {
	cause := errors.New("limit not enforced")
	synctest.Test(t, func(t *testing.T) {
		sent := make(chan int, 1)
		w := raw(t, func(conn net.Conn) { sent <- sentClose(hangUp(conn)) })
		ctx, cancel := context.WithCancelCause(t.Context())
		conn, err := w.Open(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { cancel(cause) })
		if _, err := readFrom(conn); err != cause {
			t.Errorf("Read: got %v, want %v", err, cause)
		}
		if got := <-sent; got != 1000 {
			t.Errorf("got close code %d, want 1000", got)
		}
		conn.Close()
		if _, err := w.Open(ctx, ""); err != cause {
			t.Errorf("Open: got %v, want %v", err, cause)
		}
	})
	synctest.Test(t, func(t *testing.T) { // while the handshake is made
		w := &transport.WebSocket{URL: "ws://feed.test", Client: inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		})}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		if _, err := w.Open(ctx, ""); err != cause {
			t.Errorf("Open: got %v, want %v", err, cause)
		}
		start := time.Now()
		_, err := w.Open(t.Context(), "")
		if e := want[*transport.TimeoutError](t, err); e.Op != "header" || time.Since(start) != 10*time.Second {
			t.Errorf("Open: got %v after %v, want a timeout of the header after 10s", err, time.Since(start))
		}
	})
}

func TestWebSocketGapIsReadBeforeErrorOfOnMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.say("you lost five; reconnect"); p.wait() })
		w.OnMessage = func(_ *transport.Socket, m *transport.Message) error {
			m.Gap = &transport.Gap{Reason: transport.GapNotice, Missed: 5}
			return io.EOF
		}
		conn := openSocket(t, w, "")
		m, _ := readFrom(conn)
		if m.Gap == nil {
			t.Error("got no Gap, want that of OnMessage")
		}
	})
}

// A decompressor may need two messages of the server for one.
func TestWebSocketOnMessageSeesWholeMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
				t.Errorf("OnMessage got %q of kind %v, want the whole message", m.Data, m.Kind)
			}
			return nil
		}
		conn := openSocket(t, w, "")
		for read(t, conn).Kind != decode.KindData {
		}
	})
}

func TestWebSocketPartsInheritFromOnMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) { p.say(`[1,2]`); p.wait() })
		w.Format = decode.JSONArray
		w.OnMessage = func(_ *transport.Socket, m *transport.Message) error {
			m.ID, m.Type = "cursor", "batch"
			return nil
		}
		conn := openSocket(t, w, "")
		read(t, conn)
		if m := read(t, conn); m.ID != "cursor" || m.Type != "batch" {
			t.Errorf("got ID %q and Type %q, want those of OnMessage", m.ID, m.Type)
		}
	})
}

func TestWebSocketMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sizes := []int{0, 1, 125, 126, 127, 4000, 4095, 4096, 4097, 5000, 16 << 10, 65535, 65536, 70000}
		sizes = slices.Concat(sizes, sizes, []int{1 << 20, 3<<20 + 7}, sizes)
		w := sockets(t, func(p *peer) {
			for i, n := range sizes {
				p.say(strings.Repeat(string(rune('0'+i)), n))
			}
			p.Close(websocket.StatusGoingAway, "bye")
		})
		conn := openSocket(t, w, "")
		var kept []transport.Message
		for range sizes {
			kept = append(kept, read(t, conn))
		}
		for i, m := range kept {
			n := sizes[i]
			if want := strings.Repeat(string(rune('0'+i)), n); string(m.Data) != want {
				t.Errorf("message %d: %d bytes, %.20q..., want %d of %.1q", i, len(m.Data), m.Data, n, want)
			}
			if cap(m.Data) != len(m.Data) {
				t.Errorf("message %d: got spare capacity, want none", i)
			}
		}
		closed := want[*transport.CloseError](t, readError(t, conn))
		if closed.Code != 1001 || closed.Reason != "bye" || strings.Contains(closed.Error(), "bye") {
			t.Errorf("got %+v, text %v, want close code 1001 and a reason that is not in the text", closed, closed)
		}
	})
}

func TestWebSocketBinary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			p.Write(p.req.Context(), websocket.MessageBinary, []byte{0xff, 0xfe})
			p.say("text")
			p.wait()
		})
		conn := openSocket(t, w, "")
		if m := read(t, conn); m.Type != "binary" || string(m.Data) != "\xff\xfe" {
			t.Errorf("got type %q, %q, want binary, \\xff\\xfe", m.Type, m.Data)
		}
		if m := read(t, conn); m.Type != "" || string(m.Data) != "text" {
			t.Errorf("got type %q, %q, want none, text", m.Type, m.Data)
		}
	})
}

// A reader that gets More waits for the rest of a batch: it must not be set if nothing follows,
// and should be set if something does.
func TestWebSocketMore(t *testing.T) {
	for _, size := range []int{0, 10, 1000, 4096, 9000, 70000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const burst = 50
				w := sockets(t, func(p *peer) {
					for range 3 {
						for range burst {
							p.say(strings.Repeat("x", size))
						}
						p.hear()
					}
					p.wait()
				})
				conn := openSocket(t, w, "")
				more := 0
				for range 3 {
					synctest.Wait() // the network accepts no more
					for i := range burst {
						m := read(t, conn)
						if m.More && i == burst-1 {
							t.Errorf("message %d: got More, want false: nothing follows", i)
						}
						if m.More {
							more++
						}
					}
					if err := w.Send(t.Context(), []byte("next")); err != nil {
						t.Fatal(err)
					}
				}
				if least := 3 * burst / 3; size <= 1000 && more < least {
					t.Errorf("got More %d times, want at least %d", more, least)
				}
			})
		})
	}
}

func TestWebSocketOnMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := make(chan string, 1)
		w := sockets(t, func(p *peer) {
			p.say("ping", `event`, "gap", "fatal", "never seen")
			heard <- p.hear()
			p.wait()
		})
		w.OnMessage = func(s *transport.Socket, m *transport.Message) error {
			switch string(m.Data) {
			case "ping":
				m.Kind = decode.KindKeepalive
				return s.Send(t.Context(), []byte("pong"))
			case "gap":
				m.Gap = &transport.Gap{Reason: transport.GapNotice}
			case "fatal":
				return rejected{}
			}
			return nil
		}
		conn := openSocket(t, w, "")
		if m := read(t, conn); m.Kind != decode.KindKeepalive {
			t.Errorf("got kind %v, want a keepalive", m.Kind)
		}
		if m := read(t, conn); string(m.Data) != "event" {
			t.Errorf("got %q, want event", m.Data)
		}
		if m := read(t, conn); m.Gap == nil || m.Gap.Reason != transport.GapNotice {
			t.Errorf("got gap %+v, want a notice", m.Gap)
		}
		want[rejected](t, readError(t, conn))
		if got := <-heard; got != "pong" {
			t.Errorf("got %q, want pong", got)
		}
	})
}

// The token of a message counts once all its events are read, and not if its rest is unreadable.
func TestWebSocketFormatTokenOfAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			p.say("1\n2\n", "3\n\n", "\n", "{}\n{")
			p.wait()
		})
		w.Format = decode.NDJSON
		n := 0
		w.OnMessage = func(_ *transport.Socket, m *transport.Message) error {
			n++
			m.Token = fmt.Sprint("t", n)
			return nil
		}
		conn := openSocket(t, w, "")
		var got []string
		for range 8 {
			m := read(t, conn)
			got = append(got, fmt.Sprintf("%d:%s:%s", m.Kind, m.Data, m.Token))
		}
		want := "0:1: 0:2:t1 0:3: 2:: 3::t2 2:: 3::t3 0:{}:"
		if got := strings.Join(got, " "); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if err := readError(t, conn); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v, want an unexpected EOF", err)
		}
	})
}

func TestWebSocketFormat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			p.say("{\"a\":1}\n{\"a\":2}\n", "", "\n", "{\"a\":3}", "{\"a\":4")
			p.wait()
		})
		w.Format = decode.NDJSON
		conn := openSocket(t, w, "")
		var got []string
		for range 5 {
			m := read(t, conn)
			got = append(got, fmt.Sprintf("%d%s", m.Kind, m.Data))
		}
		if want := `0{"a":1} 0{"a":2} 2 2 0{"a":3}`; strings.Join(got, " ") != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if e := want[*transport.MessageError](t, readError(t, conn)); !errors.Is(e, io.ErrUnexpectedEOF) {
			t.Errorf("got %v, want an unexpected EOF", e)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			p.say(`[{"a":1},{"a":2}]`, `[]`, `[{"a":3}`)
			p.wait()
		})
		w.Format = decode.JSONArray
		conn := openSocket(t, w, "")
		for i, want := range []string{`{"a":1}`, `{"a":2}`, "", `{"a":3}`} {
			m := read(t, conn)
			if string(m.Data) != want || want == "" && m.Kind != decode.KindKeepalive {
				t.Errorf("message %d: got %q of kind %d, want %q", i, m.Data, m.Kind, want)
			}
			if i == 0 && !m.More {
				t.Error("first of two messages: got More false, want true")
			}
		}
		if e := want[*transport.MessageError](t, readError(t, conn)); !errors.Is(e, io.ErrUnexpectedEOF) {
			t.Errorf("got %v, want an unexpected EOF", e)
		}
	})
}

func TestWebSocketNewDecompressor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			for _, s := range []string{"a", "part", "bad", "large"} {
				p.Write(p.req.Context(), websocket.MessageBinary, []byte(s))
			}
			p.wait()
		})
		w.MaxMessage = 10
		w.NewDecompressor = func() func([]byte) ([]byte, error) {
			n := 0
			return func(b []byte) ([]byte, error) {
				n++
				switch string(b) {
				case "part":
					return nil, nil
				case "bad":
					return nil, errors.New("corrupt")
				}
				return fmt.Appendf(nil, "%d%s", n, b), nil
			}
		}
		for range 2 {
			conn := openSocket(t, w, "")
			if m := read(t, conn); string(m.Data) != "1a" {
				t.Errorf("got %q, want 1a", m.Data)
			}
			if m := read(t, conn); m.Kind != decode.KindKeepalive {
				t.Errorf("got kind %v, want a keepalive", m.Kind)
			}
			want[*transport.MessageError](t, readError(t, conn))
			conn.Close()
		}
	})
}

// SignalR puts 0x1E after each record, and the answer to its handshake comes together with the
// first ones (https://github.com/szarykott/signalrs/issues/14; HubProtocol.md of
// dotnet/aspnetcore).
func TestWebSocketSignalR(t *testing.T) {
	const rs = "\x1e"
	synctest.Test(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			if got := p.hear(); got != `{"protocol":"json","version":1}`+rs {
				t.Errorf("got %q, want the handshake of SignalR", got)
			}
			p.say(`{}`+rs+`{"type":1,"target":"a","arguments":[]}`+rs+`{"type":6}`+rs, `{"type":1,"target":"b","arguments":[]}`+rs)
			p.wait()
		})
		w.Format = decode.RSJSON
		w.OnConnect = func(ctx context.Context, s *transport.Socket, _ string) error {
			if err := s.Send(ctx, []byte(`{"protocol":"json","version":1}`+rs)); err != nil {
				return err
			}
			m, err := s.Receive()
			if err != nil {
				return err
			}
			answer, rest, _ := bytes.Cut(m.Data, []byte(rs))
			if string(answer) != "{}" {
				return errors.New("refused")
			}
			if m.Data = rest; len(rest) > 0 {
				s.Unread(m)
			}
			return nil
		}
		conn := openSocket(t, w, "")
		for _, want := range []string{`{"type":1,"target":"a","arguments":[]}`, `{"type":6}`, `{"type":1,"target":"b","arguments":[]}`} {
			if m := read(t, conn); string(m.Data) != want {
				t.Errorf("got %q, want %q", m.Data, want)
			}
		}
	})
}

// A Conn has no methods of its WebSocket.
func TestWebSocketConnSurface(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, handover := range []bool{false, true} {
			w := sockets(t, func(p *peer) { p.wait() })
			w.Overlap = handover
			conn := openSocket(t, w, "")
			if _, ok := conn.Conn.(transport.Transport); ok {
				t.Error("got a Conn that is a Transport, want only a Conn")
			}
			if _, ok := conn.Conn.(interface{ Validate() error }); ok {
				t.Error("got a Conn with Validate, want only a Conn")
			}
		}
	})
}
