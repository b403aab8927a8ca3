package transport_test

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// raw serves WebSockets byte by byte, for what no library would send.
func raw(t testing.TB, serve func(conn net.Conn)) *transport.WebSocket {
	return rawWith(t, "", serve)
}

func rawWith(t testing.TB, header string, serve func(conn net.Conn)) *transport.WebSocket {
	client := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Errorf("Hijack: %v", err)
			return
		}
		defer conn.Close()
		// RFC 6455, section 4.2.2.
		key := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Accept: %s\r\n%s\r\n", base64.StdEncoding.EncodeToString(key[:]), header)
		serve(conn)
	})
	return &transport.WebSocket{URL: "ws://feed.test/live?key=secret", Client: client}
}

const (
	opContinuation, opText, opBinary, opClose, opPing, opPong = 0, 1, 2, 8, 9, 10

	fin  = 0x80
	rsv1 = 0x40
	rsv2 = 0x20
)

// wsFrame is a frame of a server, whose first byte is given.
func wsFrame(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

func closing(code uint16, reason string) []byte {
	return wsFrame(fin|opClose, string(binary.BigEndian.AppendUint16(nil, code))+reason)
}

// hangUp reads what the client sends until that ends the connection, or time does.
func hangUp(conn net.Conn) []byte {
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	b, _ := io.ReadAll(conn)
	return b
}

// sentClose returns the code of the close frame that a client has sent last, 0 if none.
func sentClose(b []byte) (code int) {
	for len(b) >= 6 {
		n := int(b[1] & 0x7f)
		if b[1]&0x80 == 0 || n > 125 || len(b) < 6+n {
			return -1
		}
		if b[0] == fin|opClose && n >= 2 {
			code = int(binary.BigEndian.Uint16([]byte{b[6] ^ b[2], b[7] ^ b[3]}))
		}
		b = b[6+n:]
	}
	return code
}

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
				t.Errorf("message %d is %.40q (%d bytes), want %.40q", i, m.Data, len(m.Data), text)
			}
		}
		if e := want[*transport.CloseError](t, readError(t, conn)); e.Code != 1001 || e.Reason != "bye" {
			t.Errorf("got %+v", e)
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
			bubble(t, func(t *testing.T) {
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
				t.Errorf("code %d, want %d: %v", e.Code, code, err)
			}
		}
	}
	cut := func(t *testing.T, err error) {
		code(1006)(t, err)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v is not the end inside of a message", err)
		}
	}
	message := func(t *testing.T, err error) { want[*transport.MessageError](t, err) }
	for name, c := range map[string]struct {
		bytes []byte
		check func(*testing.T, error)
		class string
		says  int // the close code that the server gets, -1 for any
	}{
		"no close frame":         {nil, code(1006), "network", 0},
		"close without a code":   {wsFrame(fin|opClose, ""), code(1005), "network", -1},
		"close 1000":             {closing(1000, ""), code(1000), "network", 1000},
		"close 1006":             {closing(1006, ""), code(1006), "network", 1002},
		"close 5000":             {closing(5000, "x"), code(5000), "network", 1002},
		"close 999":              {closing(999, ""), code(999), "network", 1002},
		"close 1009":             {closing(1009, ""), code(1009), "protocol", 1009},
		"close with one byte":    {wsFrame(fin|opClose, "x"), code(1005), "network", 1002},
		"cut in a header":        {wsFrame(fin|opText, strings.Repeat("x", 300))[:3], code(1006), "network", 0},
		"cut in a payload":       {wsFrame(fin|opText, "payload")[:5], cut, "network", 0},
		"cut between fragments":  {wsFrame(opText, "payload"), cut, "network", 0},
		"masked":                 {append([]byte{fin | opText, 0x80 | 2, 1, 2, 3, 4}, 'h'^1, 'i'^2), isProtocol, "protocol", 1002},
		"continuation of naught": {wsFrame(fin|opContinuation, "x"), isProtocol, "protocol", 1002},
		"start in a message":     {append(wsFrame(opText, "x"), wsFrame(fin|opText, "y")...), isProtocol, "protocol", 1002},
		"RSV2":                   {wsFrame(fin|rsv2|opText, "x"), isProtocol, "protocol", 1002},
		"RSV1 without deflate":   {wsFrame(fin|rsv1|opText, "x"), isProtocol, "protocol", 1002},
		"opcode 3":               {wsFrame(fin|3, "x"), isProtocol, "protocol", 1002},
		"fragmented ping":        {wsFrame(opPing, "x"), isProtocol, "protocol", 1002},
		"long ping":              {wsFrame(fin|opPing, strings.Repeat("x", 126)), isProtocol, "protocol", 1002},
		"not UTF-8":              {wsFrame(fin|opText, "\xff\xfe"), message, "protocol", 1007},
		"not UTF-8 in pieces":    {append(wsFrame(opText, "\xff"), wsFrame(fin|opContinuation, "\xfe")...), message, "protocol", 1007},
		"too large":              {wsFrame(fin|opText, strings.Repeat("x", 101)), message, "permanent", 1009},
		"too large in pieces":    {append(wsFrame(opText, strings.Repeat("x", 60)), wsFrame(fin|opContinuation, strings.Repeat("x", 41))...), message, "permanent", 1009},
		"announced too large":    {append([]byte{fin | opText, 127}, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), message, "permanent", 1009},
		"announced negative":     {append([]byte{fin | opText, 127}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), func(*testing.T, error) {}, "", -1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				said := make(chan int, 1)
				w := raw(t, func(conn net.Conn) {
					conn.Write(append(wsFrame(fin|opText, "before"), c.bytes...))
					conn.(interface{ CloseWrite() error }).CloseWrite()
					said <- sentClose(hangUp(conn))
				})
				w.MaxMessage = 100
				conn := openSocket(t, w, "")
				if m := read(t, conn); string(m.Data) != "before" {
					t.Errorf("got %q", m.Data)
				}
				err := readError(t, conn)
				c.check(t, err)
				if got := class(err); c.class != "" && got != c.class {
					t.Errorf("%v is of class %s, want %s", err, got, c.class)
				}
				conn.Close()
				if got := <-said; c.says >= 0 && got != c.says {
					t.Errorf("the server gets close code %d, want %d", got, c.says)
				}
			})
		})
	}
}

func TestWebSocketExactLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := sockets(t, func(p *peer) {
			p.say(strings.Repeat("x", 100), strings.Repeat("y", 101))
			p.wait()
		})
		w.MaxMessage = 100
		conn := openSocket(t, w, "")
		if m := read(t, conn); len(m.Data) != 100 {
			t.Errorf("%d bytes", len(m.Data))
		}
		e := want[*transport.MessageError](t, readError(t, conn))
		if !errors.Is(e, decode.ErrTooLarge) || !strings.Contains(e.Error(), "WebSocket.MaxMessage (100 bytes)") {
			t.Errorf("got %v", e)
		}
	})
}

func TestWebSocketReset(t *testing.T) {
	bubble(t, func(t *testing.T) {
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
			t.Errorf("got %v", err)
		}
	})
}

func TestWebSocketAnyText(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) {
			conn.Write(wsFrame(fin|opText, "\xff"))
			hangUp(conn)
		})
		w.AllowInvalidUTF8 = true
		if m := read(t, openSocket(t, w, "")); string(m.Data) != "\xff" {
			t.Errorf("got %q", m.Data)
		}
	})
}

func TestWebSocketCompression(t *testing.T) {
	bubble(t, func(t *testing.T) {
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
				t.Errorf("message %d is %.40q (%d bytes)", i, m.Data, len(m.Data))
			}
		}
		if !strings.HasPrefix(offered, "permessage-deflate") {
			t.Errorf("offered %q", offered)
		}
	})
}

// A message that is small on the wire and large in memory is refused at the limit.
func TestWebSocketBomb(t *testing.T) {
	bubble(t, func(t *testing.T) {
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
			t.Errorf("got %v", e)
		}
	})
}

