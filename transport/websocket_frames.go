package transport

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/steadfeed/steadfeed/transport/internal/wsframe"
)

// The sizes of a read. A connection waits with a small buffer of its own if the last read brought
// little, and otherwise with a larger one of a pool.
const (
	smallBuffer  = 512
	mediumBuffer = 4 << 10
	largeBuffer  = 64 << 10

	directRead = 32 << 10 // this much of a payload is read without a buffer
)

// frames are the incoming frames of a wire. The reader of the connection parses them and reads
// the payload of data frames. What the library handles is put into feed, which it reads when the
// reader calls it: control frames and compressed messages.
//
// The library also reads on its own, when it closes and waits for the server's close frame. The
// reader then calls it no more, and passes the server's close frame to it; once the reader is
// done, the library's goroutine discards everything before that frame.
type frames struct {
	wire    *wire
	deflate bool // permessage-deflate was negotiated

	small  [smallBuffer]byte
	pooled *[]byte // used instead of small; nil if there is none
	unread []byte  // in the buffer
	size   int     // of the buffer for the next read
	fresh  bool    // no message has ended since the last read
	left   uint64  // bytes of the current frame's payload that were not read

	feed       []byte // what the library reads next
	compressed bool   // the library is reading a compressed message
	last       bool   // the current frame is the last one of that message

	busy    atomic.Bool   // a goroutine uses the fields above
	retired atomic.Bool   // the reader must not read any more
	drained bool          // by the library's goroutine
	changed chan struct{} // busy or retired has changed
	library chan struct{} // locks calls of the library that read
	closing atomic.Bool   // the library closes; set while library is locked
}

func (f *frames) start(w *wire, deflate bool) {
	f.wire, f.deflate, f.size = w, deflate, mediumBuffer
	f.changed, f.library = make(chan struct{}, 1), make(chan struct{}, 1)
}

// enter reports whether the reader may use f. It must then call exit.
func (f *frames) enter() bool {
	if !f.busy.CompareAndSwap(false, true) {
		return false
	}
	if f.retired.Load() {
		f.exit()
		return false
	}
	return true
}

func (f *frames) exit() {
	f.busy.Store(false)
	if f.retired.Load() {
		f.signal()
	}
}

// retire ends the use of f by the reader, unless it is waiting for bytes: then after these.
func (f *frames) retire() {
	f.retired.Store(true)
	f.signal()
}

func (f *frames) signal() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// takeOver waits until the reader is done.
func (f *frames) takeOver() error {
	for !f.drained {
		if f.retired.Load() && f.busy.CompareAndSwap(false, true) {
			f.drained = true
			break
		}
		select {
		case <-f.changed:
		case <-f.wire.released:
			return net.ErrClosed
		}
	}
	return nil
}

// call reports whether the reader may let the library read feed. It must then call called.
func (f *frames) call() bool {
	f.library <- struct{}{}
	if f.closing.Load() {
		<-f.library
		return false
	}
	return true
}

func (f *frames) called() { <-f.library }

// close prepares the library's Close. It reports false if the connection has been cut.
func (f *frames) close() bool {
	select {
	case f.library <- struct{}{}:
		f.closing.Store(true)
		<-f.library
		return true
	case <-f.wire.released:
		return false
	}
}

// next waits for the next header and checks it. The caller then calls open or control. started
// reports whether a message has started and not ended.
func (f *frames) next(started bool) (wsframe.Header, error) {
	h, err := f.header()
	if err == nil {
		err = h.Check(started, f.deflate)
	}
	return h, err
}

func (f *frames) header() (wsframe.Header, error) {
	for {
		if h, ok := wsframe.Parse(f.unread); ok {
			return h, nil
		}
		if err := f.fill(); err != nil {
			return wsframe.Header{}, err
		}
	}
}

// open skips a header. payload then reads what follows it.
func (f *frames) open(h wsframe.Header) {
	f.unread = f.unread[h.Size:]
	f.left = h.Length
}

// payload reads a part of the current frame's payload into p.
func (f *frames) payload(p []byte) (n int, err error) {
	p = p[:min(uint64(len(p)), f.left)]
	switch {
	case len(f.unread) == 0 && len(p) >= min(f.size, directRead):
		f.size = mediumBuffer
		n, err = f.wait(p)
	case len(f.unread) == 0:
		err = f.fill()
		fallthrough
	default:
		n = copy(p, f.unread)
		f.unread = f.unread[n:]
	}
	f.left -= uint64(n)
	return n, err
}

// ended records the end of a message.
func (f *frames) ended() {
	if f.fresh {
		f.wire.messageAt.Store(f.wire.at.Load())
		f.fresh = false
	}
}

