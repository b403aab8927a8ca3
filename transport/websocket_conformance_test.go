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
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/transport"
)

// A scripted is the network under a WebSocket whose server sends pieces and then hangs up.
type scripted struct {
	mu     sync.Mutex
	pieces [][]byte
	reads  int
	sent   []byte // by the client
}

func (s *scripted) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; len(s.pieces[0]) == 0 {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

func (s *scripted) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, p...)
	return len(p), nil
}

func (s *scripted) Close() error { return nil }

// replies returns the frames that the client has sent: "pong x" and "close 1000".
func (s *scripted) replies(t *testing.T) (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for b := s.sent; len(b) > 0; {
		if len(b) < 6 || b[1]&0x80 == 0 || b[1]&0x7f > 125 || len(b) < 6+int(b[1]&0x7f) {
			t.Fatalf("the client sent % x, want masked control frames", b)
		}
		payload := slices.Clone(b[6 : 6+b[1]&0x7f])
		for i := range payload {
			payload[i] ^= b[2+i%4]
		}
		switch {
		case b[0] == fin|opPong:
			all = append(all, "pong "+string(payload))
		case b[0] == fin|opClose && len(payload) >= 2:
			all = append(all, fmt.Sprintf("close %d", binary.BigEndian.Uint16(payload)))
		default:
			all = append(all, fmt.Sprintf("opcode %x, %d bytes", b[0], len(payload)))
		}
		b = b[6+len(payload):]
	}
	return all
}

// outcome is what a WebSocket makes of the stream of a server.
type outcome struct {
	messages []string
	replies  []string
	end      string // "1000", "violation", "message"
}

// consume reads the stream to its end and closes the connection. It runs in a bubble.
func consume(t *testing.T, w *transport.WebSocket, extensions string, pieces [][]byte) (o outcome) {
	t.Helper()
	s := &scripted{pieces: pieces}
	w.URL = "ws://feed.test"
	w.Client = &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
		key := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		header := http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Accept": {base64.StdEncoding.EncodeToString(key[:])}}
		if extensions != "" {
			header.Set("Sec-Websocket-Extensions", extensions)
		}
		return &http.Response{StatusCode: 101, Header: header, Body: s}, nil
	})}
	conn, err := w.Open(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	var m transport.Message
	for err == nil {
		reads := s.reads
		more := m.More
		if err = conn.Read(&m); more && s.reads != reads {
			t.Errorf("message %d: the message before it has More, but Read has read from the network", len(o.messages))
		}
		if err == nil {
			o.messages = append(o.messages, m.Type+string(m.Data))
		}
	}
	conn.Close()
	var closed *transport.CloseError
	var violation *transport.ProtocolError
	var message *transport.MessageError
	switch {
	case errors.As(err, &closed):
		o.end = fmt.Sprint(closed.Code)
	case errors.As(err, &violation):
		o.end = "violation"
	case errors.As(err, &message):
		o.end = "message"
	default:
		t.Fatalf("got %v, want an error of the connection", err)
	}
	o.replies = s.replies(t)
	return o
}

func (o outcome) equal(p outcome) bool {
	return slices.Equal(o.messages, p.messages) && slices.Equal(o.replies, p.replies) && o.end == p.end
}

func (o outcome) String() string {
	return fmt.Sprintf("messages %.300q, replies %.300q, end %s", o.messages, o.replies, o.end)
}

// splits calls f with stream as a whole, as single bytes, and in two pieces: for each position,
// or for those of a long stream that are near its ends and near the end of a buffer.
func splits(stream []byte, f func(name string, pieces [][]byte)) {
	f("whole", [][]byte{stream})
	f("single bytes", slices.Collect(slices.Chunk(stream, 1)))
	for at := 1; at < len(stream); at++ {
		near := func(n int) bool { return n-12 < at && at < n+12 }
		if len(stream) < 600 || near(0) || near(len(stream)) || near(4<<10) || near(64<<10) {
			f(fmt.Sprintf("split at %d", at), [][]byte{stream[:at], stream[at:]})
		}
	}
}

// checkSplits compares the outcome of each split of stream with want.
func checkSplits(t *testing.T, compression bool, stream []byte, want outcome) {
	t.Helper()
	extensions := ""
	if compression {
		extensions = "permessage-deflate"
	}
	synctest.Test(t, func(t *testing.T) {
		splits(stream, func(name string, pieces [][]byte) {
			if got := consume(t, &transport.WebSocket{Compression: compression}, extensions, pieces); !got.equal(want) {
				t.Fatalf("%s:\n got %v\nwant %v", name, got, want)
			}
		})
	})
}

// frames joins frames to a stream.
func frames(f ...[]byte) []byte { return bytes.Join(f, nil) }

