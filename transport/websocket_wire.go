package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
)

const (
	libraryBuffer = 4 << 10  // what the library reads at once, but for large messages
	wireBuffer    = 64 << 10 // what is read at once from a connection that has much to read

	caughtUp = time.Millisecond // a reader that waits that long has read what was there

	idleWriter = -1 // no write is under way
)

var errMasked = errors.New("a frame from the server is masked, contrary to RFC 6455, section 5.1")

// A wire is the byte stream under the library. It watches what comes: when, and which
// frames, so that it is known how many messages can be read without waiting, and with which
// code the server closes even where that is not a legal one.
//
// Read is called by one goroutine at a time: the library's lock for readers is held. What
// others need to know is atomic.
type wire struct {
	body     io.ReadWriteCloser
	socket   *WebSocket
	release  func()        // closes body, and the socket underneath
	released chan struct{} // closed once body is
	start    time.Time
	paused   atomic.Int64 // how much time has passed besides: tests pause the process

	frames frames
	buffer *[wireBuffer]byte // while there is much to read
	unread []byte            // in buffer
	burst  bool              // the last read has brought all that it had space for

	at        atomic.Int64 // since start: when bytes last came, or a reader came back
	messageAt atomic.Int64 // since start: when a message last came, or a reader came back
	idleAt    atomic.Int64 // since start: when the last wait ended that was one
	waiting   atomic.Bool  // somebody reads

	writing atomic.Int64 // since start: when the write that the peer has not taken yet began, or idleWriter
	guarded atomic.Bool  // guard has been called, for a timer that watches the writes
	guard   func()       // set before the first write

	complete   atomic.Uint64 // messages that the library has in full
	intricate  atomic.Uint64 // the last of these that is fragmented or compressed
	length     atomic.Uint64 // of the frame that it has in part
	behind     atomic.Bool   // unread holds another message in full
	closing    atomic.Pointer[[]byte]
	dropped    atomic.Bool           // the library has closed it
	unwritable atomic.Pointer[error] // what a write said: from then on, what is sent gets nowhere
	broken     atomic.Pointer[error] // what a read said
}

func newWire(h *handshake, resp *http.Response) (*wire, error) {
	body, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		resp.Body.Close()
		return nil, &final{errors.New("transport: WebSocket.Client: its Transport cannot switch protocols")}
	}
	cancel := h.cancel // and no more of h, which holds all that the handshake needed
	w := &wire{
		body: body, socket: h.socket, start: time.Now(),
		release: func() { cancel(errClosed) }, released: make(chan struct{}), guard: func() {},
	}
	w.writing.Store(idleWriter)
	context.AfterFunc(h.ctx, func() {
		body.Close()
		close(w.released)
	})
	return w, nil
}

// Write never fails: the library would give up reading because it cannot answer a ping, and
// the last words of a server that has left be lost. What is read reports the end. The
// library calls it for one frame at a time, or a part of one.
func (w *wire) Write(p []byte) (int, error) {
	w.writing.Store(w.now())
	if !w.guarded.Swap(true) {
		w.guard()
	}
	_, err := w.body.Write(w.answer(p))
	if err != nil {
		w.unwritable.CompareAndSwap(nil, &err)
	}
	w.writing.Store(idleWriter)
	return len(p), nil
}

// answer returns p, with another close frame instead of the library's echo of one whose reason
// is not UTF-8: code 1007 (RFC 6455, sections 5.5.1 and 8.1).
func (w *wire) answer(p []byte) []byte {
	closing := w.closing.Load()
	if closing == nil || w.socket.AnyText || utf8.Valid((*closing)[min(codeSize, len(*closing)):]) {
		return p
	}
	at := len(p) - headerMin - maskSize - len(*closing)
	if at < 0 || p[at] != finBit|opClose || int(p[at+1]) != maskBit|len(*closing) {
		return p // another frame
	}
	p = bytes.Clone(p[:at+headerMin+maskSize+codeSize])
	frame := p[at:]
	frame[1] = maskBit | codeSize
	binary.BigEndian.PutUint16(frame[headerMin+maskSize:], uint16(websocket.StatusInvalidFramePayloadData))
	for i := range codeSize {
		frame[headerMin+maskSize+i] ^= frame[headerMin+i]
	}
	return p
}

// Close is called by the library, when it is closed or has waited too long for a write. It
// closes the socket underneath a TLS connection too, whose own Close waits for a peer
// that takes nothing.
func (w *wire) Close() error {
	w.dropped.Store(true)
	w.release()
	<-w.released
	return nil
}

func (w *wire) Read(p []byte) (int, error) {
	if w.frames.masked {
		return 0, errMasked
	}
	if len(w.unread) == 0 {
		if n, err := w.fill(p); n == 0 {
			return 0, err
		} else if w.buffer == nil {
			return w.watch(p[:n]), nil
		}
	}
	n := w.watch(p[:copy(p, w.unread)])
	w.unread = w.unread[n:]
	rest := w.frames
	_, whole := rest.message(w.unread)
	w.behind.Store(whole)
	return n, nil
}

