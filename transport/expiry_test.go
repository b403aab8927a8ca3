package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

const sseType = "text/event-stream"

// beating serves a line, and then a keepalive a minute for more than eleven hours.
func beating(contentType, line string) http.HandlerFunc {
	return steps(contentType, append([]step{{time.Millisecond, line}}, every(time.Minute, ":\n\n", 700)...))
}

// lasts checks that err is io.EOF after a time from low to high.
func lasts(t *testing.T, conn transport.Conn, low, high time.Duration) {
	t.Helper()
	if after, err := dies(conn); !errors.Is(err, io.EOF) || after < low || after > high {
		t.Errorf("got %v after %v, want io.EOF after %v to %v", err, after, low, high)
	}
	if _, err := readFrom(conn); !errors.Is(err, io.EOF) {
		t.Errorf("next Read: got %v, want io.EOF", err)
	}
}

func TestHTTPMaxConnectionAge(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		for name, change := range map[string]func(*transport.HTTP){
			"GET":           func(*transport.HTTP) {},
			"POST":          func(h *transport.HTTP) { h.Method, h.End = "POST", transport.EndReconnect },
			"without limit": func(h *transport.HTTP) { h.IdleTimeout = -1 },
		} {
			t.Run(scheme+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := &transport.HTTP{URL: scheme + "://feed.test", MaxConnectionAge: 10 * time.Hour,
						Client: inMemory(t, beating(sseType, "data: x\n\n"))}
					change(h)
					limit := 10 * time.Hour
					if h.IdleTimeout < 0 { // whether the reader waits is not known
						limit += 10 * time.Second
					}
					lasts(t, open(t, h, ""), 588*time.Minute, limit)
				})
			})
		}
	}
}

// announcers call ReplaceBefore for an HTTP feed or a WebSocket.
var announcers = map[string]func(w *transport.WebSocket, h *transport.HTTP, at func(context.Context)){
	"Prepare": func(w *transport.WebSocket, h *transport.HTTP, at func(context.Context)) {
		h.Prepare = func(req *http.Request) error { at(req.Context()); return nil }
		w.Prepare = h.Prepare
	},
	"OnResponse": func(w *transport.WebSocket, h *transport.HTTP, at func(context.Context)) {
		h.OnResponse = func(resp *http.Response) (*transport.Gap, error) { at(resp.Request.Context()); return nil, nil }
		w.OnResponse = h.OnResponse
	},
	"OnConnect": func(w *transport.WebSocket, _ *transport.HTTP, at func(context.Context)) {
		w.OnConnect = func(ctx context.Context, _ *transport.Socket, _ string) error { at(ctx); return nil }
	},
	"Socket.Context": func(w *transport.WebSocket, _ *transport.HTTP, at func(context.Context)) {
		w.OnMessage = func(s *transport.Socket, _ *transport.Message) error { at(s.Context()); return nil }
	},
}

// expiries are the times given to ReplaceBefore, and when the connection is replaced.
var expiries = map[string]struct {
	left      []time.Duration
	low, high time.Duration
}{
	"an hour":         {[]time.Duration{time.Hour}, 58 * time.Minute, 59 * time.Minute},
	"ten minutes":     {[]time.Duration{10 * time.Minute}, 8 * time.Minute, 9 * time.Minute},
	"a minute":        {[]time.Duration{time.Minute}, 48 * time.Second, 54 * time.Second},
	"five seconds":    {[]time.Duration{5 * time.Second}, 10 * time.Second, 10 * time.Second},
	"now":             {[]time.Duration{0}, 10 * time.Second, 10 * time.Second},
	"in the past":     {[]time.Duration{-time.Hour}, 10 * time.Second, 10 * time.Second},
	"the earlier one": {[]time.Duration{time.Hour, time.Minute, 2 * time.Hour}, 48 * time.Second, 54 * time.Second},
}

func TestReplaceBefore(t *testing.T) {
	for where, announce := range announcers {
		for name, e := range expiries {
			t.Run(where+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := sockets(t, func(p *peer) { p.say("x"); p.wait() })
					h := &transport.HTTP{URL: "http://feed.test", Client: inMemory(t, beating(sseType, "data: x\n\n"))}
					announce(w, h, func(ctx context.Context) {
						transport.ReplaceBefore(ctx, time.Time{})
						for _, left := range e.left {
							transport.ReplaceBefore(ctx, time.Now().Add(left))
						}
					})
					lasts(t, openSocket(t, w, ""), e.low, e.high)
					if h.Prepare != nil || h.OnResponse != nil {
						lasts(t, open(t, h, ""), e.low, e.high)
					}
				})
			})
		}
	}
}

// A zero time, another context and a response that has ended have no effect.
func TestReplaceBeforeWithoutEffect(t *testing.T) {
	transport.ReplaceBefore(t.Context(), time.Now())
	synctest.Test(t, func(t *testing.T) {
		var last context.Context
		h := &transport.HTTP{URL: "http://feed.test", Client: inMemory(t, beating(sseType, "data: x\n\n")), Overlap: true}
		h.Prepare = func(req *http.Request) error {
			last = req.Context()
			transport.ReplaceBefore(last, time.Time{})
			return nil
		}
		conn := open(t, h, "")
		conn.OnExpiring(func() { t.Error("got a replacement, want none") })
		go dies(conn)
		time.Sleep(10 * time.Hour)
		conn.Close()
		transport.ReplaceBefore(last, time.Now())
		time.Sleep(time.Hour)
	})
}

