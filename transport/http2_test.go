package transport_test

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// HTTP/2 frame types (RFC 9113, section 6).
const (
	frameData     = 0x0
	frameHeaders  = 0x1
	frameReset    = 0x3
	frameSettings = 0x4
	framePing     = 0x6
	frameGoAway   = 0x7
)

func frame(typ, flags byte, stream uint32, payload ...byte) []byte {
	b := []byte{0, byte(len(payload) >> 8), byte(len(payload)), typ, flags}
	return append(binary.BigEndian.AppendUint32(b, stream), payload...)
}

// okHeader is ":status: 200" and "content-type: application/x-ndjson" (RFC 7541).
func okHeader() []byte {
	const value = "application/x-ndjson"
	block := append([]byte{0x88, 0x0f, 0x10, byte(len(value))}, value...)
	return frame(frameHeaders, 0x4, 1, block...)
}

// rawHTTP2 serves one connection: it answers the first request with header and one
// event and then sends the frames of end. It answers nothing else, no PING either.
// The frames that it gets are reported by type.
func rawHTTP2(t *testing.T, end []byte, hangUp bool) (url string, got <-chan byte) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	config := &tls.Config{Certificates: cert.TLS.Certificates, NextProtos: []string{"h2"}}
	cert.Close()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	frames, done := make(chan byte, 100), make(chan struct{})
	go func() {
		defer close(done)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		speakHTTP2(conn, end, hangUp, frames)
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return "https://" + ln.Addr().String(), frames
}

func speakHTTP2(conn net.Conn, end []byte, hangUp bool, got chan<- byte) {
	io.ReadFull(conn, make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
	conn.Write(frame(frameSettings, 0, 0))
	for head := make([]byte, 9); ; {
		if _, err := io.ReadFull(conn, head); err != nil {
			return
		}
		io.CopyN(io.Discard, conn, int64(head[0])<<16|int64(head[1])<<8|int64(head[2]))
		select {
		case got <- head[3]:
		default:
		}
		if head[3] != frameHeaders {
			continue
		}
		conn.Write(okHeader())
		conn.Write(frame(frameData, 0, 1, []byte("1\n")...))
		conn.Write(end)
		if hangUp {
			return
		}
	}
}

// However an HTTP/2 server breaks off, the error is a network failure and not an end of the feed.
func TestHTTP2Failures(t *testing.T) {
	code := func(c byte) []byte { return []byte{0, 0, 0, c} }
	reset := func(c byte) []byte { return frame(frameReset, 0, 1, code(c)...) }
	goAway := func(last byte) []byte { return frame(frameGoAway, 0, 0, 0, 0, 0, last, 0, 0, 0, 0) }
	tests := []struct {
		name   string
		end    []byte
		hangUp bool
	}{
		{"RST_STREAM NO_ERROR", reset(0), false},
		{"RST_STREAM INTERNAL_ERROR", reset(2), false},
		{"REFUSED_STREAM", reset(7), false},
		{"CANCEL", reset(8), false},
		{"GOAWAY after the stream", goAway(1), true},
		{"GOAWAY before the stream", goAway(0), true},
		{"hangs up", nil, true},
	}
	for _, tt := range tests {
		for _, method := range []string{"GET", "POST"} {
			t.Run(tt.name+" "+method, func(t *testing.T) {
				url, _ := rawHTTP2(t, tt.end, tt.hangUp)
				conn := open(t, &transport.HTTP{URL: url, Method: method}, "")
				var err error
				for err == nil { // a reset may overtake the event
					_, err = readFrom(conn)
				}
				var status interface{ StatusCode() int }
				var protocol interface{ Protocol() bool }
				if err == io.EOF || errors.Is(err, transport.ErrComplete) || errors.As(err, &status) || errors.As(err, &protocol) {
					t.Errorf("got error %T %v, want a network failure", err, err)
				}
				if want := map[string]string{"GET": "unset", "POST": "false"}[method]; retryable(err) != want {
					t.Errorf("%v: retryable %s, want %s", err, retryable(err), want)
				}
			})
		}
	}
}

func TestHTTP2PingDetectsDeadPeer(t *testing.T) {
	url, got := rawHTTP2(t, nil, false)
	conn := open(t, &transport.HTTP{URL: url, PingInterval: 20 * time.Millisecond, IdleTimeout: -1}, "")
	read(t, conn)
	err := readError(t, conn)
	if retryable(err) != "unset" {
		t.Errorf("got %v, retryable %s, want unset", err, retryable(err))
	}
	for typ := range got {
		if typ == framePing {
			return
		}
	}
}

func TestHTTP2WithoutPings(t *testing.T) {
	url, got := rawHTTP2(t, nil, false)
	conn := open(t, &transport.HTTP{URL: url, PingInterval: -1, IdleTimeout: 100 * time.Millisecond}, "")
	read(t, conn)
	want[*transport.TimeoutError](t, readError(t, conn))
	conn.Close()
	for {
		select {
		case typ := <-got:
			if typ == framePing {
				t.Error("got a PING, want none")
			}
			continue
		default:
		}
		return
	}
}

// An aborted handler is a reset of the stream.
func TestHTTP2Abort(t *testing.T) {
	srv := protocols["HTTP/2"](t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		feed(w, "1\n")
		panic(http.ErrAbortHandler)
	}))
	conn := open(t, &transport.HTTP{URL: srv.URL}, "")
	var err error
	for err == nil {
		_, err = readFrom(conn)
	}
	if err == io.EOF || retryable(err) != "unset" {
		t.Errorf("got error %v, retryable %s, want unset", err, retryable(err))
	}
}
