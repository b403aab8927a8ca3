package client_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

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

// memory is a feed of n events of 100 bytes with k keys, which costs little itself.
type memory struct {
	n, sent int
	single  bool // each event is read alone
	ids     []string
	data    []byte
}

func newMemory(n, keys int) *memory {
	m := &memory{n: n, data: make([]byte, 100)}
	for i := range keys {
		m.ids = append(m.ids, fmt.Sprint(i))
	}
	return m
}

func (m *memory) Validate() error { return nil }

func (m *memory) Open(context.Context, string) (*transport.Session, error) {
	return &transport.Session{Conn: m, Resumes: true}, nil
}

func (m *memory) Read(msg *transport.Message) error {
	if m.sent == m.n {
		return transport.ErrComplete
	}
	*msg = transport.Message{Data: m.data, ID: m.ids[m.sent%len(m.ids)], Token: "t", More: m.sent%100 < 99 && !m.single}
	m.sent++
	return nil
}

func (m *memory) Close() error { return nil }

// BenchmarkProcess measures what Process costs for each event, with a handler that does nothing,
// beside a loop and a pool of workers by hand.
func BenchmarkProcess(b *testing.B) {
	start := func(b *testing.B) *client.Subscription {
		sub, err := client.Subscribe(b.Context(), newMemory(b.N, 100), nil)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		b.Cleanup(func() {
			if n := sub.Stats().Acked; n != uint64(b.N) {
				b.Errorf("got %d events, want %d", n, b.N)
			}
			sub.Close()
		})
		return sub
	}
	b.Run("Events", func(b *testing.B) {
		for ev := range start(b).Events() {
			if ev.Attempt != 1 {
				b.Error(ev.Attempt)
			}
		}
	})
	handle := func(_ context.Context, ev client.Event) error { return nil }
	for _, workers := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("by-hand-%d", workers), func(b *testing.B) {
			sub, work := start(b), make(chan client.Event, workers)
			var joined sync.WaitGroup
			for range workers {
				joined.Go(func() {
					for ev := range work {
						if handle(b.Context(), ev) == nil {
							ev.Ack()
						}
					}
				})
			}
			for {
				ev, err := sub.Next(b.Context())
				if err != nil {
					break
				}
				work <- ev
			}
			close(work)
			joined.Wait()
		})
		b.Run(fmt.Sprintf("Process-%d", workers), func(b *testing.B) {
			start(b).Process(b.Context(), handle, &client.ProcessOptions{Workers: workers})
		})
		b.Run(fmt.Sprintf("Process-%d-keys", workers), func(b *testing.B) {
			start(b).Process(b.Context(), handle, &client.ProcessOptions{Workers: workers, KeyOf: func(ev client.Event) string { return ev.ID }})
		})
	}
}

// BenchmarkWatch measures what it costs an event to be watched.
func BenchmarkWatch(b *testing.B) {
	trace := func() *client.Trace {
		return client.JoinTraces(
			&client.Trace{Connected: func(client.ConnectInfo) {}, StateChanged: func(client.Transition) {}, Gap: func(client.Gap) {}},
			&client.Trace{Signal: func(transport.Message) {}, Disconnected: func(client.DisconnectInfo) {}})
	}
	for _, c := range []struct {
		name string
		opts func() *client.Options
	}{
		{"off", func() *client.Options { return nil }},
		{"Trace", func() *client.Options { return &client.Options{Trace: trace()} }},
		{"Monitor", func() *client.Options { return &client.Options{Name: "n", Monitor: new(client.Monitor)} }},
		{"all", func() *client.Options {
			return &client.Options{Name: "n", Monitor: new(client.Monitor), Trace: trace(),
				EventTime: func(ev client.Event) time.Time { return ev.Received }}
		}},
	} {
		for _, more := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/batches=%v", c.name, more), func(b *testing.B) {
				m := newMemory(b.N, 1)
				m.single = !more
				b.ReportAllocs()
				sub, err := client.Subscribe(b.Context(), m, c.opts())
				if err != nil {
					b.Fatal(err)
				}
				defer sub.Close()
				for _, err := range sub.Events() {
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// watchedSubscriptions starts n subscriptions that have been through as much as a Monitor keeps.
func watchedSubscriptions(tb testing.TB, n int, m *client.Monitor) (subs []*client.Subscription) {
	for i := range n {
		feed := make(messages, 100)
		for j := range feed {
			feed[j] = transport.Message{ID: fmt.Sprint(j), Data: []byte("x"), More: true}
		}
		held := append(feed, transport.Message{Data: []byte("x")})
		sub, err := client.Subscribe(tb.Context(), &open{held}, &client.Options{Name: fmt.Sprint("subscription ", i), Monitor: m})
		if err != nil {
			tb.Fatal(err)
		}
		subs = append(subs, sub)
	}
	return subs
}

// open is a feed that stays open after its messages.
type open struct{ messages }

func (o *open) Open(ctx context.Context, _ string) (*transport.Session, error) {
	return &transport.Session{Conn: &openConn{ctx, &o.messages}, Resumes: true}, nil
}

type openConn struct {
	ctx context.Context
	*messages
}

func (c *openConn) Read(m *transport.Message) (err error) {
	if *m, err = c.message(); err == nil {
		return nil
	}
	<-c.ctx.Done()
	return context.Cause(c.ctx)
}

// BenchmarkSnapshots measures a page of 5,000 subscriptions with 100 events each in the buffer.
func BenchmarkSnapshots(b *testing.B) {
	m := new(client.Monitor)
	subs := watchedSubscriptions(b, 5000, m)
	for _, sub := range subs {
		defer sub.Close()
	}
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		if n := len(m.Snapshots()); n != 5000 {
			b.Fatal(n)
		}
	}
}

// BenchmarkOverflow measures what each policy costs for an event: of a consumer that keeps up, and of one
// that takes nothing, so that every event is dropped or replaced.
func BenchmarkOverflow(b *testing.B) {
	for _, policy := range []client.Overflow{client.OverflowBlock, client.OverflowDropOldest, client.OverflowDropNewest, client.OverflowLatest} {
		o := &client.Options{Overflow: policy}
		if policy == client.OverflowLatest {
			o.KeyOf = func(ev client.Event) string { return ev.ID }
		}
		start := func(b *testing.B) *client.Subscription {
			b.ReportAllocs()
			sub, err := client.Subscribe(b.Context(), newMemory(b.N, 100), o)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { sub.Close() })
			return sub
		}
		b.Run(fmt.Sprintf("%s/consumed", cmp.Or(policy, "block")), func(b *testing.B) {
			sub := start(b)
			for ev := range sub.Events() {
				sink = ev.Data
			}
			b.ReportMetric(float64(sub.Stats().Dropped)/float64(b.N), "dropped/op")
		})
		if policy == client.OverflowBlock {
			continue
		}
		b.Run(fmt.Sprintf("%s/stuck", policy), func(b *testing.B) {
			sub := start(b)
			for sub.Stats().State != client.StateEnded {
				time.Sleep(10 * time.Microsecond)
			}
		})
	}
}
