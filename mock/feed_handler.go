package mock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// Handler returns a handler that plays the feed over HTTP in a framing. It encodes decode.SSE,
// NDJSON, ConcatJSON, JSONSeq and LengthPrefixed, and panics for any other Format.
//
// With server-sent events (WHATWG HTML, section 9.2), line ends within data arrive as LF. An
// event whose id or type contains a line end or NUL cannot be sent: it breaks the connection, and
// [Attempt.Err] reports why.
//
// In a framing of JSON, an event whose data is a JSON object is sent as it is, on one line; its id
// is not sent, so the token must be in the data. Any other event becomes
//
//	{"id":"7","type":"update","data":"text"}
//
// without id and type if it has none. Bytes that are not UTF-8 become U+FFFD. A position becomes
// {"id":"7"}. A keepalive is an empty line.
//
// The media type of LengthPrefixed, application/json, does not identify the framing: the
// consumer's transport needs the Format.
func (f *Feed) Handler(format decode.Format) http.Handler {
	e, ok := encodingOf(format)
	if !ok {
		panic(fmt.Sprintf("mock: Feed.Handler: cannot encode the format %T", format))
	}
	return f.handler(e.mediaType, e.encode)
}

// An encoding is what a handler needs of a framing.
type encoding struct {
	mediaType string
	encode    encoder
}

func encodingOf(format decode.Format) (e encoding, ok bool) {
	switch format {
	case decode.SSE{}:
		return encoding{"text/event-stream", appendSSE}, true
	case decode.NDJSON:
		return encoding{"application/x-ndjson", appendNDJSON}, true
	case decode.ConcatJSON: // a line end after each value, as in Kubernetes watches
		return encoding{"application/json", appendNDJSON}, true
	case decode.JSONSeq:
		return encoding{"application/json-seq", appendJSONSeq}, true
	case decode.LengthPrefixed:
		return encoding{"application/json", appendLengthPrefixed}, true
	}
	return encoding{}, false
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
