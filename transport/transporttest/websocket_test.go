package transporttest_test

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/transporttest"
)

// sockets plays a script over WebSockets with coder/websocket.
type sockets struct{ transporttest.Script }

func (s sockets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.Dial == transporttest.DialSilent {
		<-r.Context().Done()
		return
	}
	since := r.URL.Query().Get("since")
	if since == "" && s.Ending == transporttest.EndingPartial {
		s.partial(w, r)
		return
	}
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	gone := c.CloseRead(context.Background())
	at := slices.IndexFunc(s.Events, func(e transporttest.Event) bool { return e.Token == since }) + 1
	for _, e := range s.Events[at:] {
		select {
		case <-time.After(e.Pause):
		case <-gone.Done():
			return
		}
		if c.Write(gone, websocket.MessageText, []byte(e.Data)) != nil {
			return
		}
	}
	if since == "" {
		switch s.Ending {
		case transporttest.EndingClean:
			c.Close(websocket.StatusGoingAway, "")
		case transporttest.EndingComplete:
			c.Close(websocket.StatusNormalClosure, "")
		case transporttest.EndingCut:
			return
		}
	}
	<-gone.Done()
}

// partial ends the connection inside a frame, which the library cannot do.
func (s sockets) partial(w http.ResponseWriter, r *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	// RFC 6455, section 4.2.2.
	key := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(key[:]))
	for _, e := range s.Events {
		conn.Write(append([]byte{0x81, 126, byte(len(e.Data) >> 8), byte(len(e.Data))}, e.Data...))
	}
	conn.Write([]byte{0x81, 100, 'h', 'a', 'l', 'f'})
}

func TestWebSocketInMemory(t *testing.T) {
	for _, scheme := range []string{"ws", "wss"} {
		for _, handover := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, handover %v", scheme, handover), func(t *testing.T) {
				transporttest.RunInBubble(t, startSocket(scheme, handover))
			})
		}
	}
}

func startSocket(scheme string, handover bool) transporttest.Start {
	return func(t testing.TB, s transporttest.Script) transport.Transport {
		srv := mock.NewServer(sockets{s})
		t.Cleanup(func() {
			if err := srv.Close(); err != nil {
				t.Error(err)
			}
		})
		w := socket(s, scheme+"://feed.test", scheme+"://feed.test:9")
		w.Client, w.Overlap = srv.Client(), handover
		return w
	}
}

// On a real network, with the default client.
func TestWebSocketOnLoopback(t *testing.T) {
	transporttest.Run(t, func(t testing.TB, s transporttest.Script) transport.Transport {
		srv := httptest.NewServer(sockets{s})
		t.Cleanup(srv.Close)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		return socket(s, srv.URL, "http://"+l.Addr().String())
	})
}

func socket(s transporttest.Script, open, closed string) *transport.WebSocket {
	w := &transport.WebSocket{URL: open + "/?key=secret-0", Resume: transport.ResumeQuery("since")}
	if s.Misconfigured {
		w.URL = "feed.test/?key=secret-0"
	}
	if s.Dial == transporttest.DialRefused {
		w.URL = closed + "/?key=secret-0"
	}
	if s.Ending == transporttest.EndingComplete {
		w.End = transport.EndFeed
	}
	return w
}
