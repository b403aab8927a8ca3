package webhook_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// TestHTTP2StreamsCountInTheBudget sends many small bodies slowly over one connection of HTTP/2.
// Each counts for more than the bytes that have arrived.
func TestHTTP2StreamsCountInTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		fill := fillBudget(t, w, 47)
		srv := mock.NewServer(w)
		defer srv.Close()
		defer srv.Client().CloseIdleConnections()
		url := strings.Replace(srv.URL, "http:", "https:", 1)
		drip := func(id string) (<-chan *http.Response, *io.PipeWriter) {
			body, feed := io.Pipe()
			req, _ := http.NewRequest(http.MethodPost, url, body)
			req.Header = sign(t, w.Provider, id, `{"n":1}`).Header
			req.ContentLength = 7
			answers := make(chan *http.Response, 1)
			go func() {
				a, err := srv.Client().Do(req)
				if err != nil {
					a = &http.Response{Status: err.Error()}
				} else {
					a.Body.Close()
				}
				answers <- a
			}()
			go io.WriteString(feed, `{"n`)
			synctest.Wait()
			return answers, feed
		}
		first, feed := drip("first")
		defer feed.Close()
		const rest = 62 // of 16 KiB, until three quarters of the budget are taken
		var others []<-chan *http.Response
		for i := range rest {
			a, feed := drip(fmt.Sprint("drip_", i))
			defer feed.Close()
			others = append(others, a)
		}
		unanswered(t, first)
		last, feed := drip("last")
		if a := wantStatus(t, first, 503); a.ProtoMajor != 2 {
			t.Errorf("first request: got %s, want HTTP/2.0", a.Proto)
		}
		for _, a := range others {
			unanswered(t, a)
		}
		go func() {
			io.WriteString(feed, `":1}`)
			feed.Close()
		}()
		take(t, conn, `{"n":1}`).Settle(nil)
		wantStatus(t, last, 204)
		for _, a := range others {
			wantStatus(t, a, 408)
		}
		fill()
		wantUnverified(t, w, 0, 0)
		time.Sleep(2 * time.Second) // net/http closes the connection later
	})
}

// fillBudget starts n bodies of 1 MiB that cannot be evicted and wait until empty is called.
func fillBudget(t *testing.T, w *webhook.Receiver, n int) (empty func()) {
	const size = 1 << 20
	goOn := make(chan struct{})
	var answers []<-chan *http.Response
	for range n {
		slow := &stalled{Reader: unwritten(size), left: size - 1, goOn: goOn}
		answers = append(answers, post(w, forge(t, w, slow, size)))
		synctest.Wait()
	}
	return func() {
		close(goOn)
		for _, a := range answers {
			wantStatus(t, a, 401)
		}
	}
}

// leastBudget is the memory for unverified bodies with the default MaxBody.
const leastBudget = 64 << 20

func wantUnverified(t testing.TB, w *webhook.Receiver, bytes, listed int) {
	t.Helper()
	if gotBytes, gotListed := w.Unverified(); gotBytes != bytes || gotListed != listed {
		t.Errorf("got %d unverified bytes and %d bodies that can be evicted, want %d and %d", gotBytes, gotListed, bytes, listed)
	}
}

// TestSlowSendersAreEvicted has more senders than there is memory for announce bodies and then send
// almost nothing. An honest sender succeeds, and the oldest holders are evicted.
func TestSlowSendersAreEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		const held = 44 // MiB that cannot be evicted, so that a few connections fill the rest
		empty := fillBudget(t, w, held)
		srv := mock.NewServer(w)
		defer srv.Close()
		const each, n = 64<<10 + 1, (leastBudget/4*3 - held*(1<<20+1)) / (64<<10 + 1)
		var mu sync.Mutex
		answers := map[int]*http.Response{}
		var dripping sync.WaitGroup
		for i := range n {
			raw, in := rawConn(t, srv)
			io.WriteString(raw, rawRequest(t, w.Provider, fmt.Sprint("drip_", i), strings.Repeat("x", 100_000), 1))
			dripping.Go(func() {
				a, err := http.ReadResponse(in, nil)
				if err != nil {
					a = &http.Response{Status: err.Error()}
				}
				mu.Lock()
				defer mu.Unlock()
				answers[i] = a
			})
			if i == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		wantUnverified(t, w, held*(1<<20+1)+n*each, held+n)

		body := `"` + strings.Repeat("x", 1<<20-2) + `"`
		raw, in := rawConn(t, srv)
		go io.WriteString(raw, rawRequest(t, w.Provider, "honest", body, len(body)))
		m := take(t, conn, body)
		synctest.Wait()
		const gone = 16 // evicted bodies of 64 KiB make room for one of 1 MiB
		wantUnverified(t, w, held*(1<<20+1)+(n-gone)*each, n-gone)
		m.Settle(nil)
		if a, err := http.ReadResponse(in, nil); err != nil || a.StatusCode != 204 {
			t.Errorf("honest sender: got answer %v, %v, want 204", a, err)
		}
		mu.Lock()
		if a := answers[0]; a == nil || a.StatusCode != 503 || a.Header.Get("Retry-After") == "" || !a.Close {
			t.Errorf("oldest holder: got answer %v, want 503 with Retry-After on a closed connection", a)
		}
		if len(answers) != gone {
			t.Errorf("got %d evicted, want %d", len(answers), gone)
		}
		mu.Unlock()
		dripping.Wait()
		slow := 0
		for _, a := range answers {
			if a.StatusCode == 408 {
				slow++
			}
		}
		if slow != n-gone {
			t.Errorf("got %d answers 408 at the deadline, want %d", slow, n-gone)
		}
		empty()
		wantUnverified(t, w, 0, 0)
		time.Sleep(time.Second) // net/http takes half of it to close the connections
	})
}

