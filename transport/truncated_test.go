package transport_test

import (
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// The last line of a body may lack its end. Whether it is whole is known if the end of the
// body is marked, or if it is JSON with an end of its own; otherwise the connection
// may have been lost in the middle of it.
func TestLastLine(t *testing.T) {
	const chunked, closed = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n"
	for _, tt := range []struct {
		name, response string
		format         decode.Format
		events         int
		end            error
	}{
		{"chunked", chunked + "3\r\none\r\n4\r\n\ntwo\r\n0\r\n\r\n", decode.Lines{}, 2, io.EOF},
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\none\ntwo", decode.Lines{}, 2, io.EOF},
		{"closed", closed + "one\ntw", decode.Lines{}, 1, io.ErrUnexpectedEOF},
		{"closed behind a line", closed + "one\ntwo\n", decode.Lines{}, 2, io.EOF},
		{"closed, a number", closed + "1 23", decode.ConcatJSON{}, 1, io.ErrUnexpectedEOF},
		{"closed, an object", closed + "1\n{\"a\":1}", decode.NDJSON{}, 2, io.EOF},
		{"closed, half an object", closed + "1\n{\"a\":", decode.NDJSON{}, 1, io.ErrUnexpectedEOF},
		{"closed behind a bad frame", closed + "too large\ntw", decode.Lines{}, 1, io.ErrUnexpectedEOF}, // the loss is said first
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				io.WriteString(conn, tt.response)
			})
			feed := &transport.HTTP{URL: srv.URL, Format: tt.format, MaxFrame: 8, OnBadFrame: func(*decode.FrameError) {}}
			conn := open(t, feed, "")
			for range tt.events {
				read(t, conn)
			}
			for range 2 {
				if err := readError(t, conn); !errors.Is(err, tt.end) {
					t.Errorf("the end is %v, want %v", err, tt.end)
				}
			}
		})
	}
}
