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

	"github.com/steadfeed/steadfeed/transport/internal/wsframe"
)

const (
	caughtUp = time.Millisecond // a reader that waits this long has read everything that was there

	idleWriter = -1 // no write is running
)

// A wire is the byte stream of a connection, below the library for writes, and below frames for
// reads. It records when bytes and messages arrive.
type wire struct {
	frames   frames
	body     io.ReadWriteCloser
	socket   *WebSocket
	release  func()        // closes body and the socket underneath
	released chan struct{} // closed once body is closed
	start    time.Time
	paused   atomic.Int64 // additional time elapsed: tests pause the process

	at        atomic.Int64 // since start: when bytes last arrived or a Read started
	messageAt atomic.Int64 // since start: when a message last arrived, plus the time between Reads
	idleAt    atomic.Int64 // since start: when a read last ended that had to wait
	waiting   atomic.Bool  // a Read is waiting

	writing atomic.Int64 // since start: when the pending write started, or idleWriter
	guarded atomic.Bool  // guard was called and a timer watches the writes
	guard   func()       // set before the first write

	closedWith atomic.Pointer[[]byte] // payload of the server's close frame
	dropped    atomic.Bool            // the library has closed it
	unwritable atomic.Pointer[error]  // error of a write: what is sent from then on is discarded
	broken     atomic.Pointer[error]  // error of a read
}

func newWire(h *handshake, resp *http.Response) (*wire, error) {
	body, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		resp.Body.Close()
		return nil, &final{errors.New("transport: WebSocket.Client: Transport does not support switching protocols")}
	}
	cancel := h.attempt.cancel // without retaining h, which holds the data of the handshake
	w := &wire{
		body: body, socket: h.socket, start: time.Now(),
		release: func() { cancel(errClosed) }, released: make(chan struct{}), guard: func() {},
	}
	w.frames.start(w, h.socket.Compression && resp.Header.Get("Sec-WebSocket-Extensions") != "")
	w.writing.Store(idleWriter)
	context.AfterFunc(h.attempt.ctx, func() {
		body.Close()
		close(w.released)
	})
	return w, nil
}

// Write never fails: the library would stop reading if it could not answer a ping, and would
// lose the last messages of a server that has left. Read reports the end. The library calls
// Write for one frame at a time, or for a part of one.
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

// answer returns p, except that the library's echo of a close frame whose reason is not UTF-8
// is replaced by code 1007 (RFC 6455, sections 5.5.1 and 8.1).
func (w *wire) answer(p []byte) []byte {
	closing := w.closedWith.Load()
	if closing == nil || w.socket.AllowInvalidUTF8 || utf8.Valid((*closing)[min(wsframe.CodeSize, len(*closing)):]) {
		return p
	}
	at := len(p) - wsframe.HeaderSize - wsframe.MaskSize - len(*closing)
	if at < 0 || p[at] != wsframe.FinBit|wsframe.OpClose || int(p[at+1]) != wsframe.MaskBit|len(*closing) {
		return p // another frame
	}
	key, payload := p[at+wsframe.HeaderSize:][:wsframe.MaskSize], p[at+wsframe.HeaderSize+wsframe.MaskSize:]
	for i, c := range *closing {
		if payload[i]^key[i%wsframe.MaskSize] != c {
			return p // a part of another frame
		}
	}
	p = bytes.Clone(p[:at+wsframe.HeaderSize+wsframe.MaskSize+wsframe.CodeSize])
	frame := p[at:]
	frame[1] = wsframe.MaskBit | wsframe.CodeSize
	binary.BigEndian.PutUint16(frame[wsframe.HeaderSize+wsframe.MaskSize:], uint16(websocket.StatusInvalidFramePayloadData))
	for i := range wsframe.CodeSize {
		frame[wsframe.HeaderSize+wsframe.MaskSize+i] ^= frame[wsframe.HeaderSize+i]
	}
	return p
}

// Close is called by the library when it is closed or has waited too long for a write. It also
// closes the socket underneath a TLS connection, whose own Close waits for a peer that accepts
// no data.
func (w *wire) Close() error {
	w.dropped.Store(true)
	w.release()
	<-w.released
	return nil
}

// Read is called by the library, and returns what frames has for it.
func (w *wire) Read(p []byte) (int, error) { return w.frames.give(p) }

// wait reads from the network and records the time.
func (w *wire) wait(p []byte) (int, error) {
	start := w.now()
	w.messageAt.Add(start - w.at.Swap(start)) // time between Reads does not count
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

// clock returns the time by which the connection's timers are judged.
func (w *wire) clock() time.Time { return w.start.Add(time.Duration(w.now())) }

// caughtUpSince reports whether, after the given time, the reader has read everything that was
// available.
func (w *wire) caughtUpSince(at int64) bool {
	return w.idleAt.Load() > at || w.waiting.Load() && w.now()-max(w.at.Load(), at) >= int64(caughtUp)
}

// silence returns for how long a reader has waited without receiving bytes, and without
// receiving a message.
func (w *wire) silence() (bytes, messages time.Duration) {
	last, now := w.at.Load(), w.now()
	if !w.waiting.Load() {
		now = last // no Read since then
	}
	return time.Duration(now - last), time.Duration(now - w.messageAt.Load())
}
