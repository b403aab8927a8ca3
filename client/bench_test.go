package client_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
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

// memory is a feed of n events of 100 bytes with k keys, which costs little itself.
type memory struct {
	n, sent int
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
	*msg = transport.Message{Data: m.data, ID: m.ids[m.sent%len(m.ids)], Token: "t", More: m.sent%100 < 99}
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
