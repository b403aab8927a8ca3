package transport

import (
	"errors"
	"io"
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
	most := x.hook.MaxBody
	if most == 0 {
		most = defaultMaxBody
	}
	if x.r.ContentLength > int64(most) {
		return errTooLarge
	}
	if x.r.Body == nil {
		return nil
	}
	x.enter(reading)
	var err error
	x.buf, err = x.hook.readBody(x.r.Body, x.r.ContentLength, most)
	expired := x.enter(working)
	if err != nil {
		x.hook.giveBack(x.buf)
		if expired {
			return errSlow
		}
		return err
	}
	x.relax()
	x.req.Body = x.buf[:len(x.buf):len(x.buf)]
	return nil
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

// readBody reads body to its end, and returns the buffer that it is in, which has room for
// one byte more: there the end shows. It is as large as what is announced, but a large one
// grows with what really comes.
func (w *Webhook) readBody(body io.Reader, announced int64, most int) ([]byte, error) {
	size := firstChunk
	if announced >= 0 {
		size = int(min(announced, firstRead)) + 1
	}
	buf := w.carve(min(size, most+1))
	for {
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > most:
			return buf, errTooLarge
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return buf, bodyError(err)
		}
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, grown(cap(buf), announced, most)), buf...)
		}
	}
}

// grown is the size of the buffer that follows on one which is full.
func grown(size int, announced int64, most int) int {
	if announced >= int64(size) {
		return int(min(4*int64(size), announced+1))
	}
	return min(2*size, most+1)
}

// bodyError does not show the error, which may be of whoever wraps the body.
func bodyError(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return errTooLarge
	}
	return errBody
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
