package transport_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/steadfeed/steadfeed/transport"
)

const proxyChild = "STEADFEED_TEST_PROXY_CHILD"

// net/http reads the proxy from the environment once, so the client runs in another process.
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
			t.Errorf("%s: got request %+v, want CONNECT feed.test:80 with credentials", status, asked.request)
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
		t.Errorf("got %q, want through feed.test", m.Data)
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

func child(t *testing.T, name string, env ...string) {
	limit := time.Duration(0)
	if deadline, ok := t.Deadline(); ok {
		limit = time.Until(deadline) * 9 / 10 // the child reports a hang before this test does
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+name+"$", "-test.timeout="+limit.String(), "-test.v")
	cmd.Env = append(append(os.Environ(), "STEADFEED_TEST_CHILD=1"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%.600s\n[...]\n%s", err, out, out[max(0, len(out)-3000):]) // the failure is at the end
	} else if testing.Verbose() {
		t.Logf("%.600s", out)
	}
}

func TestWebSocketProxyEndlessHeader(t *testing.T) {
	if os.Getenv("STEADFEED_TEST_CHILD") != "" {
		w := &transport.WebSocket{URL: "ws://feed.test/", HandshakeTimeout: 3 * time.Second}
		w.Open(t.Context(), "")
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		t.Logf("%d MiB", m.Sys>>20)
		if m.Sys > 100<<20 {
			t.Errorf("got %d MiB for an endless response, want at most 100", m.Sys>>20)
		}
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for i := 0; ; i++ {
				if _, err := fmt.Fprintf(c, "X-%d: %s\r\n", i, strings.Repeat("y", 60000)); err != nil {
					break
				}
			}
			c.Close()
		}
	}()
	child(t, "TestWebSocketProxyEndlessHeader", "HTTP_PROXY=http://"+l.Addr().String(), "NO_PROXY=")
	l.Close()
	<-done
}
