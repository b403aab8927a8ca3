package client_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

// serveLines serves n copies of a line, as fast as they are read, and then ends.
func serveLines(b *testing.B, contentType, line string, n int) *httptest.Server {
	block := bytes.Repeat([]byte(line), max(1, (32<<10)/len(line)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("done") != "" || r.Header.Get("Last-Event-ID") != "" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", contentType)
		for left := n * len(line); left > 0; {
			size := min(left, len(block))
			if _, err := w.Write(block[:size]); err != nil {
				return
			}
			left -= size
		}
	}))
	b.Cleanup(srv.Close)
	return srv
}

// BenchmarkSubscribe measures the whole way of an event, from loopback to the loop's body, and a
// bufio.Scanner for comparison.
func BenchmarkSubscribe(b *testing.B) {
	ndjson := `{"n":1,"text":"` + strings.Repeat("x", 430-17) + `"}` + "\n"
	sse := "id: 1\ndata: " + strings.Repeat("x", 100) + "\n\n"
	b.Run("NDJSON-430/Scanner", func(b *testing.B) {
		srv := serveLines(b, "application/x-ndjson", ndjson, b.N)
		b.SetBytes(int64(len(ndjson)))
		b.ReportAllocs()
		b.ResetTimer()
		resp, err := http.Get(srv.URL)
		if err != nil {
			b.Fatal(err)
		}
		defer resp.Body.Close()
		n := 0
		for s := bufio.NewScanner(resp.Body); s.Scan(); n++ {
			sink = s.Bytes()
		}
		if n != b.N {
			b.Fatal(n)
		}
	})
	for name, c := range map[string][2]string{
		"NDJSON-430": {"application/x-ndjson", ndjson}, "SSE-100": {"text/event-stream", sse},
	} {
		b.Run(fmt.Sprintf("%s/Subscribe", name), func(b *testing.B) {
			srv := serveLines(b, c[0], c[1], b.N)
			b.SetBytes(int64(len(c[1])))
			b.ReportAllocs()
			b.ResetTimer()
			sub, err := client.Subscribe(b.Context(), &transport.HTTP{URL: srv.URL, End: transport.EndFeed}, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer sub.Close()
			n := 0
			for ev, err := range sub.Events() {
				if err != nil {
					b.Fatal(err)
				}
				sink = ev.Data
				n++
			}
			if n != b.N {
				b.Fatal(n)
			}
		})
	}
}

var sink []byte
