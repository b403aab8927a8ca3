package transport

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/steadfeed/steadfeed/transport/internal/coding"
)

// acceptEncoding returns the value of the Accept-Encoding header. It is always sent: net/http's
// own decompression would hide arriving bytes from the idle watchdog.
func (a *attempt) acceptEncoding() string {
	if a.plain {
		return "identity"
	}
	names := []string{"gzip"}
	for _, name := range slices.Sorted(maps.Keys(a.feed.Decoders)) {
		if name != "gzip" {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// maxCodings is the maximum number of content codings of a body. Some proxies compress what is
// already compressed.
const maxCodings = 2

// decompress undoes the content codings of a response, whose body is raw. It does not read yet,
// because the first byte may take long to arrive. ok is false if a coding is unknown. Its
// memory is bounded: a decoder has a window of fixed size, and the reader of its output stops
// at MaxFrame.
func (h *HTTP) decompress(raw io.Reader, header http.Header) (plain io.ReadCloser, ok bool) {
	codings := coding.List(header)
	if len(codings) > maxCodings {
		return nil, false
	}
	plain = io.NopCloser(raw)
	for _, coding := range slices.Backward(codings) {
		if plain = h.decompressor(coding, plain); plain == nil {
			return nil, false
		}
	}
	return plain, true
}

// decompressor returns a reader that undoes one coding of in and closes in as well, or nil if
// the coding is unknown.
func (h *HTTP) decompressor(coding string, in io.ReadCloser) io.ReadCloser {
	if coding == "x-gzip" {
		coding = "gzip" // RFC 9110, section 8.4.1.3
	}
	open, added := h.Decoders[coding]
	switch {
	case added:
		return stacked{&decoder{in: bufio.NewReader(in), open: open}, in}
	case coding == "gzip":
		return stacked{io.NopCloser(&gunzip{in: bufio.NewReader(in)}), in}
	}
	return nil
}

// stacked is a decoder that closes its input after itself.
type stacked struct {
	io.ReadCloser
	in io.Closer
}

func (s stacked) Close() error {
	err := s.ReadCloser.Close()
	s.in.Close()
	return err
}

// gunzip reads consecutive gzip members. gzip.Reader can do that too, but it holds back the end
// of a member until the next one starts, and a sender may make each event a member.
type gunzip struct {
	in *bufio.Reader
	zr *gzip.Reader // nil before the first byte
	at bool         // inside a member
}

func (g *gunzip) Read(p []byte) (n int, err error) {
	for n == 0 && err == nil { // members may be empty
		if !g.at {
			if err := g.next(); err != nil {
				return 0, err
			}
		}
		if n, err = g.zr.Read(p); err == io.EOF {
			g.at, err = false, nil
		}
	}
	return n, err
}

// errAfterGzip differs from the ErrHeader of a body that never was gzip: what was valid until
// now may be valid on the next connection.
var errAfterGzip = errors.New("data after a gzip member is not gzip")

// next starts a member, or returns io.EOF if there is none.
func (g *gunzip) next() (err error) {
	if g.zr == nil {
		g.zr, err = gzip.NewReader(g.in)
	} else if err = g.zr.Reset(g.in); err == gzip.ErrHeader {
		err = errAfterGzip
	}
	if err != nil {
		return err
	}
	g.zr.Multistream(false)
	g.at = true
	return nil
}

// notGzip reports whether a body was not gzip despite its Content-Encoding.
func notGzip(err error) bool { return errors.Is(err, gzip.ErrHeader) }

// A decoder reads a body through one of HTTP.Decoders. It opens the decoder at the first byte,
// because many decoders read when they are opened.
type decoder struct {
	in   *bufio.Reader
	open func(io.Reader) (io.ReadCloser, error)
	out  io.ReadCloser
	err  error // of open

	mu      sync.Mutex
	reading bool
	closed  bool
}

func (d *decoder) Read(p []byte) (int, error) {
	if !d.enter() {
		return 0, errClosed
	}
	defer d.leave()
	if d.out == nil && d.err == nil {
		if _, err := d.in.Peek(1); err != nil {
			return 0, err
		}
		d.out, d.err = d.open(d.in)
	}
	if d.err != nil {
		return 0, d.err
	}
	return d.out.Read(p)
}

// Close closes the decoder. If a Read is running, that Read does so when it returns: few
// decoders can be closed during a Read.
func (d *decoder) Close() error {
	d.mu.Lock()
	again, reading := d.closed, d.reading
	d.closed = true
	d.mu.Unlock()
	if !again && !reading {
		d.end()
	}
	return nil
}

func (d *decoder) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reading = !d.closed
	return d.reading
}

func (d *decoder) leave() {
	d.mu.Lock()
	d.reading = false
	closed := d.closed
	d.mu.Unlock()
	if closed {
		d.end()
	}
}

func (d *decoder) end() {
	if d.out != nil && d.err == nil {
		d.out.Close()
	}
}

// The states of HTTP.gzip: what is known of a server that may compress without flushing.
// Nothing then arrives until the compressor has enough, often not even the header. Express's
// compression does that, and so do clones of CouchDB.
const (
	gzipOffered int32 = iota // nothing is known
	gzipDoubted              // a silence that one attempt without compression explains or not
	gzipAvoided              // the feed arrived without compression
)

// compresses reports whether a server may compress because codings are offered, other than by
// the caller's own header.
func (a *attempt) compresses() bool {
	_, set := canonical(a.feed.Header)["Accept-Encoding"]
	return !a.plain && !set
}

// recordSilence records that nothing arrived: no header, or no byte of the first message. It
// reports whether a compressor may be the reason.
func (h *HTTP) recordSilence(compressed, plain bool) bool {
	if plain {
		atomic.CompareAndSwapInt32(&h.gzip, gzipDoubted, gzipOffered)
	}
	if compressed {
		atomic.CompareAndSwapInt32(&h.gzip, gzipOffered, gzipDoubted)
	}
	return compressed
}

// recordMessage records that the first message arrived.
func (h *HTTP) recordMessage(plain bool) {
	if plain {
		atomic.CompareAndSwapInt32(&h.gzip, gzipDoubted, gzipAvoided)
	}
}

func compressed(h http.Header) bool { return len(coding.List(h)) > 0 }