func TestWebSocketCloseCodes(t *testing.T) {
	for _, c := range []struct {
		code int
		rest *transport.WebSocket
		want string
	}{
		{1000, &transport.WebSocket{}, "network"},
		{1000, &transport.WebSocket{End: transport.EndFeed}, "end"},
		{1001, &transport.WebSocket{}, "network"},
		{1008, &transport.WebSocket{}, "network"},
		{1008, &transport.WebSocket{Prepare: func(*http.Request) error { return nil }}, "network"},
		{1002, &transport.WebSocket{}, "protocol"},
		{1003, &transport.WebSocket{}, "protocol"},
		{1007, &transport.WebSocket{}, "protocol"},
		{1009, &transport.WebSocket{}, "protocol"},
		{1010, &transport.WebSocket{}, "protocol"},
		{1011, &transport.WebSocket{}, "network"},
		{1014, &transport.WebSocket{}, "network"},
		{3001, &transport.WebSocket{}, "network"},
		{3003, &transport.WebSocket{}, "auth"},
		{3008, &transport.WebSocket{}, "network"},
		{3999, &transport.WebSocket{}, "protocol"},
		{4012, &transport.WebSocket{}, "protocol"},
		{4400, &transport.WebSocket{}, "protocol"},
		{4401, &transport.WebSocket{}, "auth"},
		{4406, &transport.WebSocket{}, "protocol"},
		{4408, &transport.WebSocket{}, "network"},
		{4409, &transport.WebSocket{}, "protocol"},
		{1012, &transport.WebSocket{}, "wait 5s-30s"},
		{1013, &transport.WebSocket{}, "wait 30s-1m0s"},
		{3000, &transport.WebSocket{}, "auth"},
		{3000, &transport.WebSocket{CloseRules: transport.CentrifugoCloses()}, "network"},
		{3500, &transport.WebSocket{}, "protocol"},
		{3014, &transport.WebSocket{CloseRules: transport.CentrifugoCloses()}, "token"},
		{4503, &transport.WebSocket{CloseRules: transport.CentrifugoCloses()}, "stop"},
		{4004, &transport.WebSocket{}, "protocol"},
		{4007, &transport.WebSocket{}, "token"},
		{4003, &transport.WebSocket{CloseRules: transport.DiscordCloses()}, "network"},
		{4403, &transport.WebSocket{}, "auth"},
		{4429, &transport.WebSocket{}, "wait 30s-1m0s"},
		{4429, &transport.WebSocket{CloseRules: transport.GraphQLCloses()}, "stop"},
		{4321, &transport.WebSocket{}, "network"},
		{4321, &transport.WebSocket{CloseRules: []transport.CloseRule{{From: 4300, To: 4399, Action: transport.ActionWait, MinWait: 2 * time.Second, MaxWait: 2 * time.Second}}}, "wait 2s-2s"},
		{4321, &transport.WebSocket{Classify: func(err error) transport.Action { return transport.ActionStop }}, "stop"},
		{4321, &transport.WebSocket{Classify: func(err error) transport.Action { return transport.ActionEnd }}, "end"},
	} {
		t.Run(fmt.Sprintf("%d %s", c.code, c.want), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := sockets(t, func(p *peer) { p.Close(websocket.StatusCode(c.code), "") })
				w.End, w.CloseRules, w.Classify, w.Prepare = c.rest.End, c.rest.CloseRules, c.rest.Classify, c.rest.Prepare
				if err := readError(t, openSocket(t, w, "")); !follows(err, c.want) {
					t.Errorf("%v (%#v) does not lead to %q", err, err, c.want)
				}
			})
		})
	}
}

// 1008 is for a late pong as well as for wrong credentials: only when fresh ones are refused
// at once it counts as more than a lost connection, and it never ends a feed that has worked.
func TestWebSocketPolicyViolation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		speaks := true
		w := sockets(t, func(p *peer) {
			if speaks {
				p.say("x")
			}
			p.Close(1008, "Pong timeout")
		})
		w.Prepare = func(*http.Request) error { return nil }
		for i, c := range []struct {
			speaks bool
			want   string
		}{{true, "network"}, {true, "network"}, {true, "network"}, {false, "protocol"}, {false, "network"}, {false, "protocol"}, {true, "network"}} {
			speaks = c.speaks
			conn := openSocket(t, w, "")
			if speaks {
				read(t, conn)
			}
			if err := readError(t, conn); class(err) != c.want {
				t.Errorf("end %d: %v is of class %s, want %s", i+1, err, class(err), c.want)
			}
			conn.Close()
		}
	})
}

