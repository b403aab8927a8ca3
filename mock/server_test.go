package mock_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/internal/wiretest"
)

func get(t *testing.T, srv *mock.Server, url string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// ticks sends a line each hour.
func ticks(w http.ResponseWriter, r *http.Request) {
	for {
		io.WriteString(w, r.Proto+" "+r.Host+"\n")
		http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-time.After(time.Hour):
		}
	}
}

func TestServerInABubble(t *testing.T) {
	for _, tt := range []struct{ url, proto, host string }{
		{"http://feed.test", "HTTP/1.1", "feed.test"},
		{"https://feed.test", "HTTP/2.0", "feed.test"},
		{"https://stream.example.com/v1?x=y", "HTTP/2.0", "stream.example.com"},
		{"https://127.0.0.1/", "HTTP/2.0", "127.0.0.1"},
	} {
		synctest.Test(t, func(t *testing.T) {
			srv := wiretest.Serve(t, http.HandlerFunc(ticks))
			start := time.Now()
			lines := bufio.NewScanner(get(t, srv, tt.url).Body)
			for range 72 {
				if !lines.Scan() || lines.Text() != tt.proto+" "+tt.host {
					t.Fatalf("%s: got %q, %v, want %s %s", tt.url, lines.Text(), lines.Err(), tt.proto, tt.host)
				}
			}
			if d := time.Since(start); d != 71*time.Hour {
				t.Errorf("%s: took %v, want 71h", tt.url, d)
			}
		})
	}
}

func TestServerOutsideABubble(t *testing.T) {
	srv := wiretest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }))
	body, err := io.ReadAll(get(t, srv, "https://feed.test").Body)
	if err != nil || string(body) != "hello" {
		t.Errorf("got %q, %v, want hello", body, err)
	}
}

// Close returns after a bounded time, and its error names a handler that does not return, a
// hijacked connection and a response body that is not closed.
func TestServerCloseNamesWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		mux := http.NewServeMux()
		mux.HandleFunc("/stuck", func(http.ResponseWriter, *http.Request) { <-release })
		mux.HandleFunc("/hijacked", func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
			}
			go func() {
				<-release
				c.Close()
			}()
		})
		srv := mock.NewServer(mux)
		for _, path := range []string{"/stuck", "/hijacked"} {
			go func() {
				resp, err := srv.Client().Get(srv.URL + path + "?secret=1")
				if err == nil {
					t.Errorf("%s: got %v, want an error", path, resp.Status)
				}
			}()
		}
		synctest.Wait()
		start := time.Now()
		err := srv.Close()
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("Close took %v, want 5s", d)
		}
		for _, want := range []string{"handler of GET feed.test/stuck is still running", "-> feed.test:80: the accepting end was not closed"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Close: %v, want it to contain %q", err, want)
			}
		}
		if strings.Contains(err.Error(), "secret") || strings.Count(err.Error(), "\n") != 1 {
			t.Errorf("Close: %v, want two lines without the query", err)
		}
	})
}

func TestServerCloseNamesAnOpenResponseBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := mock.NewServer(http.HandlerFunc(ticks))
		resp, err := srv.Client().Get(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		if err := srv.Close(); err == nil || !strings.Contains(err.Error(), "-> feed.test:80: the dialing end was not closed") {
			t.Errorf("Close: got %v, want the dialing end named", err)
		}
		resp.Body.Close()
		synctest.Wait()
		if err := srv.Close(); err != nil {
			t.Errorf("Close after the body was closed: %v", err)
		}
	})
}

func TestServerCloseEndsTheContextOfAHijacker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan error, 1)
		srv := wiretest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			<-r.Context().Done()
			done <- r.Context().Err()
		}))
		c, err := srv.Dial(t.Context(), "tcp", "feed.test:80")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: feed.test\r\n\r\n")
		synctest.Wait()
		c.Close()
		if err := srv.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-done; err != context.Canceled {
			t.Errorf("the handler's context: got %v, want %v", err, context.Canceled)
		}
	})
}

func TestServerCloseReportsAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := mock.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }))
		if _, err := srv.Client().Get(srv.URL + "/x"); !errors.Is(err, io.EOF) {
			t.Errorf("Get: %v, want a connection that breaks", err)
		}
		err := srv.Close()
		if err == nil || !strings.Contains(err.Error(), "handler of GET feed.test/x panicked: boom") ||
			!strings.Contains(err.Error(), "server_test.go") {
			t.Errorf("Close: got %v, want the panic and its stack", err)
		}
	})
}

func TestServerHasMoreHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := wiretest.Serve(t, http.NotFoundHandler())
		l, err := srv.Listen("other.test:8080")
		if err != nil {
			t.Fatal(err)
		}
		other := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })}
		go other.Serve(l)
		defer other.Close()
		if resp := get(t, srv, "http://other.test:8080"); resp.StatusCode != http.StatusTeapot {
			t.Errorf("got status %d, want %d", resp.StatusCode, http.StatusTeapot)
		}
		if resp := get(t, srv, "http://other.test"); resp.StatusCode != http.StatusNotFound {
			t.Errorf("got status %d, want %d", resp.StatusCode, http.StatusNotFound)
		}
		_, err = srv.Client().Get("http://other.test:81")
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Get: %v, want ECONNREFUSED", err)
		}
		srv.Client().CloseIdleConnections()
	})
}

// After a request whose body exceeds a limit, net/http keeps its goroutine for half a second, so
// that the client can read the answer. Close waits for it, or the bubble would panic.
func TestServerCloseWaitsForNetHTTP(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		synctest.Test(t, func(t *testing.T) {
			srv := mock.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 3)); err == nil {
					t.Error("got the whole body, want an error")
				}
				w.WriteHeader(http.StatusRequestEntityTooLarge)
			}))
			resp, err := srv.Client().Post(scheme+"://feed.test/", "text/plain", strings.NewReader("four"))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if err := srv.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

func TestServerSeesTheDocumentedAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := mock.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) }))
		defer srv.Close()
		for _, url := range []string{"http://feed.test", "https://feed.test"} {
			body, err := io.ReadAll(get(t, srv, url).Body)
			if host, _, _ := net.SplitHostPort(string(body)); err != nil || host != "192.0.2.1" {
				t.Errorf("%s: the request is from %q, %v, want 192.0.2.1", url, body, err)
			}
		}
	})
}
