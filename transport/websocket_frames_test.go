package transport_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/steadfeed/steadfeed/transport"
)

// reference returns what the stream of a server must lead to, without compression, in the
// simplest way: the whole stream is in memory, and each frame is looked at once.
func reference(p []byte, maxMessage int) (o outcome) {
	end := func(how, reply string) outcome {
		o.end = how
		if reply != "" {
			o.replies = append(o.replies, reply)
		}
		return o
	}
	var message []byte
	var kind byte // of the message that has started, or 0
	for {
		if len(p) < 2 {
			return end("1006", "")
		}
		first, length, header := p[0], uint64(p[1]&0x7f), 2+map[byte]int{126: 2, 127: 8}[p[1]&0x7f]
		if len(p) < header {
			return end("1006", "")
		}
		if header > 2 {
			length = binary.BigEndian.Uint64(slices.Concat(make([]byte, 10-header), p[2:header]))
		}
		op, final := first&0x0f, first&fin != 0
		switch {
		case p[1]&0x80 != 0, first&0x70 != 0, !slices.Contains([]byte{0, 1, 2, 8, 9, 10}, op),
			op >= 8 && (length > 125 || !final), op < 8 && (op == 0) != (kind != 0), length >= 1<<63:
			return end("violation", "close 1002")
		case op < 8 && length > uint64(maxMessage-len(message)):
			return end("message", "close 1009")
		case uint64(len(p)-header) < length:
			return end("1006", "")
		}
		payload := p[header : header+int(length)]
		p = p[header+int(length):]
		switch op {
		case opPong:
			continue
		case opPing:
			o.replies = append(o.replies, "pong "+string(payload))
			continue
		case opClose:
			return end(closeReference(payload))
		case opContinuation:
		default:
			kind = op
		}
		message = append(message, payload...)
		switch {
		case !final:
			continue
		case kind == opText && !utf8.Valid(message):
			return end("message", "close 1007")
		case kind == opText:
			o.messages = append(o.messages, string(message))
		default:
			o.messages = append(o.messages, "binary"+string(message))
		}
		kind, message = 0, nil
	}
}

func closeReference(payload []byte) (end, reply string) {
	if len(payload) == 0 {
		return "1005", "opcode 88, 0 bytes"
	}
	if len(payload) == 1 {
		return "1005", "close 1002"
	}
	code := int(binary.BigEndian.Uint16(payload))
	valid := code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006 || code >= 3000 && code <= 4999
	switch {
	case !valid:
		return fmt.Sprint(code), "close 1002"
	case !utf8.Valid(payload[2:]):
		return fmt.Sprint(code), "close 1007"
	}
	return fmt.Sprint(code), fmt.Sprintf("close %d", code)
}

// FuzzWebSocketFrames compares a WebSocket with the reference, for any stream of a server and any
// segmentation of it.
func FuzzWebSocketFrames(fuzz *testing.F) {
	for _, stream := range [][]byte{
		frames(wsFrame(fin|opText, "hello"), wsFrame(opText, "ab"), wsFrame(fin|opPing, "x"), wsFrame(fin|opContinuation, "c"), closing(1000, "bye")),
		frames(wsFrame(fin|opBinary, strings.Repeat("x", 300)), wsFrame(fin|opPong, ""), wsFrame(fin|opText, "\xff")),
		frames(wsFrame(fin|opText, ""), []byte{fin | opText, 127, 0, 0, 0, 0, 0, 0, 0, 1, 'x', fin | opText, 0x81, 1, 2, 3, 4, 5}),
		frames([]byte{fin | opText, 126, 0, 1, 'a'}, wsFrame(fin|opClose, "x")),
		frames(wsFrame(fin|rsv1|opText, "hello"), wsFrame(3, "x")),
		closing(1000, "\xff"), wsFrame(fin|opClose, ""), closing(1005, ""),
		frames(wsFrame(opBinary, strings.Repeat("x", 900)), wsFrame(fin|opContinuation, strings.Repeat("x", 101))),
	} {
		fuzz.Add(stream, uint16(1))
		fuzz.Add(stream, uint16(7))
		fuzz.Add(stream, uint16(1<<15))
	}
	fuzz.Fuzz(func(t *testing.T, stream []byte, size uint16) {
		const limit = 1000
		want := reference(stream, limit)
		var pieces [][]byte
		if len(stream) > 0 {
			pieces = slices.Collect(slices.Chunk(stream, int(size)+1))
		}
		synctest.Test(t, func(t *testing.T) {
			if got := consume(t, &transport.WebSocket{MaxMessage: limit}, "", pieces); !got.equal(want) {
				t.Errorf("pieces of %d bytes:\n got %v\nwant %v", int(size)+1, got, want)
			}
		})
	})
}