// fill waits for bytes and puts them into p, or into a larger buffer when the library's
// own was full the last time. What the library reads into a message is left alone.
func (w *wire) fill(p []byte) (int, error) {
	buffered := len(p) == libraryBuffer
	big := w.burst && buffered
	switch {
	case big && w.buffer == nil:
		if w.buffer, _ = w.socket.buffers.Get().(*[wireBuffer]byte); w.buffer == nil {
			w.buffer = new([wireBuffer]byte)
		}
	case !big && w.buffer != nil:
		w.socket.buffers.Put(w.buffer)
		w.buffer, w.unread = nil, nil
	}
	if big {
		p = w.buffer[:]
	}
	n, err := w.wait(p)
	w.burst = buffered && n == len(p)
	if w.buffer != nil {
		w.unread = w.buffer[:n]
	}
	return n, err
}

// wait reads from the network and takes note of the time.
func (w *wire) wait(p []byte) (int, error) {
	start := w.now()
	w.messageAt.Add(start - w.at.Swap(start)) // time in which nobody reads does not count
	w.waiting.Store(true)
	n, err := w.body.Read(p)
	w.waiting.Store(false)
	end := w.now()
	w.at.Store(end)
	if end-start >= int64(caughtUp) {
		w.idleAt.Store(end)
	}
	if err != nil && n == 0 && w.broken.Load() == nil {
		broken := err
		w.broken.Store(&broken)
	}
	return n, err
}

func (w *wire) now() int64 { return int64(time.Since(w.start)) + w.paused.Load() }

// caughtUpSince tells whether the reader has come to the end of what there was to read after
// a point in time.
func (w *wire) caughtUpSince(at int64) bool {
	return w.idleAt.Load() > at || w.waiting.Load() && w.now()-max(w.at.Load(), at) >= int64(caughtUp)
}

// watch follows the frames in p, which goes to the library, and returns how much of it
// may: not what is behind the header of a masked frame.
func (w *wire) watch(p []byte) int {
	f, n := &w.frames, 0
	for n < len(p) && !f.masked {
		done, _ := f.message(p[n:])
		n += done
	}
	w.intricate.Store(f.intricate)
	w.length.Store(f.length)
	if w.complete.Swap(f.messages) != f.messages {
		w.messageAt.Store(w.at.Load())
	}
	if f.closed && w.closing.Load() == nil {
		payload := bytes.Clone(f.closing)
		w.closing.Store(&payload)
	}
	return n
}

// silence returns for how long nothing has come although somebody reads, and for how
// long no message has.
func (w *wire) silence() (bytes, messages time.Duration) {
	last, now := w.at.Load(), w.now()
	if !w.waiting.Load() {
		now = last // nobody reads since
	}
	return time.Duration(now - last), time.Duration(now - w.messageAt.Load())
}

// frames follows the frames of a WebSocket (RFC 6455, section 5.2): bytes for the headers,
// one step for each piece of a payload.
type frames struct {
	header  [headerMin + 8]byte
	have    int    // bytes of the header
	payload bool   // the header is complete
	length  uint64 // of the payload
	left    uint64 // of it, to come

	messages  uint64 // that have ended
	intricate uint64 // the last one with several frames, or compressed
	closing   []byte // payload of the close frame
	closed    bool   // it is complete
	masked    bool
}

const (
	opContinuation = 0
	opClose        = 8 // and above: control frames
	opMask         = 0x0f

	finBit  = 0x80
	rsv1Bit = 0x40
	maskBit = 0x80

	headerMin = 2
	maskSize  = 4
	codeSize  = 2 // of a close frame's payload
	length16  = 126
	length64  = 127
)

// message follows p up to the end of a message, and returns how far it came and whether
// there is one. It stops behind the header of a masked frame.
func (f *frames) message(p []byte) (n int, whole bool) {
	for n < len(p) {
		if !f.payload {
			n += f.head(p[n:])
			if !f.payload || f.masked {
				return n, false
			}
		}
		skip := int(min(f.left, uint64(len(p)-n)))
		if f.opcode() == opClose && !f.closed {
			f.closing = append(f.closing, p[n:n+skip]...)
		}
		n += skip
		if f.left -= uint64(skip); f.left == 0 && f.end() {
			return n, true
		}
	}
	return n, false
}

func (f *frames) opcode() byte { return f.header[0] & opMask }

// head takes what belongs to the header from p, and begins the payload behind it.
func (f *frames) head(p []byte) (n int) {
	if f.have < headerMin {
		n = copy(f.header[f.have:headerMin], p)
		if f.have += n; f.have < headerMin {
			return n
		}
	}
	size := headerMin
	switch f.header[1] &^ maskBit {
	case length16:
		size += 2
	case length64:
		size += 8
	}
	m := copy(f.header[f.have:size], p[n:])
	if f.have += m; f.have == size {
		f.begin(size)
	}
	return n + m
}

func (f *frames) begin(size int) {
	f.have, f.payload = 0, true
	f.masked = f.header[1]&maskBit != 0
	f.length = uint64(f.header[1])
	if size > headerMin {
		f.length = 0
		for _, b := range f.header[headerMin:size] {
			f.length = f.length<<8 | uint64(b)
		}
	}
	f.left = f.length
	if op := f.opcode(); op < opClose && (op == opContinuation || f.header[0]&(finBit|rsv1Bit) != finBit) {
		f.intricate = f.messages + 1
	}
}

// end takes note of a frame that has ended, and tells whether a message has with it.
func (f *frames) end() bool {
	f.payload = false
	f.closed = f.closed || f.opcode() == opClose
	if f.opcode() >= opClose || f.header[0]&finBit == 0 {
		return false
	}
	f.messages++
	return true
}