// Only the time of the request counts whose response is read.
func TestReplaceBeforeOfARejectedRequest(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"rejected": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"redirected": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requests := 0
				h := &transport.HTTP{URL: "http://feed.test", Client: inMemory(t, func(w http.ResponseWriter, r *http.Request) {
					if requests == 1 {
						answer(w, r)
						return
					}
					beating(sseType, "data: x\n\n")(w, r)
				})}
				h.Prepare = func(req *http.Request) error {
					if requests++; requests == 1 {
						transport.ReplaceBefore(req.Context(), time.Now().Add(time.Minute))
					} else {
						transport.ReplaceBefore(req.Context(), time.Now().Add(time.Hour))
					}
					return nil
				}
				lasts(t, open(t, h, ""), 58*time.Minute, 59*time.Minute)
				if requests != 2 {
					t.Errorf("got %d requests, want 2", requests)
				}
			})
		})
	}
}

// A connection that is replaced is read until nothing more has been received, or for ten seconds.
func TestReplacedConnectionIsReadOut(t *testing.T) {
	const events = 20
	for pause, want := range map[time.Duration]int{400 * time.Millisecond: events, time.Second: 16} {
		t.Run(fmt.Sprint(pause), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				send := strings.Repeat(`{"n":1}`+"\n", events)
				h := &transport.HTTP{URL: "http://feed.test", MaxConnectionAge: time.Minute,
					Client: inMemory(t, steps("application/x-ndjson", []step{{55 * time.Second, send}}))}
				conn := open(t, h, "")
				read(t, conn)
				n := 1
				time.Sleep(pause)
				for {
					if _, err := readFrom(conn); err != nil {
						if !errors.Is(err, io.EOF) {
							t.Errorf("got %v, want io.EOF", err)
						}
						break
					}
					n++
					time.Sleep(pause)
				}
				if n > want || n < want-2 || want == events && n < want {
					t.Errorf("got %d events, want %d", n, want)
				}
			})
		})
	}
}

// With Overlap, the connection announces its end once, and is read as before.
func TestHTTPOverlap(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprint("registered late: ", late), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &transport.HTTP{URL: "http://feed.test", MaxConnectionAge: time.Minute, Overlap: true,
					Client: inMemory(t, steps(sseType, every(time.Second, "data: x\n\n", 1000)))}
				h.OnResponse = func(resp *http.Response) (*transport.Gap, error) {
					transport.ReplaceBefore(resp.Request.Context(), time.Now().Add(10*time.Minute))
					return nil, nil
				}
				conn := open(t, h, "")
				start := time.Now()
				if late {
					time.Sleep(70 * time.Second)
				}
				var calls atomic.Int32
				var at atomic.Int64
				conn.OnExpiring(func() { calls.Add(1); at.Store(int64(time.Since(start))) })
				for range 1000 {
					read(t, conn)
				}
				low, high := 58800*time.Millisecond, time.Minute
				if late {
					low, high = 70*time.Second, 70*time.Second
				}
				if d := time.Duration(at.Load()); calls.Load() != 1 || d < low || d > high {
					t.Errorf("got %d calls, the last after %v, want 1 after %v to %v", calls.Load(), d, low, high)
				}
			})
		})
	}
}

// A request that must be sent once is not repeated, whatever ends.
func TestOneResponseIsNotReplaced(t *testing.T) {
	for name, h := range map[string]transport.HTTP{
		"POST":          {Method: "POST"},
		"EndFeed":       {End: transport.EndFeed},
		"EndUnexpected": {End: transport.EndUnexpected, OnMessage: func(*transport.Message) error { return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			for field, feed := range map[string]transport.HTTP{
				"MaxConnectionAge": {MaxConnectionAge: time.Hour}, "Overlap": {Overlap: true},
			} {
				feed.URL, feed.Method, feed.End, feed.OnMessage = "http://feed.test", h.Method, h.End, h.OnMessage
				if err := feed.Validate(); err == nil || !strings.HasPrefix(err.Error(), "HTTP."+field+": ") || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %v, want a problem of %s", err, field)
				}
			}
			synctest.Test(t, func(t *testing.T) {
				h := h
				h.URL, h.Client = "http://feed.test", inMemory(t, steps(sseType, every(time.Minute, "data: x\n\n", 100)))
				h.Prepare = func(req *http.Request) error {
					transport.ReplaceBefore(req.Context(), time.Now().Add(time.Hour))
					return nil
				}
				conn := open(t, &h, "")
				for range 100 {
					read(t, conn)
				}
			})
		})
	}
}

