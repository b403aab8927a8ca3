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
	body, err := x.hook.readBody(x.r.Body, x.r.ContentLength, most)
	expired := x.enter(working)
	if err != nil {
		x.hook.giveBack(body)
		if expired {
			return errSlow
		}
		return err
	}
	x.relax()
	x.req.Body = body
	return nil
}

// relax keeps limits of the server's that are meant for slow peers from ending the wait
// for the consumer.
func (x *exchange) relax() {
	srv, ok := x.r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return
	}
	if srv.ReadTimeout > 0 {
		http.NewResponseController(x.rw).SetReadDeadline(time.Time{})
	}
	if srv.WriteTimeout > 0 {
		http.NewResponseController(x.rw).SetWriteDeadline(time.Now().Add(deadlineOf(x.from) + srv.WriteTimeout))
	}
}

// readBody reads body to its end. A buffer is as large as what is announced and one byte,
// in which the end shows; a large one grows with what really comes.
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
			return buf[:len(buf):len(buf)], nil
		case err != nil:
			return buf, bodyError(err)
		}
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, min(2*cap(buf), most+1)), buf...)
		}
	}
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
