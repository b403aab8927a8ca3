package transport_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/provider"
)

// TestWebhookSlowBodyOfNoDelivery has a body come one byte at a time for a request that is
// answered without it: the connection must not be held for as long as somebody likes.
func TestWebhookSlowBodyOfNoDelivery(t *testing.T) {
	for name, line := range map[string]string{
		"of a path that nobody has": "POST /other HTTP/1.1",
		"of a question":             "GET /in?challenge=abc HTTP/1.1",
		"of another method":         "PUT /in HTTP/1.1",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &transport.Webhook{Providers: map[string]*provider.Provider{"/in": provider.Dropbox("a secret")}}
				_, network, _ := ownListener(t, w)
				conn, err := network.Dial(context.Background(), "tcp", "hooks.test:80")
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				start := time.Now()
				fmt.Fprintf(conn, "%s\r\nHost: hooks.test\r\nContent-Length: 1000\r\n\r\n", line)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					io.ReadAll(conn)
				}()
				for range 60 {
					io.WriteString(conn, "x")
					time.Sleep(time.Second)
				}
				select {
				case <-ended:
				default:
					t.Errorf("after %v, it is still there", time.Since(start))
				}
				conn.Close()
				<-ended
			})
		})
	}
}
