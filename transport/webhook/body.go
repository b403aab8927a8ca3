package webhook

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"sync"
	"time"
)

const (
	slabSize    = 32 << 10
	slabLargest = 4 << 10  // maximum size of a buffer in a slab
	firstRead   = 64 << 10 // maximum size of a first buffer, whatever Content-Length is
	firstChunk  = 1 << 10  // size of a first buffer without Content-Length
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
	x.startReading()
	err := x.readBody(x.r.Body, announced, most)
	expired := x.stopReading()
	switch {
	case x.dismissed: // even if the rest has arrived: the connection can no longer be read
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

// maxBody returns MaxBody or its default, capped so that sums cannot overflow.
func (w *Receiver) maxBody() int {
	if w.MaxBody == 0 {
		return defaultMaxBody
	}
	return min(w.MaxBody, math.MaxInt/8)
}

// drop releases a body that is not delivered.
func (x *exchange) drop() {
	x.hook.slab.giveBack(x.buf)
	x.buf, x.req.Body = nil, nil
	x.release()
}

// relax extends the server's WriteTimeout beyond the wait for the consumer. The server's
// ReadTimeout ends with the body.
func (x *exchange) relax() {
	srv, ok := x.r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return
	}
	if limit := deadlineOf(x.from); srv.WriteTimeout > 0 && srv.WriteTimeout < limit+time.Second {
		http.NewResponseController(x.rw).SetWriteDeadline(time.Now().Add(limit + srv.WriteTimeout))
	}
}

// readBody reads body to its end into x.buf, which has room for one byte more, so that the end is
// seen without growing. The buffer has the size of Content-Length, but a large one grows with what
// arrives.
func (x *exchange) readBody(body io.Reader, announced int64, most int) error {
	size := firstChunk
	if announced >= 0 {
		size = int(min(announced, firstRead)) + 1
	}
	size = min(size, most+1)
	if err := x.hold(size); err != nil {
		return err
	}
	x.buf = x.hook.slab.carve(size)
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

// grown returns the size of the buffer that replaces a full one.
func grown(size int, announced int64, most int) int {
	if announced >= int64(size) {
		return int(min(4*int64(size), announced+1))
	}
	return min(2*size, most+1)
}

// bodyError hides the text of err, which may come from a handler that wraps the body.
func bodyError(err error) error {
	var limit *http.MaxBytesError
	switch {
	case errors.As(err, &limit):
		return fmt.Errorf("%w the http.MaxBytesReader limit of a handler around the Receiver (%d bytes)", errTooLarge, limit.Limit)
	case errors.Is(err, http.ErrBodyReadAfterClose):
		return err
	}
	return errBody
}

func tooLarge(most int) error {
	return fmt.Errorf("%w MaxBody (%d bytes)", errTooLarge, most)
}

// A consumedError reports that a handler around the Receiver has left less of the body than the
// request announces. net/http ensures that all of it arrived.
type consumedError struct {
	announced int64 // -1: unknown
	arrived   int
}

func (e *consumedError) Error() string {
	announced := "a body"
	if e.announced >= 0 {
		announced = fmt.Sprint(e.announced, " bytes")
	}
	return fmt.Sprintf("%s announced, %d arrived: a handler around the Receiver read or replaced the body", announced, e.arrived)
}

// A slab is memory for small bodies. The consumer of an event owns its part; a block that is used
// up lives as long as its parts.
type slab struct {
	mu    sync.Mutex // held for a few instructions
	block []byte
	used  int
}

// carve returns an empty slice with capacity n.
func (s *slab) carve(n int) []byte {
	if n > slabLargest {
		return make([]byte, 0, n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.block)-s.used < n {
		s.block, s.used = make([]byte, slabSize), 0
	}
	s.used += n
	return s.block[s.used-n : s.used-n : s.used]
}

// giveBack returns b to the slab if it was carved last. It is called for a body that is not
// delivered, so that forged requests produce no garbage.
func (s *slab) giveBack(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.used - cap(b)
	if cap(b) > 0 && at >= 0 && s.used > 0 && &b[:1][0] == &s.block[at] {
		s.used = at
	}
}
