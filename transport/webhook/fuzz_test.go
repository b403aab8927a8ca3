package webhook_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// FuzzReceiver sends requests without the secret.
func FuzzReceiver(f *testing.F) {
	f.Add([]byte("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"))
	f.Add([]byte("POST /?q=1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nWebhook-Id: a\r\n" +
		"Webhook-Timestamp: 1\r\nWebhook-Signature: v1,AAAA v1a,BBBB\r\n\r\n2\r\n{}\r\n0\r\n\r\n"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: h\r\nX-Hub-Signature-256: sha256=00\r\nContent-Length: 1\r\n\r\n{"))
	f.Add([]byte("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"))
	f.Add([]byte("GET /x HTTP/1.0\r\nContent-Encoding: gzip\r\n\r\n"))
	hooks := []*webhook.Receiver{newHook(), {Provider: provider.GitHub("a secret"), MaxBody: 64}}
	for _, w := range hooks {
		conn := openHook(f, w)
		go func() {
			if m, err := conn.next(); err == nil {
				panic(fmt.Sprintf("a forged request was delivered: %q", m.Data))
			}
		}()
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, w := range hooks {
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
			if err != nil {
				return
			}
			rec := httptest.NewRecorder()
			w.ServeHTTP(rec, r)
			if rec.Code < 400 {
				t.Errorf("got status %d, want an error", rec.Code)
			}
		}
	})
}
