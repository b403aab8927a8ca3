package transport_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/transport"
)

const proxyChild = "STEADFEED_TEST_PROXY_CHILD"

// The proxy is taken from the environment, which net/http reads once: so the client is a
// process of its own.
func TestWebSocketProxy(t *testing.T) {
	if os.Getenv(proxyChild) != "" {
		readThroughProxy(t)
		return
	}
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.Write(r.Context(), websocket.MessageText, []byte("through "+r.Host))
		c.Read(r.Context())
	})
	for status, want := range map[string]bool{"200 Connection established": true, "407 Proxy Authentication Required": false} {
		asked, stop := connectProxy(t, srv.Listener.Addr().String(), status)
		cmd := exec.Command(os.Args[0], "-test.run=^TestWebSocketProxy$")
		cmd.Env = append(os.Environ(), proxyChild+"=1", fmt.Sprint("STEADFEED_TEST_PROXY_WORKS=", want),
			"HTTP_PROXY=http://user:secret@"+asked.addr, "NO_PROXY=")
		out, err := cmd.CombinedOutput()
		stop()
		if err != nil {
			t.Errorf("%s: %v\n%s", status, err, out)
		}
		if asked.request == nil || asked.request.Method != "CONNECT" || asked.request.Host != "feed.test:80" ||
			asked.request.Header.Get("Proxy-Authorization") != "Basic dXNlcjpzZWNyZXQ=" {
			t.Errorf("%s: the proxy was asked %+v", status, asked.request)
		}
	}
}

func readThroughProxy(t *testing.T) {
	w := &transport.WebSocket{URL: "ws://feed.test/"}
	if os.Getenv("STEADFEED_TEST_PROXY_WORKS") == "false" {
		err := openSocketError(t, w, "")
		t.Log(err)
		return
	}
	if m := read(t, openSocket(t, w, "")); string(m.Data) != "through feed.test" {
		t.Errorf("got %q", m.Data)
	}
}

type asked struct {
	addr    string
	request *http.Request
}

// connectProxy is a proxy that answers CONNECT with a status and joins the client with to.
func connectProxy(t *testing.T, to, status string) (*asked, func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &asked{addr: l.Addr().String()}
	var serving sync.WaitGroup
	serving.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if a.request, err = http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		io.WriteString(conn, "HTTP/1.1 "+status+"\r\n\r\n")
		if status[0] != '2' {
			return
		}
		target, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer target.Close()
		serving.Go(func() {
			io.Copy(conn, target)
			conn.Close()
		})
		io.Copy(target, conn)
	})
	return a, func() {
		l.Close()
		serving.Wait()
	}
}
