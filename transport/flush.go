package transport

import (
	"net/http"
	"sync/atomic"
)

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
	_, set := canonical(a.Header)["Accept-Encoding"]
	return !a.plain && !set && a.upgrade == nil
}

// silent records that nothing arrived: no header, or no byte of the first message. It reports
// whether a compressor may be the reason.
func (h *HTTP) silent(compressed, plain bool) bool {
	if plain {
		atomic.CompareAndSwapInt32(&h.gzip, gzipDoubted, gzipOffered)
	}
	if compressed {
		atomic.CompareAndSwapInt32(&h.gzip, gzipOffered, gzipDoubted)
	}
	return compressed
}

// spoke records that the first message arrived.
func (h *HTTP) spoke(plain bool) {
	if plain {
		atomic.CompareAndSwapInt32(&h.gzip, gzipDoubted, gzipAvoided)
	}
}

func compressed(h http.Header) bool { return len(contentCodings(h)) > 0 }
