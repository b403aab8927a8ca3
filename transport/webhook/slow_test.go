package webhook_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// TestWebhookSlowBodyOfNoDelivery has a body come one byte at a time for a request that is
// answered without it: the connection must not be held for as long as somebody likes.
func TestSlowBodyOfNoDelivery(t *testing.T) {
	for name, line := range map[string]string{
		"of a path that nobody has": "POST /other HTTP/1.1",
		"of a question":             "GET /in?challenge=abc HTTP/1.1",
		"of another method":         "PUT /in HTTP/1.1",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &webhook.Receiver{Providers: map[string]*provider.Provider{"/in": provider.Dropbox("a secret")}}
				_, network, _ := ownListener(t, w)
				conn, err := network.Dial(context.Background(), "tcp", "hooks.test:80")
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(conn, "%s\r\nHost: hooks.test\r\nContent-Length: 1000\r\n\r\n", line)
				wantDrippingEnds(t, conn)
			})
		})
	}
}

// TestWebhookSlowBodyThatIsTooLarge has the rest of a body that is refused for its size
// come one byte at a time.
func TestSlowBodyThatIsTooLarge(t *testing.T) {
	for name, framing := range map[string]string{
		"announced": "Content-Length: 1000\r\n\r\n",
		"chunked":   "Transfer-Encoding: chunked\r\n\r\n11\r\n0123456789abcdefg\r\nff\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &webhook.Receiver{Provider: provider.Dropbox("a secret"), MaxBody: 16}
				_, network, _ := ownListener(t, w)
				conn, err := network.Dial(context.Background(), "tcp", "hooks.test:80")
				if err != nil {
					t.Fatal(err)
				}
				signature := strings.Repeat("0", 64)
				fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: hooks.test\r\nX-Dropbox-Signature: %s\r\n%s", signature, framing)
				wantDrippingEnds(t, conn)
			})
		})
	}
}

// wantDrippingEnds writes to conn until the receiver has closed it.
func wantDrippingEnds(t *testing.T, conn net.Conn) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		io.ReadAll(conn)
	}()
	for range 30 {
		io.WriteString(conn, "x")
		time.Sleep(time.Second)
	}
	select {
	case <-ended:
	default:
		t.Error("after half a minute, the connection is still there")
	}
	conn.Close()
	<-ended
}
