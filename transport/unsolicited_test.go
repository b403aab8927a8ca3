package transport_test

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"os"
	"testing"

	"github.com/steadfeed/steadfeed/transport"
)

// What a server sends after the end of a body is not logged. When the server sees the
// connection closed, net/http has written what it wants to the standard logger.
func TestUnsolicitedBytesAreNotLogged(t *testing.T) {
	var said bytes.Buffer
	log.SetOutput(&said)
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
		if said.Len() > 0 {
			t.Errorf("%s: logged %q", name, said.String())
			said.Reset()
		}
	}
}
