package provider

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/steadfeed/steadfeed/transport/internal/coding"
)

// Gzip determines how the body of a request with the content coding gzip is handled (RFC 9110,
// section 8.4.1.3). A decompressed body is limited by webhook.Receiver.MaxBody, and to 64 KiB plus
// 200 times the size of the compressed one.
type Gzip uint8

const (
	GzipRefuse     Gzip = iota // the request is refused with 415
	GzipCompressed             // the sender signs the compressed body, which is decompressed once it is verified
	GzipPlain                  // the sender signs the body before it compresses it: an unverified body is decompressed
)

const (
	defaultMaxBody = 1 << 20
	gzipBase       = 64 << 10
	gzipRatio      = 200
)

// Decodes reports whether the body of a request with the given header is accepted: it has no
// content coding, or one that Gzip allows.
func (p *Provider) Decodes(h http.Header) bool {
	return len(coding.List(h)) == 0 || p.Gzip != GzipRefuse && isGzip(h)
}

func isGzip(h http.Header) bool {
	if h["Content-Encoding"] == nil {
		return false
	}
	list := coding.List(h)
	return len(list) == 1 && (list[0] == "gzip" || list[0] == "x-gzip")
}

var gzipReaders sync.Pool // of *gzip.Reader

// decompress replaces the body of r.
func (r *Request) decompress() error {
	limit := cmp.Or(max(r.MaxBody, 0), defaultMaxBody)
	most := limit
	if len(r.Body) < (limit-gzipBase)/gzipRatio {
		most = gzipBase + gzipRatio*len(r.Body)
	}
	z, ok := gzipReaders.Get().(*gzip.Reader)
	if !ok {
		z = new(gzip.Reader)
	}
	defer gzipReaders.Put(z)
	if z.Reset(bytes.NewReader(r.Body)) != nil {
		return malformed("the body is not gzip, as Content-Encoding requires")
	}
	var plain bytes.Buffer
	plain.Grow(min(4*len(r.Body), most) + bytes.MinRead)
	n, err := plain.ReadFrom(io.LimitReader(z, int64(most)+1))
	switch {
	case err != nil:
		return malformed("the body is not gzip, as Content-Encoding requires")
	case n > int64(limit):
		return &refusal{reason: fmt.Sprintf("the decompressed body exceeds MaxBody (%d bytes)", limit), large: true}
	case n > int64(most):
		return &refusal{reason: fmt.Sprintf("the decompressed body exceeds 64 KiB plus %d times the compressed one", gzipRatio), large: true}
	}
	r.Body = plain.Bytes()
	return nil
}
