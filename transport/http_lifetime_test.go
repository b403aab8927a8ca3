package transport_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

var errStop = errors.New("the test has had enough")

// states are what a connection can be doing when its context ends.
var states = map[string]struct {
	handler http.HandlerFunc
	prepare func(*http.Request) error
	blocks  bool // the dial does
}{
	"dialling":               {blocks: true},
	"in Prepare":             {prepare: func(r *http.Request) error { <-r.Context().Done(); return r.Context().Err() }},
	"waiting for the header": {handler: func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
	"in an error's body": {handler: func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(500)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}},
	"reading": {handler: steps("application/x-ndjson", nil)},
}

func TestContextEndsEverything(t *testing.T) {
	for name, state := range states {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &transport.HTTP{URL: "http://feed.example", Client: inMemory(t, state.handler), Prepare: state.prepare}
				if state.blocks {
					h.Client = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
						time.Sleep(10 * time.Second) // net/http does not cancel it
						return nil, os.ErrDeadlineExceeded
					}}}
				}
				ctx, cancel := context.WithCancelCause(t.Context())
				var conn *transport.Session
				result := make(chan error, 1)
				go func() {
					var err error
					if conn, err = h.Open(ctx, ""); err == nil {
						_, err = readFrom(conn)
					}
					result <- err
				}()
				synctest.Wait()
				start := time.Now()
				cancel(errStop)
				if err := <-result; err != errStop {
					t.Errorf("got error %v, want the cause", err)
				}
				if d := time.Since(start); d != 0 {
					t.Errorf("took %v, want none", d)
				}
				if conn != nil {
					if _, err := readFrom(conn); err != errStop {
						t.Errorf("next Read: got %v, want %v", err, errStop)
					}
					conn.Close()
				}
				time.Sleep(10 * time.Second) // for the dial to end
			})
		})
	}
}

func TestNoRequestAfterTheContextsEnd(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errStop)
	client := &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		t.Error("got a request, want none")
		return nil, io.EOF
	})}
	if _, err := (&transport.HTTP{URL: "http://feed.example", Client: client}).Open(ctx, ""); err != errStop {
		t.Errorf("got error %v, want %v", err, errStop)
	}
}

// Data that was read ahead is not delivered after the end of the connection.
func TestNoReadAfterTheEnd(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { feed(w, "1\n2\n3\n") })
	for name, want := range map[string]error{"Close": net.ErrClosed, "context": errStop} {
		ctx, cancel := context.WithCancelCause(t.Context())
		conn, err := (&transport.HTTP{URL: srv.URL}).Open(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		if m := read(t, conn); !m.More {
			t.Fatal("More: got false, want true: nothing has been read ahead")
		}
		if name == "Close" {
			conn.Close()
		} else {
			cancel(errStop)
		}
		if err := readError(t, conn); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", name, err, want)
		}
		conn.Close()
		cancel(nil)
	}
}

func TestCloseUnblocksRead(t *testing.T) {
	for name, protocol := range protocols {
		for _, own := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " own client ", own), func(t *testing.T) {
				ignore := goleak.IgnoreCurrent()
				gone := make(chan struct{})
				srv := protocol(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					feed(w, "1\n")
					<-r.Context().Done()
					close(gone)
				}))
				h := &transport.HTTP{URL: srv.URL}
				if !own {
					h.Client = srv.Client()
				}
				conn := open(t, h, "")
				read(t, conn)
				result := make(chan error)
				go func() {
					_, err := readFrom(conn)
					result <- err
				}()
				var wg sync.WaitGroup
				for range 3 {
					wg.Go(func() {
						if err := conn.Close(); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if err := <-result; !errors.Is(err, net.ErrClosed) {
					t.Errorf("Read: got %v, want %v", err, net.ErrClosed)
				}
				if _, err := readFrom(conn); !errors.Is(err, net.ErrClosed) {
					t.Errorf("next Read: got %v, want %v", err, net.ErrClosed)
				}
				<-gone
				srv.Client().CloseIdleConnections()
				srv.Close()
				goleak.VerifyNone(t, ignore)
			})
		}
	}
}

// A failed Open or a Close of a default client leaves nothing open.
func TestDefaultClientLeavesNothingOpen(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0") // accepts, by the kernel, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	for name, url := range map[string]string{"HTTP": "http://", "TLS": "https://"} {
		t.Run(name, func(t *testing.T) {
			ignore := goleak.IgnoreCurrent()
			h := &transport.HTTP{URL: url + mute.Addr().String(), HeaderTimeout: 20 * time.Millisecond}
			if e := want[*transport.TimeoutError](t, openError(t, h, "")); e.Op != "header" {
				t.Errorf("got error %v, want a timeout of the header", e)
			}
			goleak.VerifyNone(t, ignore)
		})
	}
	for name, protocol := range protocols {
		for _, path := range []string{"/end", "/status", "/"} {
			t.Run(name+path, func(t *testing.T) {
				srv := protocol(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					switch r.URL.Path {
					case "/status":
						w.WriteHeader(500)
					case "/end":
						feed(w, "1\n")
					default:
						feed(w, "1\n")
						<-r.Context().Done()
					}
				}))
				ignore := goleak.IgnoreCurrent()
				conn, err := (&transport.HTTP{URL: srv.URL + path}).Open(t.Context(), "")
				if err == nil {
					read(t, conn)
					if path == "/end" {
						readError(t, conn)
					}
					conn.Close()
				}
				// An idle connection would also leave the server's goroutines.
				goleak.VerifyNone(t, ignore)
			})
		}
	}
}