// With ResumeByGet, a connection is replaced once there is a token.
func TestReplacementByGet(t *testing.T) {
	for name, c := range map[string]struct {
		token     string
		low, high time.Duration
	}{
		"POST":       {"", 30 * time.Minute, 30*time.Minute + 20*time.Second},
		"GET":        {"7", 9 * time.Minute, 10 * time.Minute},
		"taken back": {"back", 40 * time.Minute, 40*time.Minute + 20*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				send := append(every(time.Minute, ":\n\n", 29), step{time.Minute, "id: 1\ndata: x\n\n"})
				if c.token == "back" {
					send = []step{{time.Minute, "id: 1\ndata: x\n\n"}, {time.Second, "id\n\n"}}
					send = append(append(send, every(time.Minute, ":\n\n", 38)...), step{59 * time.Second, "id: 2\ndata: x\n\n"})
				}
				send = append(send, every(time.Minute, ":\n\n", 1000)...)
				h := &transport.HTTP{URL: "http://feed.test", Method: "POST", ResumeByGet: true, MaxConnectionAge: 10 * time.Minute,
					Client: inMemory(t, steps(sseType, send)), Format: decode.SSE{}}
				lasts(t, open(t, h, strings.TrimPrefix(c.token, "back")), c.low, c.high)
			})
		})
	}
}

// Connections that were opened together, with one credential, are not replaced together.
func TestReplacementsAreSpread(t *testing.T) {
	for name, c := range map[string]struct {
		age, left time.Duration
		spread    time.Duration
	}{
		"by age":    {age: time.Hour, spread: 72 * time.Second},
		"by expiry": {left: time.Hour, spread: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 100
				client := inMemory(t, steps(sseType, nil))
				slots := make([]atomic.Int32, 10)
				start := time.Now()
				for range n {
					h := &transport.HTTP{URL: "http://feed.test", Client: client, MaxConnectionAge: c.age, Overlap: true, IdleTimeout: -1}
					h.OnResponse = func(resp *http.Response) (*transport.Gap, error) {
						if c.left > 0 {
							transport.ReplaceBefore(resp.Request.Context(), start.Add(c.left))
						}
						return nil, nil
					}
					latest := time.Hour
					if c.left > 0 {
						latest -= time.Minute
					}
					conn := open(t, h, "")
					conn.OnExpiring(func() {
						early := latest - time.Since(start)
						slots[min(int(early*10/(c.spread+1)), 9)].Add(1)
					})
					go dies(conn)
				}
				time.Sleep(2 * time.Hour)
				sum := int32(0)
				for i := range slots {
					got := slots[i].Load()
					if sum += got; got > n/3 {
						t.Errorf("got %d of %d connections replaced within a tenth of the time, want about a tenth", got, n)
					}
				}
				if sum != n {
					t.Errorf("got %d connections replaced, want %d", sum, n)
				}
			})
		})
	}
}

// A connection keeps nothing of the times given to ReplaceBefore but the earliest, and nothing of the
// attempts to replace it before there is a token. Times in the past do not postpone its replacement.
func TestReplaceBeforeKeepsNothing(t *testing.T) {
	heap := func() int {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	const most = 1 << 20
	for name, feed := range map[string]string{"HTTP": "GET", "ResumeByGet": "POST", "WebSocket": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ctx context.Context
				w := sockets(t, func(p *peer) { p.say("x"); p.wait() })
				w.OnConnect = func(c context.Context, _ *transport.Socket, _ string) error { ctx = c; return nil }
				h := &transport.HTTP{URL: "http://feed.test", Method: feed, ResumeByGet: feed == "POST", Format: decode.SSE{}, IdleTimeout: -1,
					Client: inMemory(t, func(rw http.ResponseWriter, r *http.Request) {
						rw.Header().Set("Content-Type", sseType)
						rw.(http.Flusher).Flush()
						<-r.Context().Done()
					}),
					OnResponse: func(resp *http.Response) (*transport.Gap, error) { ctx = resp.Request.Context(); return nil, nil },
				}
				var conn transport.Conn
				if feed == "" {
					conn = openSocket(t, w, "")
				} else {
					conn = open(t, h, "")
				}
				before := heap()
				at := time.Now().Add(1000 * time.Hour)
				for i := range 20000 {
					transport.ReplaceBefore(ctx, at.Add(-time.Duration(i)*time.Minute))
					synctest.Wait()
				}
				if more := heap() - before; more > most {
					t.Errorf("got %d bytes for 20000 times, want at most %d", more, most)
				}
				ended := make(chan time.Duration, 1)
				start := time.Now()
				go func() {
					dies(conn)
					ended <- time.Since(start)
				}()
				for i := range 10000 {
					transport.ReplaceBefore(ctx, start.Add(-time.Duration(i)*time.Hour))
					time.Sleep(5 * time.Second)
				}
				select {
				case after := <-ended:
					if feed == "POST" || after > 16*time.Second {
						t.Errorf("the connection was replaced after %v", after)
					}
				default:
					if feed != "POST" {
						t.Error("the connection was not replaced")
					}
				}
				if more := heap() - before; more > most {
					t.Errorf("got %d bytes after %v, want at most %d", more, time.Since(start), most)
				}
			})
		})
	}
}
