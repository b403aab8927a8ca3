package transport_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// A server sees the end of a connection at once. net/http of Go 1.27 would continue to read for
// 50 ms after a plain Close of the body. Which of two events it sees first is random, so each
// case is tried several times.
func TestServerSeesTheEndAtOnce(t *testing.T) {
	endings := map[string]func(h *transport.HTTP, ctx context.Context, cancel func()){
		"Close": func(h *transport.HTTP, ctx context.Context, cancel func()) {
			conn, err := h.Open(ctx, "")
			if err != nil {
				t.Error(err)
				return
			}
			readFrom(conn)
			conn.Close()
		},
		"Close during a Read": func(h *transport.HTTP, ctx context.Context, cancel func()) {
			conn, err := h.Open(ctx, "")
			if err != nil {
				t.Error(err)
				return
			}
			readFrom(conn)
			done := make(chan struct{})
			go func() { defer close(done); readFrom(conn) }()
			synctest.Wait()
			conn.Close()
			<-done
		},
		"context": func(h *transport.HTTP, ctx context.Context, cancel func()) {
			conn, err := h.Open(ctx, "")
			if err != nil {
				t.Error(err)
				return
			}
			readFrom(conn)
			cancel()
			conn.Close()
		},
		"refused": func(h *transport.HTTP, ctx context.Context, cancel func()) {
			h.URL += "/refused"
			if conn, err := h.Open(ctx, ""); err == nil {
				t.Error("Open: got no error, want one")
				conn.Close()
			}
		},
	}
	for _, scheme := range []string{"http", "https"} { // HTTP/1.1 and HTTP/2
		for name, end := range endings {
			t.Run(scheme+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					gone := make(chan time.Time, 1)
					srv := mock.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if r.URL.Path == "/refused" {
							w.WriteHeader(503)
						}
						feed(w, "1\n")
						<-r.Context().Done()
						gone <- time.Now()
					}))
					defer srv.Close()
					for range 8 {
						ctx, cancel := context.WithCancel(t.Context())
						end(&transport.HTTP{URL: scheme + "://feed.example", Client: srv.Client()}, ctx, cancel)
						start := time.Now()
						if d := (<-gone).Sub(start); d > 0 {
							t.Errorf("the server saw the end after %v, want at once", d)
						}
						cancel()
					}
				})
			})
		}
	}
}

// A connection is reused after a refusal whose body was read to its end.
func TestRefusalKeepsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peers := map[string]bool{}
		client := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			peers[r.RemoteAddr] = true
			w.WriteHeader(503)
		})
		for range 3 {
			openError(t, &transport.HTTP{URL: "http://feed.example", Client: client}, "")
		}
		if len(peers) != 1 {
			t.Errorf("got %d connections, want 1", len(peers))
		}
	})
}
