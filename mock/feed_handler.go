package mock

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/steadfeed/steadfeed/transport"
)

// SSE returns a handler that plays the feed as server-sent events (WHATWG HTML, section 9.2).
// Line ends within data arrive as LF. An event whose id or type contains a line end or NUL
// cannot be sent: it breaks the connection, and [Attempt.Err] reports why.
func (f *Feed) SSE() http.Handler { return f.handler("text/event-stream", appendSSE) }

// NDJSON returns a handler that plays the feed as newline-delimited JSON. An event whose data
// is a JSON object is sent as it is, on one line; its id is not sent, so the token must be in
// the data. Any other event becomes
//
//	{"id":"7","type":"update","data":"text"}
//
// without id and type if it has none. Bytes that are not UTF-8 become U+FFFD. A position
// becomes {"id":"7"}. A keepalive is an empty line.
func (f *Feed) NDJSON() http.Handler { return f.handler("application/x-ndjson", appendNDJSON) }

// ConcatJSON returns a handler that plays the feed as concatenated JSON values, with a line end
// after each, as Kubernetes watches do. Only the media type, application/json, differs from
// [Feed.NDJSON].
func (f *Feed) ConcatJSON() http.Handler { return f.handler("application/json", appendNDJSON) }

// JSONSeq returns a handler that plays the feed as a JSON text sequence (RFC 7464). The values
// are those of [Feed.NDJSON]. A keepalive is a line feed between two of them.
func (f *Feed) JSONSeq() http.Handler { return f.handler("application/json-seq", appendJSONSeq) }

// LengthPrefixed returns a handler that plays the feed in the framing of X's streams with
// delimited=length: before each value comes a line with its length in bytes, in decimal digits.
// The length includes the CRLF after the value. A keepalive is an empty line
// (https://dev.twitter.com/docs/streaming-apis/parameters, "delimited"). The values are those
// of [Feed.NDJSON]. The media type, application/json, does not identify the framing: the
// consumer's transport needs the Format decode.LengthPrefixed.
func (f *Feed) LengthPrefixed() http.Handler {
	return f.handler("application/json", appendLengthPrefixed)
}

// An encoder appends the wire form of a step.
type encoder func(b []byte, s Step) ([]byte, error)

func (f *Feed) handler(mediaType string, encode encoder) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// net/http detects a disconnect only after the request has been read.
		io.Copy(io.Discard, r.Body)
		if r.ProtoMajor == 1 {
			// Each attempt needs a new connection: on a reused one, net/http's client repeats a
			// failed request, and the script would see two attempts.
			w.Header().Set("Connection", "close")
		}
		s, refusal := f.open(f.token(r), r)
		if refusal != nil {
			writeRefusal(w, *refusal)
			return
		}
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Cache-Control", "no-cache")
		err := s.serve(r.Context(), w, encode)
		s.finish(err)
		switch {
		case err == nil || err == io.EOF || err == transport.ErrComplete:
		case errors.Is(err, http.ErrNotSupported):
			http.Error(w, "mock: cannot stream: the ResponseWriter does not support Flush", http.StatusInternalServerError)
		default:
			panic(http.ErrAbortHandler)
		}
	})
}

func (f *Feed) token(r *http.Request) string {
	if f.Token != nil {
		return f.Token(r)
	}
	return cmp.Or(r.Header.Get("Last-Event-ID"), r.URL.Query().Get("since"))
}

// serve sends steps until the connection ends. It returns why the feed ended it, nil if the
// consumer did.
func (s *session) serve(ctx context.Context, w http.ResponseWriter, encode encoder) error {
	wire := http.NewResponseController(w)
	// The header must not wait for the first event, which may come much later.
	if err := wire.Flush(); errors.Is(err, http.ErrNotSupported) {
		return err
	}
	var buf []byte
	for {
		step, _, err := s.next(ctx)
		if err != nil {
			return nil
		}
		switch step.act {
		case sends, garbles:
			if buf, err = encode(buf[:0], step); err != nil {
				return err
			}
			if step.transmit(ctx, buf, func(b []byte) error { return send(w, wire, b) }) != nil {
				return nil
			}
			if step.part {
				return Drop().readError()
			}
		case stalls:
			<-ctx.Done()
			return nil
		case closes:
			return io.EOF
		default:
			return step.readError()
		}
	}
}

// send writes and flushes b. It fails if the consumer has disconnected.
func send(w io.Writer, wire *http.ResponseController, b []byte) error {
	if _, err := w.Write(b); err != nil {
		return err
	}
	return wire.Flush()
}

// writeRefusal answers an attempt that gets no feed.
func writeRefusal(w http.ResponseWriter, s Step) {
	switch s.act {
	case refuses:
		resetConn(w)
		panic(http.ErrAbortHandler) // HTTP/2 cannot be hijacked
	case completes:
		w.WriteHeader(http.StatusNoContent)
		return
	}
	for name, values := range s.header {
		w.Header()[name] = values
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	w.WriteHeader(s.code)
	io.WriteString(w, http.StatusText(s.code)+"\n")
}

// resetConn resets the connection if it can be hijacked.
func resetConn(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if t, ok := c.(interface{ NetConn() net.Conn }); ok { // a *tls.Conn
		c = t.NetConn()
	}
	if t, ok := c.(interface{ SetLinger(int) error }); ok {
		t.SetLinger(0)
	}
	c.Close()
}
