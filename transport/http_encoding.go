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
)

// acceptEncoding returns the value of the Accept-Encoding header. It is always sent: net/http's
// own decompression would hide arriving bytes from the idle watchdog.
func (a *attempt) acceptEncoding() string {
	if a.plain {
		return "identity"
	}
	names := []string{"gzip"}
	for _, name := range slices.Sorted(maps.Keys(a.Decoders)) {
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
	codings := contentCodings(header)
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

// errBehindGzip differs from the ErrHeader of a body that never was gzip: what was valid until
// now may be valid on the next connection.
var errBehindGzip = errors.New("data after a gzip member is not gzip")

// next starts a member, or returns io.EOF if there is none.
func (g *gunzip) next() (err error) {
	if g.zr == nil {
		g.zr, err = gzip.NewReader(g.in)
	} else if err = g.zr.Reset(g.in); err == gzip.ErrHeader {
		err = errBehindGzip
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
