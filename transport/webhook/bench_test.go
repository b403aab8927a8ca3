package webhook_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// nowhere discards an answer.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n *nowhere) WriteHeader(int)             {}

// rewound is a body that can be read again.
type rewound struct{ bytes.Reader }

func (*rewound) Close() error { return nil }

// BenchmarkReceiver measures what a Receiver adds to net/http for a signed body of one kilobyte,
// with a consumer on another goroutine.
func BenchmarkReceiver(b *testing.B) {
	for name, ack := range map[string]webhook.AckMode{"queued": webhook.AckOnEnqueue, "handled": webhook.AckAfterHandling} {
		b.Run(name, func(b *testing.B) {
			w := &webhook.Receiver{Provider: provider.GitHub("a secret of GitHub's"), Ack: ack}
			w.Dedupe = -1 // the same delivery is sent repeatedly
			queue := make(chan transport.Message, 256)
			defer close(queue)
			listener, err := w.Listen(b.Context(), func(ms []transport.Message) (int, error) {
				for i := range ms {
					queue <- ms[i]
				}
				return len(ms), nil
			})
			if err != nil {
				b.Fatal(err)
			}
			defer listener.Close()
			go func() {
				for m := range queue {
					if m.Settle != nil {
						m.Settle(nil)
					}
				}
			}()
			data := []byte(`{"zen":"` + strings.Repeat("x", 1014) + `"}`)
			r := sign(b, w.Provider, "72d3162e-cc78-11e3-81ab-4c9367dc0958", string(data))
			r.Header.Set("User-Agent", "Sender/1.0")
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Content-Length", "1024")
			r.Header.Set("Accept-Encoding", "gzip")
			body := new(rewound)
			r.Body = io.NopCloser(body)
			out := &nowhere{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(data)
				w.ServeHTTP(out, r)
			}
		})
	}
}
