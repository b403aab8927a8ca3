package transport

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"
)

const (
	slabSize    = 32 << 10
	slabLargest = 4 << 10  // of what is carved from a slab
	firstRead   = 64 << 10 // of a buffer, whatever is announced
	firstChunk  = 1 << 10  // of a buffer when nothing is
)

// read reads the body into x.req.Body, within MaxBody and the deadline.
func (x *exchange) read() error {
	most := x.hook.maxBody()
	announced := x.r.ContentLength
	if announced > int64(most) {
		return tooLarge(most)
	}
	if x.r.Body == nil {
		return nil
	}
	x.enter(reading)
	err := x.readBody(x.r.Body, announced, most)
	expired := x.enter(working)
	switch {
	case x.dismissed: // even if the rest has come: the connection cannot be read any more
		err = errCrowded
	case err != nil && expired:
		err = errSlow
	case err == nil && int64(len(x.buf)) < announced || errors.Is(err, http.ErrBodyReadAfterClose):
		err = &consumedError{announced, len(x.buf)}
	}
	if err != nil {
		x.drop()
		return err
	}
	x.relax()
	x.req.Body = x.buf[:len(x.buf):len(x.buf)]
	return nil
}

// maxBody is MaxBody, and less than what it could not be reckoned with.
func (w *Webhook) maxBody() int {
	if w.MaxBody == 0 {
		return defaultMaxBody
	}
	return min(w.MaxBody, math.MaxInt/8)
}

// drop lets go of a body that is not delivered.
func (x *exchange) drop() {
	x.hook.giveBack(x.buf)
	x.buf, x.req.Body = nil, nil
	x.release()
}

// relax keeps a limit of the server's that is meant for slow peers from ending the wait for
// the consumer. Its ReadTimeout ends with the body.
func (x *exchange) relax() {
	srv, ok := x.r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return
	}
	if limit := deadlineOf(x.from); srv.WriteTimeout > 0 && srv.WriteTimeout < limit+time.Second {
		http.NewResponseController(x.rw).SetWriteDeadline(time.Now().Add(limit + srv.WriteTimeout))
	}
}

// readBody reads body to its end into x.buf, which has room for one byte more: there the
// end shows. It is as large as what is announced, but a large one grows with what really
// comes.
func (x *exchange) readBody(body io.Reader, announced int64, most int) error {
	size := firstChunk
	if announced >= 0 {
		size = int(min(announced, firstRead)) + 1
	}
	size = min(size, most+1)
	if err := x.hold(size); err != nil {
		return err
	}
	x.buf = x.hook.carve(size)
	for {
		n, err := body.Read(x.buf[len(x.buf):cap(x.buf)])
		x.buf = x.buf[:len(x.buf)+n]
		switch {
		case len(x.buf) > most:
			return tooLarge(most)
		case err == io.EOF:
			return nil
		case err != nil:
			return bodyError(err)
		}
		if len(x.buf) < cap(x.buf) {
			continue
		}
		size = grown(cap(x.buf), announced, most)
		if err := x.hold(size); err != nil {
			return err
		}
		x.buf = append(make([]byte, 0, size), x.buf...)
	}
}

// grown is the size of the buffer that follows on one which is full.
func grown(size int, announced int64, most int) int {
	if announced >= int64(size) {
		return int(min(4*int64(size), announced+1))
	}
	return min(2*size, most+1)
}

// bodyError does not show the error, which may come from a handler that wraps the body.
func bodyError(err error) error {
	var limit *http.MaxBytesError
	switch {
	case errors.As(err, &limit):
		return fmt.Errorf("%w: more than the http.MaxBytesReader of a handler around the Webhook allows (%d bytes)", errTooLarge, limit.Limit)
	case errors.Is(err, http.ErrBodyReadAfterClose):
		return err
	}
	return errBody
}

func tooLarge(most int) error {
	return fmt.Errorf("%w: more than MaxBody (%d bytes)", errTooLarge, most)
}

// A consumedError is a body of which a handler around the Webhook has left less than the
// request announces. net/http makes sure that it has arrived.
type consumedError struct {
	announced int64 // -1: unknown
	arrived   int
}

func (e *consumedError) Error() string {
	announced := "a body"
	if e.announced >= 0 {
		announced = fmt.Sprint(e.announced, " bytes")
	}
	return fmt.Sprintf("%s announced, %d arrived: something read or replaced the body before the receiver", announced, e.arrived)
}

// slab is memory for bodies. What is carved from it is the receiver's own; one that is
// used up is left to those who hold parts of it.
type slab struct {
	block []byte
	used  int
}

// carve returns n bytes of capacity.
func (w *Webhook) carve(n int) []byte {
	if n > slabLargest {
		return make([]byte, 0, n)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &w.slab
	if len(s.block)-s.used < n {
		*s = slab{block: make([]byte, slabSize)}
	}
	s.used += n
	return s.block[s.used-n : s.used-n : s.used]
}

// giveBack takes back what was carved last, if it is that, from whoever did not deliver
// it: forged requests leave nothing to be collected.
func (w *Webhook) giveBack(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &w.slab
	at := s.used - cap(b)
	if cap(b) > 0 && at >= 0 && s.used > 0 && &b[:1][0] == &s.block[at] {
		s.used = at
	}
}
