package transport_test

import (
	"compress/zlib"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/steadfeed/steadfeed/transport"
)

// Prepare sets the credentials of every attempt, and fresh ones after a 401.
func ExampleHTTP_prepare() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer fresh" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "id: 43\ndata: after ", r.URL.Query().Get("since"), "\n\n")
	}))
	defer srv.Close()

	cached := "stale"
	feed := &transport.HTTP{
		URL:    srv.URL,
		Resume: transport.ResumeQuery("since"),
		Prepare: func(r *http.Request) error {
			if transport.CredentialsRejected(r.Context()) {
				cached = "fresh"
			}
			r.Header.Set("Authorization", "Bearer "+cached)
			return nil
		},
	}
	conn, err := feed.Open(context.Background(), "42")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	m, err := readFrom(conn)
	fmt.Println(m.ID, string(m.Data), err)
	// Output: 43 after 42 <nil>
}

// Any content encoding takes one line. "deflate" (RFC 9110, section 8.4.1.2) is in the standard
// library; examples/zstd does the same with zstd.
func ExampleHTTP_decoders() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.Header().Set("Content-Encoding", "deflate")
		zw := zlib.NewWriter(w)
		fmt.Fprintf(zw, "{\"accepted\":%q}\n", r.Header.Get("Accept-Encoding"))
		zw.Close()
	}))
	defer srv.Close()

	feed := &transport.HTTP{
		URL:      srv.URL,
		Decoders: map[string]func(io.Reader) (io.ReadCloser, error){"deflate": zlib.NewReader},
	}
	conn, err := feed.Open(context.Background(), "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	m, err := readFrom(conn)
	fmt.Println(string(m.Data), err)
	// Output: {"accepted":"gzip, deflate"} <nil>
}
