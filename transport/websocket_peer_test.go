package transport_test

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/transport"
)

// A peer is the server's end of a WebSocket.
type peer struct {
	*websocket.Conn
	t   testing.TB
	req *http.Request
}

func (p *peer) say(texts ...string) {
	for _, s := range texts {
		if err := p.Write(p.req.Context(), websocket.MessageText, []byte(s)); err != nil {
			p.t.Logf("server: %v", err)
			return
		}
	}
}

func (p *peer) hear() string {
	_, b, err := p.Read(p.req.Context())
	if err != nil {
		return "error: " + err.Error()
	}
	return string(b)
}

// wait reads until the connection ends and returns its close code.
func (p *peer) wait() websocket.StatusCode {
	for {
		if _, _, err := p.Read(p.req.Context()); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

// sockets serves WebSockets with coder/websocket on a network in memory.
func sockets(t testing.TB, serve func(*peer)) *transport.WebSocket {
	return socketsWith(t, &websocket.AcceptOptions{}, serve)
}

func socketsWith(t testing.TB, o *websocket.AcceptOptions, serve func(*peer)) *transport.WebSocket {
	client := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, o)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		conn.SetReadLimit(1 << 20)
		serve(&peer{conn, t, r})
	})
	return &transport.WebSocket{URL: "ws://feed.test/live?key=secret", Client: client}
}

func openSocket(t testing.TB, w *transport.WebSocket, token string) *transport.Session {
	t.Helper()
	conn, err := w.Open(t.Context(), token)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func openSocketError(t testing.TB, w *transport.WebSocket, token string) error {
	t.Helper()
	conn, err := w.Open(t.Context(), token)
	if err == nil {
		conn.Close()
		t.Fatal("Open: got no error, want one")
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("got an error with a secret: %v", err)
	}
	return err
}

// raw serves WebSockets byte by byte, for streams that no library sends.
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

// wsFrame returns a frame of a server with the given first byte.
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

// hangUp returns what the client sends until the connection ends or a minute has passed.
func hangUp(conn net.Conn) []byte {
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	b, _ := io.ReadAll(conn)
	return b
}

// sentClose returns the code of the last close frame that a client sent, or 0.
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