// While this side closes, the server finishes what it was sending: the close handshake completes
// wherever the reader is.
func TestWebSocketCloseWhileReceiving(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for name, c := range map[string]struct {
		stream     []byte
		before     int // bytes of stream that are sent before Close is called
		compressed bool
	}{
		"in a header":             {frames(wsFrame(fin|opText, long)), 5, false},
		"in a payload":            {frames(wsFrame(fin|opText, long)), 5000, false},
		"between fragments":       {frames(wsFrame(opText, "a"), wsFrame(fin|opPing, "x"), wsFrame(fin|opContinuation, long)), 3, false},
		"in a ping":               {frames(wsFrame(fin|opPing, "ping"), wsFrame(fin|opText, "a")), 4, false},
		"before a ping":           {frames(wsFrame(fin|opText, "a"), wsFrame(fin|opPing, "ping"), wsFrame(fin|opPong, "pong")), 3, false},
		"in a compressed payload": {frames(wsFrame(fin|rsv1|opText, "\xf2H\xcd\xc9\xc9\x07\x00"), wsFrame(fin|opPing, "x")), 5, true},
		"before a compressed one": {frames(wsFrame(fin|opText, "a"), wsFrame(fin|rsv1|opText, "\xf2H\xcd\xc9\xc9\x07\x00")), 3, true},
	} {
		for _, reading := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reading %v", name, reading), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					extension, sent := "", make(chan int, 1)
					if c.compressed {
						extension = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
					}
					w := rawWith(t, extension, func(conn net.Conn) {
						conn.Write(c.stream[:c.before])
						heard := make([]byte, 8)
						io.ReadFull(conn, heard)
						sent <- sentClose(heard)
						conn.Write(append(slices.Clone(c.stream[c.before:]), closing(1000, "")...))
						io.Copy(io.Discard, conn)
					})
					w.Compression = c.compressed
					conn := openSocket(t, w, "")
					done := make(chan error, 1)
					read := func() {
						for {
							if _, err := readFrom(conn); err != nil {
								done <- err
								return
							}
						}
					}
					if reading {
						go read()
						synctest.Wait()
					}
					start := time.Now()
					conn.Close()
					if d := time.Since(start); d != 0 && !(c.compressed && reading) {
						t.Errorf("Close took %v, want no wait: the server has answered", d)
					} else if d > time.Second {
						t.Errorf("Close took %v, want at most 1s", d)
					}
					if !reading {
						read()
					}
					if err := <-done; !errors.Is(err, net.ErrClosed) {
						t.Errorf("Read: got %v, want %v", err, net.ErrClosed)
					}
					if code := <-sent; code != 1000 && !(c.compressed && reading) {
						t.Errorf("got close code %d, want 1000", code)
					}
				})
			})
		}
	}
}

// Both sides close at once. The reader delivers what the server sent before its close frame.
func TestWebSocketCloseFramesCross(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := make(chan int, 1)
		w := raw(t, func(conn net.Conn) {
			time.Sleep(time.Minute) // the age is reached
			conn.Write(frames(wsFrame(fin|opText, "one"), wsFrame(fin|opPing, "x"), wsFrame(fin|opText, "two"), closing(1001, "")))
			sent <- sentClose(hangUp(conn))
		})
		w.MaxConnectionAge, w.PingInterval = time.Minute, -1
		conn := openSocket(t, w, "")
		for _, text := range []string{"one", "two"} {
			if m, err := readFrom(conn); err != nil || string(m.Data) != text {
				t.Fatalf("got %q, %v, want %q", m.Data, err, text)
			}
		}
		if _, err := readFrom(conn); err == nil {
			t.Error("got a message, want an error")
		}
		start := time.Now()
		conn.Close()
		if d := time.Since(start); d != 0 {
			t.Errorf("Close took %v, want no wait: the server has closed", d)
		}
		if code := <-sent; code != 1000 && code != 1001 {
			t.Errorf("got close code %d, want 1000 or 1001", code)
		}
	})
}

// Messages that arrive after this side's close frame are delivered until the server's.
func TestWebSocketMessagesWhileClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) {
			io.ReadFull(conn, make([]byte, 8)) // the close frame
			conn.Write(frames(wsFrame(fin|opText, "one"), wsFrame(fin|opPing, "x"), wsFrame(fin|opText, "two"), closing(1000, "")))
			hangUp(conn)
		})
		w.MaxConnectionAge, w.PingInterval = time.Minute, -1
		conn := openSocket(t, w, "")
		for _, text := range []string{"one", "two"} {
			if m, err := readFrom(conn); err != nil || string(m.Data) != text {
				t.Fatalf("got %q, %v, want %q", m.Data, err, text)
			}
		}
		if _, err := readFrom(conn); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want io.EOF", err)
		}
	})
}

// The memory for a message grows with what has arrived of it, not with the length that its header
// announces.
func TestWebSocketAnnouncedLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) {
			conn.Write(frames([]byte{fin | opText, 127, 0, 0, 0xff, 0, 0, 0, 0, 0}, bytes.Repeat([]byte("x"), 100_000)))
		})
		w.MaxMessage = -1
		conn := openSocket(t, w, "")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := readError(t, conn)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v, want %v", err, io.ErrUnexpectedEOF)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
			t.Errorf("got %d MiB allocated for 100 kB, want at most 8", n>>20)
		}
	})
}