// stalled is a body that waits before its last byte until goOn is closed.
type stalled struct {
	io.Reader
	left int
	stop <-chan struct{} // ends the wait with an error
	goOn <-chan struct{}
}

// unwritten returns a body of n bytes that leaves the buffer as it is: the race detector makes
// copies expensive.
func unwritten(n int) io.Reader { return io.LimitReader(leaves{}, int64(n)) }

type leaves struct{}

func (leaves) Read(b []byte) (int, error) { return len(b), nil }

func (s *stalled) Read(b []byte) (int, error) {
	if s.left == 0 {
		select {
		case <-s.stop:
			return 0, os.ErrDeadlineExceeded
		case <-s.goOn:
			return s.Reader.Read(b)
		}
	}
	n, err := s.Reader.Read(b[:min(len(b), s.left)])
	s.left -= n
	return n, err
}

// forge returns a request whose body is not the one that was signed.
func forge(t testing.TB, w *webhook.Receiver, body io.Reader, announced int) *http.Request {
	r := sign(t, w.Provider, "forged", `{}`)
	r.Body, r.ContentLength = io.NopCloser(body), int64(announced)
	return r
}

// Without read deadlines no body can be evicted, so a large new one is refused.
func TestBudgetWithoutReadDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		conn := openHook(t, w)
		goOn := make(chan struct{})
		const size = 1 << 20
		var early []<-chan *http.Response
		for range 63 {
			slow := &stalled{Reader: unwritten(size), left: size - 1, goOn: goOn}
			early = append(early, post(w, forge(t, w, slow, size)))
			synctest.Wait()
		}
		if n, _ := w.Unverified(); n != 63*(size+1) {
			t.Errorf("got %d bytes counted for 63 bodies of 1 MiB, want %d", n, 63*(size+1))
		}
		wantStatus(t, post(w, forge(t, w, unwritten(size), size)), 503)
		deliver(t, w, conn, "small", strings.Repeat("x", 4000))
		close(goOn)
		for _, a := range early {
			wantStatus(t, a, 401)
		}
		wantUnverified(t, w, 0, 0)
		wantStatus(t, post(w, forge(t, w, unwritten(size), size)), 401)
	})
}

// answering is a ResponseWriter that can end the reading of the request.
type answering struct {
	*httptest.ResponseRecorder
	stop func()
}

func (a *answering) SetReadDeadline(time.Time) error { a.stop(); return nil }

// With fast and slow senders at the same time, the memory taken never exceeds the budget, and at
// the end none is taken.
func TestBudgetIsNeverExceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHook()
		w.MaxBody = 4 << 20
		openHook(t, w)
		now := make(chan struct{})
		close(now)
		var senders sync.WaitGroup
		var statuses [2][600]atomic.Int64
		for i := range 80 {
			ctx, stop := context.WithCancel(t.Context())
			announced := w.MaxBody >> (i/2%5 + 2*(1-i%2)) // fast ones are smaller
			part := &stalled{Reader: unwritten(announced), left: announced - 1, stop: ctx.Done()}
			if i%2 == 0 {
				part.goOn = now
			}
			r := forge(t, w, part, announced)
			if i%3 == 0 {
				r.ContentLength = -1
			}
			senders.Go(func() {
				defer stop()
				rec := httptest.NewRecorder()
				w.ServeHTTP(&answering{rec, stop}, r)
				statuses[i%2][rec.Code].Add(1)
				if n, _ := w.Unverified(); n > leastBudget {
					t.Errorf("got %d unverified bytes, want at most %d", n, leastBudget)
				}
			})
		}
		senders.Wait()
		wantUnverified(t, w, 0, 0)
		for slow := range statuses {
			for status := range statuses[slow] {
				switch n := statuses[slow][status].Load(); {
				case n > 0 && status != 503 && status != [2]int{401, 408}[slow]:
					t.Errorf("got %d requests (slow: %d) with status %d, want none", n, slow, status)
				case n == 0 && (status == 401 && slow == 0 || status == 503 && slow == 1):
					t.Errorf("got no requests (slow: %d) with status %d, want some", slow, status)
				}
			}
		}
	})
}

