package transport_test

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// A step is what a feed sends after a pause.
type step struct {
	after time.Duration
	send  string
}

// steps serves the steps and is then silent until the client closes the connection.
func steps(contentType string, all []step) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.(http.Flusher).Flush()
		for _, s := range all {
			select {
			case <-time.After(s.after):
			case <-r.Context().Done():
				return
			}
			io.WriteString(w, s.send)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}
}

func every(d time.Duration, send string, times int) (all []step) {
	for range times {
		all = append(all, step{d, send})
	}
	return all
}

func TestIdleTimeout(t *testing.T) {
	const (
		sse  = "text/event-stream"
		line = "application/x-ndjson"
		beat = ":\n\n"
	)
	tests := []struct {
		name  string
		typ   string
		idle  time.Duration
		steps []step
		want  time.Duration // of silence that ends the connection
	}{
		{"nothing at all", sse, 0, nil, 90 * time.Second},
		{"fixed", sse, 21 * time.Second, nil, 21 * time.Second},
		{"fixed, with any heartbeat", sse, 70 * time.Second, every(30*time.Second, beat, 5), 70 * time.Second},
		{"a comment is life", sse, 21 * time.Second, every(20*time.Second, beat, 10), 21 * time.Second},
		{"a byte is life", sse, 21 * time.Second, every(20*time.Second, "x", 10), 21 * time.Second},
		{"an empty line is life", line, 21 * time.Second, every(20*time.Second, "\r\n", 10), 21 * time.Second},
		{"one heartbeat teaches nothing", sse, 0, every(10*time.Second, beat, 1), 90 * time.Second},
		{"two heartbeats", sse, 0, every(10*time.Second, beat, 3), 30 * time.Second},
		{"greetings teach nothing", sse, 0, every(2*time.Second, beat, 9), 90 * time.Second},
		{"empty lines", line, 0, every(15*time.Second, "\n", 3), 45 * time.Second},
		{"fast heartbeat", sse, 0, every(2*time.Second, beat, 12), 20 * time.Second},
		{"slow heartbeat", sse, 0, every(80*time.Second, beat, 3), 240 * time.Second},
		{"the longest counts", sse, 0, []step{{5 * time.Second, beat}, {16 * time.Second, beat}, {3 * time.Second, beat}}, 48 * time.Second},
		{"too fast to be one", sse, 0, every(time.Second, beat, 9), 90 * time.Second},
		{"events teach nothing", line, 0, every(2*time.Second, "1\n", 9), 90 * time.Second},
		{"keepalives after events teach nothing", line, 0, every(5*time.Second, "1\n\n\n", 9), 90 * time.Second},
		{"heartbeat in pieces", sse, 0, []step{{15 * time.Second, ":"}, {0, "\n"}, {0, "\n"}, {15 * time.Second, ":"}, {0, "\n\n"}, {15 * time.Second, beat}}, 45 * time.Second},
		{"events between heartbeats", line, 0, []step{{10 * time.Second, "\n"}, {10 * time.Second, "\n"}, {25 * time.Second, "1\n"}, {10 * time.Second, "\n"}}, 30 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := inMemory(t, steps(tt.typ, tt.steps))
				conn := open(t, &transport.HTTP{URL: "http://feed.example", Client: client, IdleTimeout: tt.idle}, "")
				defer conn.Close()
				start := time.Now()
				var spoken time.Duration
				for _, s := range tt.steps {
					spoken += s.after
				}
				var err error
				for err == nil {
					_, err = readFrom(conn)
				}
				e := want[*transport.TimeoutError](t, err)
				if e.Op != "idle" || e.After != tt.want || !e.Timeout() || retryable(err) != "unset" {
					t.Errorf("got error %v, want %v; retryable %s", e, tt.want, retryable(err))
				}
				if got := time.Since(start) - spoken; got != tt.want {
					t.Errorf("silent for %v, want %v", got, tt.want)
				}
				if _, again := readFrom(conn); again != err {
					t.Errorf("next Read: got %v, want %v", again, err)
				}
			})
		})
	}
}

// Events that OnMessage makes keepalives teach the limit as comments do.
func TestHeartbeatsThatAreEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := inMemory(t, steps("application/x-ndjson", every(10*time.Second, "{}\n", 3)))
		conn := open(t, &transport.HTTP{URL: "http://feed.example", Client: client, OnMessage: func(m *transport.Message) error {
			m.Kind = decode.KindKeepalive
			return nil
		}}, "")
		defer conn.Close()
		var err error
		for err == nil {
			_, err = readFrom(conn)
		}
		if e := want[*transport.TimeoutError](t, err); e.After != 30*time.Second {
			t.Errorf("got the end after %v, want 30s", e.After)
		}
	})
}

func TestNoIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := inMemory(t, steps("application/x-ndjson", []step{{1000 * time.Hour, "1\n"}}))
		conn := open(t, &transport.HTTP{URL: "http://feed.example", Client: client, IdleTimeout: -1}, "")
		defer conn.Close()
		read(t, conn)
	})
}

// Time between Reads is not silence, and teaches nothing about the heartbeat.
func TestTimeBetweenReadsIsNotSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []step
		for range 6 {
			all = append(all, step{time.Second, "1\n"}, step{2 * time.Hour, "\n"})
		}
		client := inMemory(t, steps("application/x-ndjson", all))
		conn := open(t, &transport.HTTP{URL: "http://feed.example", Client: client}, "")
		defer conn.Close()
		for range 6 {
			if m := read(t, conn); m.Kind != decode.KindData {
				t.Fatalf("got kind %d, want %d", m.Kind, decode.KindData)
			}
			time.Sleep(2*time.Hour - 10*time.Second) // a keepalive arrives meanwhile
			if m := read(t, conn); m.Kind != decode.KindKeepalive {
				t.Fatalf("got kind %d, want %d", m.Kind, decode.KindKeepalive)
			}
		}
		start := time.Now()
		want[*transport.TimeoutError](t, readError(t, conn))
		if got := time.Since(start); got != 90*time.Second {
			t.Errorf("got the end after %v, want 90s", got)
		}
	})
}

func TestIdlePOSTIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := inMemory(t, steps("application/x-ndjson", nil))
		for _, tt := range []struct {
			end  transport.EndPolicy
			want string
		}{{transport.EndByMethod, "false"}, {transport.EndFeed, "false"}, {transport.EndReconnect, "unset"}} {
			conn := open(t, &transport.HTTP{URL: "http://feed.example", Client: client, Method: "POST", End: tt.end}, "")
			err := readError(t, conn)
			want[*transport.TimeoutError](t, err)
			if retryable(err) != tt.want {
				t.Errorf("End %d: retryable %s, want %s", tt.end, retryable(err), tt.want)
			}
			conn.Close()
		}
	})
}

func TestHeaderTimeout(t *testing.T) {
	silent := func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	slow := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(8 * time.Second):
		case <-r.Context().Done():
		}
		http.Redirect(w, r, "/", http.StatusFound)
	}
	endless := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(503)
		io.WriteString(w, "wait")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		timeout time.Duration
		prepare func(*http.Request) error
		want    time.Duration
		code    int // of a status that is reported nevertheless
	}{
		{"never answers", silent, 0, nil, 30 * time.Second, 0},
		{"set", silent, time.Second, nil, time.Second, 0},
		{"redirects count together", slow, 0, nil, 30 * time.Second, 0},
		{"Prepare counts", silent, 0, func(r *http.Request) error {
			<-r.Context().Done()
			return errors.New("no credentials")
		}, 30 * time.Second, 0},
		{"error body that does not end", endless, 0, nil, 500 * time.Millisecond, 503},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &transport.HTTP{URL: "http://feed.example", Client: inMemory(t, tt.handler), HeaderTimeout: tt.timeout, Prepare: tt.prepare}
				start := time.Now()
				err := openError(t, h, "")
				if got := time.Since(start); got != tt.want {
					t.Errorf("got the end after %v, want %v", got, tt.want)
				}
				if tt.code != 0 {
					if e := want[*transport.StatusError](t, err); e.Code != tt.code || string(e.Body) != "wait" {
						t.Errorf("got error %v with body %q, want status %d with wait", e, e.Body, tt.code)
					}
					return
				}
				if e := want[*transport.TimeoutError](t, err); e.Op != "header" || e.After != tt.want {
					t.Errorf("got error %+v, want a timeout of the header after %v", e, tt.want)
				}
			})
		})
	}
}

func TestNoHeaderTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(24 * time.Hour)
			feed(w, "1\n")
		})
		conn := open(t, &transport.HTTP{URL: "http://feed.example", Client: client, HeaderTimeout: -1}, "")
		defer conn.Close()
		read(t, conn)
	})
}

// HeaderTimeout does not limit the body.
func TestHeaderTimeoutEndsWithTheHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := inMemory(t, steps("application/x-ndjson", every(80*time.Second, "1\n", 100)))
		conn := open(t, &transport.HTTP{URL: "http://feed.example", Client: client}, "")
		defer conn.Close()
		for range 100 {
			read(t, conn)
		}
	})
}