// A reconnect never reuses the previous connection.
func TestEachConnectionIsFresh(t *testing.T) {
	for name, protocol := range protocols {
		t.Run(name, func(t *testing.T) {
			var peers []string
			srv := protocol(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				peers = append(peers, r.Proto+" "+r.RemoteAddr)
				feed(w)
			}))
			h := &transport.HTTP{URL: srv.URL}
			for range 3 {
				conn := open(t, h, "")
				readError(t, conn)
				conn.Close()
			}
			if slices.Sort(peers); len(slices.Compact(peers)) != 3 || !strings.HasPrefix(peers[0], name) {
				t.Errorf("got connections %q, want three over %s", peers, name)
			}
		})
	}
}

// A body counts how often it was closed.
type body struct {
	io.Reader
	closed atomic.Int32
	stuck  chan struct{} // Close waits for it, if not nil
}

func (b *body) Close() error {
	if b.closed.Add(1); b.stuck != nil {
		<-b.stuck
	}
	return nil
}

func TestBodyIsClosed(t *testing.T) {
	tests := []struct {
		name   string
		code   int
		typ    string
		reads  int
		cancel bool
	}{
		{"unread", 200, "application/x-ndjson", 0, false},
		{"undrained", 200, "application/x-ndjson", 1, false},
		{"drained", 200, "application/x-ndjson", 3, false},
		{"by the context", 200, "application/x-ndjson", 1, true},
		{"no content", 204, "", 0, false},
		{"status", 500, "", 0, false},
		{"html", 200, "text/html", 0, false},
		{"redirect", 302, "", 0, false},
		{"unauthorized", 401, "", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var bodies []*body
				h := &transport.HTTP{URL: "http://feed.example", Prepare: func(*http.Request) error { return nil }}
				h.Client = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					b := &body{Reader: strings.NewReader("1\n2\n")}
					bodies = append(bodies, b)
					return &http.Response{StatusCode: tt.code, Body: b, Header: http.Header{"Content-Type": {tt.typ}, "Location": {"/"}}}, nil
				})}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				conn, err := h.Open(ctx, "")
				if err == nil {
					for range tt.reads {
						readFrom(conn)
					}
					if tt.cancel {
						cancel()
						synctest.Wait()
					} else {
						conn.Close()
						conn.Close()
					}
				}
				for i, b := range bodies {
					if n := b.closed.Load(); n != 1 {
						t.Errorf("body %d was closed %d times, want once", i, n)
					}
				}
			})
		})
	}
}

// Close returns in time even if the body does not close.
func TestCloseOfAStuckBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &body{Reader: strings.NewReader(""), stuck: make(chan struct{})}
		client := &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: b}, nil
		})}
		conn := open(t, &transport.HTTP{URL: "http://feed.example", Client: client, Format: decode.NDJSON}, "")
		start := time.Now()
		conn.Close()
		if d := time.Since(start); d > time.Second {
			t.Errorf("Close took %v, want at most 1s", d)
		}
		close(b.stuck)
	})
}

// A RoundTripper need not watch the request's context: its body is closed with the connection.
func TestBodyThatIgnoresContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			pr, _ := io.Pipe()
			return &http.Response{StatusCode: 200, Body: pr}, nil
		})}
		conn := open(t, &transport.HTTP{URL: "http://feed.example", Client: client, Format: decode.NDJSON}, "")
		defer conn.Close()
		want[*transport.TimeoutError](t, readError(t, conn))
	})
}

// An open connection has no goroutine besides those of net/http.
func TestNoGoroutinePerConnection(t *testing.T) {
	client := &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})}
	before := runtime.NumGoroutine()
	conn := open(t, &transport.HTTP{URL: "http://feed.example", Client: client, Format: decode.NDJSON}, "")
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("got %d more goroutines, want none", n-before)
	}
	conn.Close()
}

// Data that a server sends after the end of a body is not logged. net/http logs before the server
// sees the connection closed.
func TestUnsolicitedBytesAreNotLogged(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	for name, response := range map[string]string{
		"feed":     "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nContent-Length: 2\r\n\r\n1\nsecret",
		"refusal":  "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nnosecret",
		"no body":  "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\nsecret",
		"redirect": "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\nsecret",
	} {
		closed := make(chan struct{})
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			defer close(closed)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			io.WriteString(conn, response)
			io.Copy(io.Discard, conn)
		})
		conn, err := (&transport.HTTP{URL: srv.URL}).Open(t.Context(), "")
		if err == nil {
			read(t, conn)
			readError(t, conn)
			conn.Close()
		}
		<-closed
		if logged.Len() > 0 {
			t.Errorf("%s: got log %q, want none", name, logged.String())
			logged.Reset()
		}
	}
}
