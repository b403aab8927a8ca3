package transport_test

import (
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/transport"
)

// readSizes records the sizes of the reads from the body of a response.
type readSizes struct {
	http.RoundTripper
	mu    sync.Mutex
	sizes []int
}

func (r *readSizes) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.RoundTripper.RoundTrip(req)
	if err == nil {
		resp.Body = sizedBody{resp.Body.(io.ReadWriteCloser), r}
	}
	return resp, err
}

type sizedBody struct {
	io.ReadWriteCloser
	to *readSizes
}

func (b sizedBody) Read(p []byte) (int, error) {
	b.to.mu.Lock()
	b.to.sizes = append(b.to.sizes, len(p))
	b.to.mu.Unlock()
	return b.ReadWriteCloser.Read(p)
}

// The reader of a WebSocket counts on the buffer of coder/websocket: a message that is complete
// in it is read without asking the library where it ends.
func TestLibraryReadsThroughBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := raw(t, func(conn net.Conn) {
			conn.Write(wsFrame(fin|opText, "event"))
			hangUp(conn)
		})
		sizes := &readSizes{RoundTripper: w.Client.Transport}
		w.Client = &http.Client{Transport: sizes}
		read(t, openSocket(t, w, ""))
		sizes.mu.Lock()
		defer sizes.mu.Unlock()
		if len(sizes.sizes) == 0 || sizes.sizes[0] != transport.LibraryBuffer {
			t.Errorf("coder/websocket read with buffers of %d bytes, want %d first: set libraryBuffer to the size of its buffer, and check payload and wire.fill", sizes.sizes, transport.LibraryBuffer)
		}
	})
}