// TestWebSocketConformance follows the protocol test suite of Autobahn
// (https://github.com/crossbario/autobahn-testsuite, groups 1 to 7, 9 and 10): for the stream of a
// server it compares messages, replies and end with those that RFC 6455 requires.
func TestWebSocketConformance(t *testing.T) {
	text := func(s string) []byte { return wsFrame(fin|opText, s) }
	ping, pong := func(s string) []byte { return wsFrame(fin|opPing, s) }, func(s string) []byte { return wsFrame(fin|opPong, s) }
	start, middle, end := func(s string) []byte { return wsFrame(opText, s) }, func(s string) []byte { return wsFrame(opContinuation, s) }, func(s string) []byte { return wsFrame(fin|opContinuation, s) }
	goodbye := closing(1000, "")
	list := func(s ...string) []string { return s }
	closed := func(messages ...string) outcome { return outcome{messages, list("close 1000"), "1000"} }
	replied := func(messages []string, replies ...string) outcome {
		return outcome{messages, append(replies, "close 1000"), "1000"}
	}
	violation := func(messages ...string) outcome { return outcome{messages, list("close 1002"), "violation"} }
	invalid := func(messages ...string) outcome { return outcome{messages, list("close 1007"), "message"} }
	type test struct {
		name   string
		stream []byte
		want   outcome
	}
	tests := []test{
		{"2.1 empty ping", frames(ping(""), goodbye), replied(nil, "pong ")},
		{"2.2 ping", frames(ping("Hello, world!"), goodbye), replied(nil, "pong Hello, world!")},
		{"2.3 binary ping", frames(ping("\x00\xff\xfe\xfd\xfc\xfb\x00\xff"), goodbye), replied(nil, "pong \x00\xff\xfe\xfd\xfc\xfb\x00\xff")},
		{"2.4 longest ping", frames(ping(strings.Repeat("\xfe", 125)), goodbye), replied(nil, "pong "+strings.Repeat("\xfe", 125))},
		{"2.5 too long ping", frames(ping(strings.Repeat("\xfe", 126)), goodbye), violation()},
		{"2.7 unsolicited pong", frames(pong(""), goodbye), closed()},
		{"2.8 unsolicited pong with payload", frames(pong("unsolicited"), goodbye), closed()},
		{"2.9 pong, ping", frames(pong("unsolicited"), ping("payload"), goodbye), replied(nil, "pong payload")},
		{"2.10 ten pings", frames(ping("0"), ping("1"), ping("2"), ping("3"), ping("4"), ping("5"), ping("6"), ping("7"), ping("8"), ping("9"), goodbye),
			replied(nil, "pong 0", "pong 1", "pong 2", "pong 3", "pong 4", "pong 5", "pong 6", "pong 7", "pong 8", "pong 9")},
		{"ping with a long length field", frames([]byte{fin | opPing, 126, 0, 2, 'h', 'i'}, goodbye), replied(nil, "pong hi")},
		{"long pong", frames(pong(strings.Repeat("x", 126)), goodbye), violation()},

		{"3.1 RSV3", frames(wsFrame(fin|0x10|opText, "Hello"), goodbye), violation()},
		{"3.2 RSV2 after a text", frames(text("Hello"), wsFrame(fin|rsv2|opText, "Hello"), ping(""), goodbye), violation("Hello")},
		{"3.4 RSV1 after a text", frames(text("Hello"), wsFrame(fin|rsv1|opText, "Hello"), ping(""), goodbye), violation("Hello")},
		{"3.5 RSV1 and RSV3, binary", frames(wsFrame(fin|0x50|opBinary, "\x00\xff"), goodbye), violation()},
		{"3.6 RSV1 and RSV2, ping", frames(wsFrame(fin|0x60|opPing, "Hello"), goodbye), violation()},
		{"3.7 all RSV, close", wsFrame(fin|0x70|opClose, "\x03\xe8"), violation()},

		{"5.1 fragmented ping", frames(wsFrame(opPing, "f"), end("g"), goodbye), violation()},
		{"5.2 fragmented pong", frames(wsFrame(opPong, "f"), end("g"), goodbye), violation()},
		{"5.3 two fragments", frames(start("fragment1"), end("fragment2"), goodbye), closed("fragment1fragment2")},
		{"5.6 ping between fragments", frames(start("fragment1"), ping("ping"), end("fragment2"), goodbye), replied(list("fragment1fragment2"), "pong ping")},
		{"5.9 continuation without a message", frames(end("non-continuation"), text("Hello"), goodbye), violation()},
		{"5.12 unfinished continuation without a message", frames(middle("non-continuation"), text("Hello"), goodbye), violation()},
		{"5.15 continuation after a message", frames(start("fragment1"), end("fragment2"), middle("fragment3"), text("fragment4"), goodbye), violation("fragment1fragment2")},
		{"5.18 message in a message", frames(start("fragment1"), text("fragment2"), goodbye), violation()},
		{"binary message in a message", frames(start("fragment1"), wsFrame(opBinary, "fragment2"), goodbye), violation()},
		{"5.19 five fragments and two pings", frames(start("1"), middle("2"), ping("a"), middle("3"), middle("4"), ping("b"), end("5"), goodbye), replied(list("12345"), "pong a", "pong b")},
		{"empty fragments", frames(start(""), middle(""), end(""), wsFrame(fin|opBinary, ""), goodbye), closed("", "binary")},
		{"binary fragments", frames(wsFrame(opBinary, "a"), pong("x"), end("b"), goodbye), closed("binaryab")},

		{"6.2.4 a character in two fragments", frames(start("\xce"), end("\xba"), goodbye), closed("\xce\xba")},
		{"6.3.1 invalid", frames(text("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"), goodbye), invalid()},
		{"6.4.1 invalid in fragments", frames(start("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"), middle("\xf4\x90\x80\x80"), end("edited"), goodbye), invalid()},
		{"6.4.2 cut in a character", frames(start("\xce\xba"), end("\xf4"), goodbye), invalid()},
		{"invalid after a message", frames(text("fine"), text("\xff"), text("never"), goodbye), invalid("fine")},
		{"invalid as binary", frames(wsFrame(fin|opBinary, "\xff"), goodbye), closed("binary\xff")},

		{"7.1.1 message and close", frames(text("Hello World!"), goodbye), closed("Hello World!")},
		{"7.1.2 two close frames", frames(goodbye, goodbye), closed()},
		{"7.1.3 ping after close", frames(goodbye, ping("x")), closed()},
		{"7.1.4 text after close", frames(goodbye, text("x")), closed()},
		{"7.1.5 close in a message", frames(start("fragment1"), goodbye, end("fragment2")), closed()},
		{"7.3.1 empty close", wsFrame(fin|opClose, ""), outcome{nil, list("opcode 88, 0 bytes"), "1005"}},
		{"7.3.2 close of one byte", wsFrame(fin|opClose, "a"), outcome{nil, list("close 1002"), "1005"}},
		{"7.3.4 reason", closing(1000, "Hello World!"), closed()},
		{"7.3.5 longest reason", closing(1000, strings.Repeat("*", 123)), closed()},
		{"7.3.6 too long reason", closing(1000, strings.Repeat("*", 124)), violation()},
		{"7.5.1 reason that is not UTF-8", closing(1000, "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"), outcome{nil, list("close 1007"), "1000"}},
		{"fragmented close", wsFrame(opClose, "\x03\xe8"), violation()},

		{"masked", frames(text("fine"), []byte{fin | opText, 0x80 | 2, 1, 2, 3, 4, 'h' ^ 1, 'i' ^ 2}, goodbye), violation("fine")},
		{"masked ping", frames([]byte{fin | opPing, 0x80, 1, 2, 3, 4}, goodbye), violation()},
		{"long length fields", frames([]byte{fin | opText, 126, 0, 1, 'a', fin | opText, 127, 0, 0, 0, 0, 0, 0, 0, 1, 'b'}, goodbye), closed("a", "b")},
		{"length of 64 bits", frames(text("fine"), []byte{fin | opText, 127, 0x80, 0, 0, 0, 0, 0, 0, 1, 'b'}, goodbye), violation("fine")},
		{"length above MaxMessage", frames(text("fine"), []byte{fin | opText, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'b'}, goodbye), outcome{list("fine"), list("close 1009"), "message"}},
		{"hang-up", text("Hello"), outcome{list("Hello"), list(), "1006"}},
		{"hang-up in a header", frames(text("Hello"), text(strings.Repeat("x", 300))[:3]), outcome{list("Hello"), list(), "1006"}},
		{"hang-up in a message", frames(text("Hello"), text("Hello")[:5]), outcome{list("Hello"), list(), "1006"}},
	}
	for _, size := range []int{0, 1, 125, 126, 127, 128, 4082, 4092, 4096, 65535, 65536, 70000} {
		s := strings.Repeat("*", size)
		tests = append(tests, test{fmt.Sprintf("1.1 text and 1.2 binary of %d bytes", size),
			frames(text(s), wsFrame(fin|opBinary, "x"), text("y"), goodbye), closed(s, "binaryx", "y")})
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		tests = append(tests,
			test{fmt.Sprintf("4.1 opcode %d", op), frames(wsFrame(fin|op, ""), goodbye), violation()},
			test{fmt.Sprintf("4.2 opcode %d after a text", op), frames(text("Hello"), wsFrame(fin|op, "x"), ping("x"), goodbye), violation("Hello")})
	}
	for _, s := range []string{ // 6.5 to 6.23
		"Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\x00", "\x7f", "\u0080", "\u07ff", "\u0800", "\uffff", "\U00010000", "\U0010ffff",
		"\ud7ff", "\ue000", "\ufffd", "\ufdd0", "\ufffe", "\U0001ffff",
	} {
		tests = append(tests, test{fmt.Sprintf("6 valid %q", s), frames(text(s), goodbye), closed(s)})
	}
	for _, s := range []string{
		"\x80", "\xbf", "\x80\xbf", "\xc0", "\xc0 ", "\xe0 ", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80",
		"\xfe", "\xff", "\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xc0\x80",
		"\xed\xa0\x80", "\xed\xbf\xbf", "\xed\xa0\x80\xed\xb0\x80", "\xf4\x90\x80\x80", "\xf7\xbf\xbf\xbf", "κόσμ\xce",
	} {
		tests = append(tests, test{fmt.Sprintf("6 invalid %q", s), frames(text(s), goodbye), invalid()})
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		tests = append(tests, test{fmt.Sprintf("7.7 close code %d", code), closing(uint16(code), ""), outcome{nil, list(fmt.Sprintf("close %d", code)), fmt.Sprint(code)}})
	}
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		tests = append(tests, test{fmt.Sprintf("7.9 close code %d", code), closing(uint16(code), "x"), outcome{nil, list("close 1002"), fmt.Sprint(code)}})
	}
	for _, piece := range []int{64, 1300, 16_000, 65_536} { // 9.3 to 9.6, 10.1
		const size = 100_000
		var stream []byte
		for at := 0; at < size; at += piece {
			first := byte(opContinuation)
			if at == 0 {
				first = opText
			}
			if at+piece >= size {
				first |= fin
			}
			stream = append(stream, wsFrame(first, strings.Repeat("x", min(piece, size-at)))...)
		}
		tests = append(tests, test{fmt.Sprintf("9.3 pieces of %d", piece), frames(stream, goodbye), closed(strings.Repeat("x", size))})
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			checkSplits(t, false, c.stream, c.want)
		})
	}
}