// ending is a body that calls a function at its end.
type ending struct {
	io.Reader
	end func() error
}

func (e *ending) Read(b []byte) (int, error) {
	n, err := e.Reader.Read(b)
	if err == io.EOF {
		err = e.end()
	}
	return n, err
}

// TestBudgetIsReleased checks the bytes counted while a body arrives, after it is verified, and
// after each way in which a request can end.
func TestBudgetIsReleased(t *testing.T) {
	const n = 100_000
	body := strings.Repeat("x", n)
	whole := func() error { return io.EOF }
	tests := map[string]struct {
		status int // 0 is a panic
		end    func() error
		change func(w *webhook.Receiver, r *http.Request)
	}{
		"verified":          {204, whole, func(*webhook.Receiver, *http.Request) {}},
		"not by PUT":        {405, nil, func(_ *webhook.Receiver, r *http.Request) { r.Method = "PUT" }},
		"no Content-Length": {204, whole, func(_ *webhook.Receiver, r *http.Request) { r.ContentLength = -1 }},
		"forged":            {401, whole, func(_ *webhook.Receiver, r *http.Request) { r.Header.Set("Webhook-Id", "other") }},
		"too large":         {413, whole, func(w *webhook.Receiver, r *http.Request) { w.MaxBody, r.ContentLength = n-1, -1 }},
		"slow":              {408, nil, func(*webhook.Receiver, *http.Request) {}},
		"broken off":        {400, func() error { return io.ErrUnexpectedEOF }, func(*webhook.Receiver, *http.Request) {}},
		"the server panics": {0, func() error { panic(http.ErrAbortHandler) }, func(*webhook.Receiver, *http.Request) {}},
		"the provider panics": {500, whole, func(w *webhook.Receiver, _ *http.Request) {
			w.Provider.Respond = func(*provider.Request, *provider.Delivery) *provider.Answer { panic("a mistake") }
		}},
		"a handshake": {200, whole, func(w *webhook.Receiver, _ *http.Request) {
			w.Provider.Handshake = func(r *provider.Request) (*provider.Answer, bool) {
				return &provider.Answer{Status: 200}, len(r.Body) > 0
			}
		}},
		"OnRejected panics": {0, whole, func(w *webhook.Receiver, r *http.Request) {
			r.Header.Set("Webhook-Id", "other")
			w.OnRejected = func(*webhook.RejectedError) {
				wantUnverified(t, w, 0, 0)
				panic("the user's own mistake")
			}
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newHook()
				conn := openHook(t, w)
				r := sign(t, w.Provider, "msg_1", body)
				late, stop := context.WithCancel(t.Context())
				defer stop()
				r.Body = io.NopCloser(&ending{r.Body, func() error {
					if n, listed := w.Unverified(); n < 64<<10 || listed != 1 {
						t.Errorf("while the body arrives: got %d bytes of %d bodies, want at least 64 KiB of 1", n, listed)
					}
					if test.end == nil {
						<-late.Done()
						return os.ErrDeadlineExceeded
					}
					return test.end()
				}})
				test.change(w, r)
				rec := &answering{httptest.NewRecorder(), stop}
				done := make(chan bool)
				go func() {
					defer func() { done <- recover() != nil }()
					w.ServeHTTP(rec, r)
				}()
				if test.status == 204 {
					m := take(t, conn, body)
					wantUnverified(t, w, 0, 0)
					m.Settle(nil)
				}
				if panicked := <-done; panicked != (test.status == 0) || !panicked && rec.Code != test.status {
					t.Errorf("got status %d, panicked %v, want status %d or, for 0, a panic", rec.Code, panicked, test.status)
				}
				wantUnverified(t, w, 0, 0)
			})
		})
	}
}

// TestHandshakeBodyIsReleased checks that a body is not kept while the answer to a handshake, which
// needs no credentials, is written to a peer that does not read it.
func TestHandshakeBodyIsReleased(t *testing.T) {
	asks := &provider.Provider{Name: "mine", Scheme: provider.Unsigned{}}
	asks.Handshake = func(r *provider.Request) (*provider.Answer, bool) {
		return &provider.Answer{Status: 200}, len(r.Body) > 0
	}
	const size = 8 << 20
	w := &webhook.Receiver{Provider: asks, MaxBody: size}
	openHook(t, w)
	inUse := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	r := httptest.NewRequest(http.MethodPost, "/", unwritten(size))
	rec := &interrupted{ResponseRecorder: httptest.NewRecorder()}
	before := inUse()
	rec.interrupt = func() {
		if n := inUse(); n > before+size/2 {
			t.Errorf("while the handshake is answered: got %d bytes in use, want about %d, as before", n, before)
		}
	}
	w.ServeHTTP(rec, r)
	if rec.Code != 200 {
		t.Errorf("got status %d, want 200", rec.Code)
	}
}
