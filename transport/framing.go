package transport

import (
	"io"
	"strings"

	"github.com/steadfeed/steadfeed/decode"
)

// This file stands in for decode.Reader, decode.Auto and decode.MediaTypes until they
// are there; nothing else depends on how it works.

type reader struct {
	r    io.Reader
	s    decode.Splitter
	buf  []byte
	next *decode.Frame
	err  error
}

func newReader(r io.Reader, f decode.Format, maxFrame int) *reader {
	switch {
	case maxFrame == 0:
		maxFrame = 16 << 20
	case maxFrame < 0:
		maxFrame = int(^uint(0) >> 1)
	}
	return &reader{r: r, s: f.NewSplitter(maxFrame)}
}

// Next returns the next frame.
func (r *reader) Next() (decode.Frame, error) {
	for {
		if r.Buffered() {
			f := *r.next
			r.next = nil
			return f, nil
		}
		if r.err != nil {
			return decode.Frame{}, r.err
		}
		p := make([]byte, 32<<10)
		n, err := r.r.Read(p)
		r.buf, r.err = append(r.buf[:len(r.buf):len(r.buf)], p[:n]...), err
	}
}

// Buffered tells whether Next returns without reading.
func (r *reader) Buffered() bool {
	for r.next == nil {
		n, f, ok, err := r.s.Split(r.buf, r.err == io.EOF)
		r.buf = r.buf[n:]
		switch {
		case err != nil:
			r.err = err
			return false
		case ok:
			r.next = &f
		case n == 0:
			return false
		}
	}
	return true
}

func autoFormat(string) (decode.Format, bool) { return nil, false }

func mediaTypes() []string { return strings.Fields("text/event-stream application/x-ndjson") }
