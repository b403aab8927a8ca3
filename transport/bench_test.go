package transport_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport"
)

// endlessBody repeats a block, and ends when it is closed.
type endlessBody struct {
	block, rest []byte
	closed      chan struct{}
}

func newEndlessBody(event []byte) *endlessBody {
	return &endlessBody{block: bytes.Repeat(event, max(1, 64<<10/len(event))), closed: make(chan struct{})}
}

func (b *endlessBody) Read(p []byte) (int, error) {
	select {
	case <-b.closed:
		return 0, io.EOF
	default:
	}
	if len(b.rest) == 0 {
		b.rest = b.block
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *endlessBody) Write(p []byte) (int, error) { return len(p), nil }

func (b *endlessBody) Close() error {
	close(b.closed)
	return nil
}

func benchmarkRead(b *testing.B, size int, feed transport.Transport) {
	conn, err := feed.Open(b.Context(), "")
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	b.SetBytes(int64(size))
	b.ReportAllocs()
	var m transport.Message
	for b.Loop() {
		if err := conn.Read(&m); err != nil {
			b.Fatal(err)
		}
	}
}

var benchmarkSizes = []int{100, 430, 4000, 60_000}

func BenchmarkHTTPRead(b *testing.B) {
	for _, size := range benchmarkSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			event := fmt.Appendf(nil, "data: %s\n\n", strings.Repeat("x", size))
			benchmarkRead(b, size, &transport.HTTP{URL: "http://feed.test", Client: &http.Client{
				Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
					header := http.Header{"Content-Type": {"text/event-stream"}}
					return &http.Response{StatusCode: 200, ProtoMajor: 2, Header: header, ContentLength: -1, Body: newEndlessBody(event)}, nil
				})}})
		})
	}
}

func BenchmarkWebSocketRead(b *testing.B) {
	for _, size := range benchmarkSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			event := wsFrame(fin|opText, strings.Repeat("x", size))
			benchmarkRead(b, size, &transport.WebSocket{URL: "ws://feed.test", CloseCode: -1, Client: &http.Client{
				Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
					key := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
					header := http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Accept": {base64.StdEncoding.EncodeToString(key[:])}}
					return &http.Response{StatusCode: 101, Header: header, Body: newEndlessBody(event)}, nil
				})}})
		})
	}
}