// follows tells whether err leads to what is wanted, by what package retry sees of it.
func follows(err error, want string) bool {
	var says interface {
		error
		Retryable() bool
		RejectsToken() bool
		RetryAfter() time.Duration
		StatusCode() int
	}
	if errors.Is(err, transport.ErrComplete) || !errors.As(err, &says) {
		return want == "end"
	}
	var lo, hi string
	if n, _ := fmt.Sscanf(strings.ReplaceAll(want, "-", " "), "wait %s %s", &lo, &hi); n == 2 {
		least, _ := time.ParseDuration(lo)
		most, _ := time.ParseDuration(hi)
		return says.Retryable() && says.RetryAfter() >= least && says.RetryAfter() <= most
	}
	switch {
	case says.StatusCode() == 401:
		return want == "auth"
	case says.RejectsToken():
		return want == "token"
	case !says.Retryable():
		return want == "stop"
	case retry.Classify(err) == retry.ClassProtocol:
		return want == "protocol"
	}
	return want == "network" && says.RetryAfter() == 0
}

// Statuses are judged by Classify too, with what the body says.
func TestWebSocketClassifyStatus(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := &transport.WebSocket{URL: "ws://feed.test", Client: inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(400)
			io.WriteString(w, `{"error":"CursorTooOld"}`)
		})}
		w.Classify = func(err error) transport.Action {
			var e *transport.StatusError
			if errors.As(err, &e) && strings.Contains(string(e.Body), "CursorTooOld") {
				return transport.ActionDropToken
			}
			return transport.ActionDefault
		}
		if err := openSocketError(t, w, "1"); !follows(err, "token") {
			t.Errorf("got %v", err)
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
				bubble(t, func(t *testing.T) {
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
						t.Errorf("Close took %v", d)
					}
					if !reading {
						_, err := readFrom(conn)
						done <- err
					}
					if err := <-done; !errors.Is(err, net.ErrClosed) {
						t.Errorf("Read after Close: %v", err)
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
		bubble(t, func(t *testing.T) {
			said := make(chan int, 1)
			w := raw(t, func(conn net.Conn) { said <- sentClose(hangUp(conn)) })
			w.CloseCode = code
			openSocket(t, w, "").Close()
			if got := <-said; got != want {
				t.Errorf("CloseCode %d: the server gets %d, want %d", code, got, want)
			}
		})
	}
}

func TestWebSocketContext(t *testing.T) {
	cause := errors.New("enough")
	bubble(t, func(t *testing.T) {
		said := make(chan int, 1)
		w := raw(t, func(conn net.Conn) { said <- sentClose(hangUp(conn)) })
		ctx, cancel := context.WithCancelCause(t.Context())
		conn, err := w.Open(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { cancel(cause) })
		if _, err := readFrom(conn); err != cause {
			t.Errorf("Read: %v", err)
		}
		if got := <-said; got != 1000 {
			t.Errorf("the server gets close code %d", got)
		}
		conn.Close()
		if _, err := w.Open(ctx, ""); err != cause {
			t.Errorf("Open: %v", err)
		}
	})
	bubble(t, func(t *testing.T) { // while the handshake is made
		w := &transport.WebSocket{URL: "ws://feed.test", Client: inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		})}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		if _, err := w.Open(ctx, ""); err != cause {
			t.Errorf("Open: %v", err)
		}
		start := time.Now()
		_, err := w.Open(t.Context(), "")
		if e := want[*transport.TimeoutError](t, err); e.Op != "header" || time.Since(start) != 10*time.Second {
			t.Errorf("Open: %v after %v", err, time.Since(start))
		}
	})
}
