package transport_test

import (
	"compress/gzip"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

// unflushed serves as Express does with compression and without res.flush: what is compressed
// stays in the compressor. header reports whether the header comes at least.
func unflushed(header bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			feed(w, "1\n")
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		if header {
			w.(http.Flusher).Flush()
		}
		fmt.Fprintln(gzip.NewWriter(w), "1")
		<-r.Context().Done()
	}
}

// offersOf returns a Prepare that records the codings offered.
func offersOf(all *[]string) func(*http.Request) error {
	return func(r *http.Request) error {
		*all = append(*all, r.Header.Get("Accept-Encoding"))
		return nil
	}
}

func TestCompressorThatIsNotFlushed(t *testing.T) {
	for name, header := range map[string]bool{"no header": false, "header": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var offers []string
				h := &transport.HTTP{URL: "http://feed.example", Client: inMemory(t, unflushed(header)), Prepare: offersOf(&offers)}
				conn, err := h.Open(t.Context(), "")
				if err == nil {
					_, err = readFrom(conn)
					conn.Close()
				}
				if e := want[*transport.TimeoutError](t, err); !strings.Contains(e.Error(), "may not flush its compressor") {
					t.Errorf("error %v", e)
				}
				for range 2 {
					conn := open(t, h, "")
					if m := read(t, conn); string(m.Data) != "1" {
						t.Errorf("read %q", m.Data)
					}
					conn.Close()
				}
				if want := []string{"gzip", "identity", "identity"}; !slices.Equal(offers, want) {
					t.Errorf("offered %q, want %q", offers, want)
				}
			})
		})
	}
}

// A silence that goes on without compression has another reason, and a connection that has
// spoken says nothing of a compressor.
func TestSilenceThatIsNoCompressors(t *testing.T) {
	for name, tt := range map[string]struct {
		serve  http.HandlerFunc
		header http.Header
		want   []string
	}{
		"no header":      {func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil, []string{"gzip", "identity", "gzip", "identity"}},
		"not compressed": {steps("application/x-ndjson", nil), nil, []string{"gzip", "gzip", "gzip", "gzip"}},
		"after a message": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			feed(w, string(gzipped("1\n")))
			<-r.Context().Done()
		}, nil, []string{"gzip", "gzip", "gzip", "gzip"}},
		"the user's header": {func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			http.Header{"accept-encoding": {"gzip"}}, []string{"gzip", "gzip", "gzip", "gzip"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var offers []string
				h := &transport.HTTP{
					URL: "http://feed.example", Client: inMemory(t, tt.serve), Header: tt.header,
					HeaderTimeout: time.Second, Prepare: offersOf(&offers),
				}
				for i := range tt.want {
					conn, err := h.Open(t.Context(), "")
					for err == nil {
						_, err = readFrom(conn)
					}
					if conn != nil {
						conn.Close()
					}
					blamed := strings.Contains(err.Error(), "compressor")
					if want[*transport.TimeoutError](t, err); blamed != (name == "no header" && i%2 == 0) {
						t.Errorf("attempt %d: %v", i, err)
					}
				}
				if !slices.Equal(offers, tt.want) {
					t.Errorf("offered %q, want %q", offers, tt.want)
				}
			})
		})
	}
}