// control moves a control frame to feed, once it is complete, and records the payload of a
// close frame.
func (f *frames) control(h wsframe.Header) error {
	size := h.Size + int(h.Length)
	for len(f.unread) < size {
		if err := f.fill(); err != nil {
			return err
		}
	}
	f.feed = append(f.feed[:0], f.unread[:size]...)
	f.unread = f.unread[size:]
	if h.Op() == wsframe.OpClose && f.wire.closedWith.Load() == nil {
		payload := bytes.Clone(f.feed[h.Size:])
		f.wire.closedWith.Store(&payload)
	}
	return nil
}

// inflate moves the header of a frame of a compressed message to feed.
func (f *frames) inflate(h wsframe.Header) {
	f.feed = append(f.feed[:0], f.unread[:h.Size]...)
	f.open(h)
	f.last = h.Fin()
	f.compressed = !f.last || f.left > 0
}

// fill waits for bytes and adds them to unread, which is less than a small buffer.
func (f *frames) fill() error {
	buffer := f.buffer()
	have := copy(buffer, f.unread)
	n, err := f.wait(buffer[have:])
	f.unread = buffer[:have+n]
	switch {
	case len(f.unread) < len(buffer) && n < smallBuffer:
		f.size = smallBuffer
	case len(f.unread) < len(buffer) || len(buffer) == smallBuffer:
		f.size = mediumBuffer
	default:
		f.size = largeBuffer
	}
	return err
}

// buffer returns a buffer of f.size, with unread in it.
func (f *frames) buffer() []byte {
	old := f.pooled
	switch {
	case old != nil && len(*old) == f.size:
		return *old
	case old == nil && f.size == smallBuffer:
		return f.small[:]
	}
	buffer := f.small[:]
	f.pooled = nil
	if f.size != smallBuffer {
		f.pooled = unusedBuffers.get(f.size)
		buffer = *f.pooled
	}
	f.unread = buffer[:copy(buffer, f.unread)]
	unusedBuffers.put(old)
	return buffer
}

// unusedBuffers are the buffers that no connection of this package reads into.
var unusedBuffers readBuffers

// readBuffers are pools of *[]byte.
type readBuffers struct{ medium, large sync.Pool }

func (b *readBuffers) get(size int) *[]byte {
	pool := &b.medium
	if size == largeBuffer {
		pool = &b.large
	}
	if buffer, ok := pool.Get().(*[]byte); ok {
		return buffer
	}
	buffer := make([]byte, size)
	return &buffer
}

func (b *readBuffers) put(buffer *[]byte) {
	switch {
	case buffer == nil:
	case len(*buffer) == largeBuffer:
		b.large.Put(buffer)
	default:
		b.medium.Put(buffer)
	}
}

// wait reads from the network. It returns no error with bytes: the next call does.
func (f *frames) wait(p []byte) (int, error) {
	if f.retired.Load() && !f.drained {
		return 0, net.ErrClosed
	}
	n, err := f.wire.wait(p)
	f.fresh = true
	if n > 0 {
		err = nil
	}
	return n, err
}

// give is the library's Read.
func (f *frames) give(p []byte) (int, error) {
	closing := f.closing.Load()
	if closing {
		if err := f.takeOver(); err != nil {
			return 0, err
		}
	}
	for len(f.feed) == 0 {
		switch {
		case f.compressed && f.left > 0:
			n, err := f.payload(p)
			f.compressed = !f.last || f.left > 0
			return n, err
		case f.compressed:
			if err := f.continued(); err != nil {
				return 0, err
			}
		case closing:
			if err := f.discard(); err != nil {
				return 0, err
			}
		default:
			return 0, io.ErrNoProgress // it has read everything that it was called for
		}
	}
	n := copy(p, f.feed)
	f.feed = f.feed[n:]
	return n, nil
}

// continued moves what follows in a compressed message to feed. A close frame there ends it for
// the reader, because the library would panic; Close answers it.
func (f *frames) continued() error {
	h, err := f.next(true)
	switch {
	case err != nil:
		return err
	case !h.Control():
		f.inflate(h)
		return nil
	}
	if err := f.control(h); err != nil || h.Op() != wsframe.OpClose || f.drained {
		return err
	}
	return net.ErrClosed
}

// discard skips a frame, or a part of it, and moves a close frame to feed.
func (f *frames) discard() error {
	if f.left == 0 {
		h, err := f.header()
		switch {
		case err != nil:
			return err
		case h.Op() == wsframe.OpClose && h.Length <= wsframe.MaxControl:
			return f.control(h)
		}
		f.open(h)
	}
	if len(f.unread) == 0 {
		if err := f.fill(); err != nil {
			return err
		}
	}
	n := min(uint64(len(f.unread)), f.left)
	f.unread = f.unread[n:]
	f.left -= n
	return nil
}
