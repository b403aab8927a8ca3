package transport

import (
	"net/http"
	"sync/atomic"
)

// What an HTTP knows of a server that may compress without flushing: then nothing comes until
// the compressor has enough, often not even the header. Express's compression is like that,
// and so are clones of CouchDB.
const (
	gzipOffered int32 = iota // nothing is known
	gzipDoubted              // a silence, which one attempt without it explains or not
	gzipAvoided              // without it, the feed came
)

// compresses reports whether a server may compress: codings are offered, and not by the user's
// own header.
func (a *attempt) compresses() bool {
	_, set := canonical(a.Header)["Accept-Encoding"]
	return !a.plain && !set && a.upgrade == nil
}

// silent notes that nothing came: no header, or no byte of the first message. It reports
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

// spoke notes that the first message came.
func (h *HTTP) spoke(plain bool) {
	if plain {
		atomic.CompareAndSwapInt32(&h.gzip, gzipDoubted, gzipAvoided)
	}
}

func compressed(h http.Header) bool { return len(contentCodings(h)) > 0 }