// Groups 12 and 13 of Autobahn: compressed messages, with others between them and their frames.
func TestWebSocketConformanceCompressed(t *testing.T) {
	var out bytes.Buffer
	z, _ := flate.NewWriter(&out, flate.BestSpeed)
	deflate := func(s string) string { // RFC 7692, section 7.2.1, with context takeover
		out.Reset()
		z.Write([]byte(s))
		z.Flush()
		return strings.TrimSuffix(out.String(), "\x00\x00\xff\xff")
	}
	long := strings.Repeat("compressed ", 900)
	a, b, c, d := deflate("Hello Hello Hello"), deflate("Hello Hello Hello"), deflate(long), deflate("")
	stream := frames(
		wsFrame(fin|rsv1|opText, a), wsFrame(fin|opPing, "1"), wsFrame(fin|opText, "plain"),
		wsFrame(rsv1|opText, b[:2]), wsFrame(fin|opPing, "2"), wsFrame(opContinuation, ""), wsFrame(fin|opContinuation, b[2:]),
		wsFrame(opText, "in "), wsFrame(fin|opContinuation, "pieces"),
		wsFrame(rsv1|opBinary, c[:len(c)/2]), wsFrame(fin|opContinuation, c[len(c)/2:]), wsFrame(fin|rsv1|opText, d),
		closing(1000, ""))
	want := outcome{
		[]string{"Hello Hello Hello", "plain", "Hello Hello Hello", "in pieces", "binary" + long, ""},
		[]string{"pong 1", "pong 2", "close 1000"}, "1000",
	}
	checkSplits(t, true, stream, want)
	for name, c := range map[string]struct {
		stream []byte
		want   outcome
	}{
		"RSV1 in a continuation": {frames(wsFrame(rsv1|opText, a[:2]), wsFrame(fin|rsv1|opContinuation, a[2:])), outcome{nil, []string{"close 1002"}, "violation"}},
		"RSV1 in a ping":         {wsFrame(fin|rsv1|opPing, ""), outcome{nil, []string{"close 1002"}, "violation"}},
		"message in a message":   {frames(wsFrame(rsv1|opText, a[:2]), wsFrame(fin|opText, "x")), outcome{nil, []string{"close 1002"}, "violation"}},
		"close in a message":     {frames(wsFrame(rsv1|opText, a[:2]), closing(1000, "")), outcome{nil, []string{"close 1000"}, "1000"}},
		"not deflate":            {frames(wsFrame(fin|rsv1|opText, "\xff\xff\xff"), closing(1000, "")), outcome{nil, []string{"close 1002"}, "violation"}},
		"hang-up in a message":   {wsFrame(rsv1|opText, a[:2]), outcome{nil, nil, "1006"}},
	} {
		t.Run(name, func(t *testing.T) {
			checkSplits(t, true, c.stream, c.want)
		})
	}
}
