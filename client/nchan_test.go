//go:build integration

package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

// nginx is a real nginx with the nchan module (Debian: libnginx-mod-nchan), which serves server-sent
// events and WebSockets. It keeps the messages in a Redis (Debian: redis-server), so that they
// survive a restart.
type nginx struct {
	t    *testing.T
	dir  string
	addr string
	cmd  *exec.Cmd
}

const nginxConf = `
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
worker_processes 1;
worker_shutdown_timeout 1s;
daemon off;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s;
	uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	gzip on; gzip_types text/event-stream; gzip_min_length 1;
	upstream store { nchan_redis_server redis://%[3]s; }
	server {
		listen %[2]s;
		location = /pub { nchan_publisher; nchan_redis_pass store; nchan_channel_id c; nchan_message_buffer_length 5000; nchan_message_timeout 10m; }
		location = /sub { nchan_subscriber %[4]s; nchan_redis_pass store; nchan_channel_id c; nchan_subscriber_first_message oldest; nchan_%[4]s_ping_interval 1; }
	}
}
`

// startNginx starts an nginx whose subscribers are of the given kind: eventsource or websocket.
func startNginx(t *testing.T, subscriber string) *nginx {
	t.Helper()
	n := &nginx{t: t, dir: t.TempDir(), addr: freeAddr(t)}
	os.Chmod(n.dir, 0o777) // the worker is another user
	redis := freeAddr(t)
	_, port, _ := net.SplitHostPort(redis)
	n.serve(redis, exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", n.dir))
	conf := fmt.Appendf(nil, nginxConf, n.dir, n.addr, redis, subscriber)
	if err := os.WriteFile(filepath.Join(n.dir, "nginx.conf"), conf, 0o600); err != nil {
		t.Fatal(err)
	}
	n.start()
	return n
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (n *nginx) start() {
	n.cmd = exec.Command("nginx", "-e", filepath.Join(n.dir, "error.log"), "-p", n.dir, "-c", filepath.Join(n.dir, "nginx.conf"))
	n.serve(n.addr, n.cmd)
}

// serve runs a server until the end of the test and waits until it accepts connections.
func (n *nginx) serve(addr string, cmd *exec.Cmd) {
	n.t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if n.t.Failed() {
			log, _ := os.ReadFile(filepath.Join(n.dir, "error.log"))
			n.t.Logf("%s: %s\n%s", cmd.Path, out.String(), log)
		}
	})
	for range 400 {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	n.t.Fatalf("%s does not answer: %s", cmd.Path, out.String())
}

// restart stops nginx, which ends every connection, and starts it again after a while.
func (n *nginx) restart() {
	n.cmd.Process.Signal(syscall.SIGTERM)
	n.cmd.Wait()
	time.Sleep(300 * time.Millisecond)
	n.start()
}

// publish repeats a message until nchan accepts it: until it has reached its Redis, it answers with
// 503.
func (n *nginx) publish(message string) {
	n.t.Helper()
	answer := ""
	for range 400 {
		resp, err := http.Post("http://"+n.addr+"/pub", "text/plain", strings.NewReader(message))
		if err != nil {
			n.t.Error(err)
			return
		}
		resp.Body.Close()
		if resp.StatusCode/100 == 2 {
			return
		}
		answer = resp.Status
		time.Sleep(25 * time.Millisecond)
	}
	n.t.Errorf("publish: status %s", answer)
}

// The server is restarted three times and the subscription four times while messages are published:
// each arrives once and in order.
func TestNchanResumesEvents(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	n := startNginx(t, "eventsource")
	const total = 600
	published := make(chan struct{})
	go func() {
		defer close(published)
		for i := range total {
			n.publish(strconv.Itoa(i))
			if i%150 == 100 {
				n.restart()
			}
		}
	}()
	defer func() { <-published }()

	dir := t.TempDir()
	next, gaps, connections := 0, 0, uint64(0)
	// Each round is a process that stops at any point and is started again.
	for round := 0; next < total; round++ {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		sub, err := client.Subscribe(ctx, &transport.HTTP{URL: "http://" + n.addr + "/sub"},
			&client.Options{Name: "nchan", Store: client.FileStore(dir)})
		if err != nil {
			t.Fatal(err)
		}
		until := next + 170
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatalf("after %d events: %v", next, err)
			}
			if ev.Gap != nil {
				gaps++
			}
			if got := string(ev.Data); got != strconv.Itoa(next) {
				t.Fatalf("event %q (id %s), want %d", got, ev.ID, next)
			}
			if next++; next == until || next == total {
				ev.Ack()
				break
			}
			if next == until-50 {
				sub.Reconnect()
			}
		}
		connections += sub.Stats().Connections
		if err := sub.Close(); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	t.Logf("%d events over %d connections, none missing, none twice", next, connections)
	if gaps > 0 {
		t.Errorf("got %d gaps, want none", gaps)
	}
	if connections < 5 {
		t.Errorf("got %d connections, want at least 5", connections)
	}
}

var errNotMeta = errors.New("a message without the header of ws+meta.nchan")

// nchanMeta is an OnMessage for the subprotocol ws+meta.nchan (https://nchan.io/#websocket). Each
// message is a header, an empty line, and the published text. The id is the position to resume
// after.
func nchanMeta(_ *transport.Socket, m *transport.Message) error {
	header, body, ok := bytes.Cut(m.Data, []byte("\n\n"))
	if !ok {
		return errNotMeta
	}
	for line := range bytes.Lines(header) {
		name, value, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(": "))
		switch string(name) {
		case "id":
			m.Token = string(value)
		case "content-type":
			m.Type = string(value)
		}
	}
	if m.Token == "" {
		return errNotMeta
	}
	m.Data = body
	return nil
}

// nchan accepts the id in a header or in the query; a browser can only use the query
// (nchan_subscriber_last_message_id).
var nchanResumes = map[string]transport.Resume{
	"header":        transport.ResumeHeader("Last-Event-ID"),
	"query deflate": transport.ResumeQuery("last_event_id"),
}

// The server is restarted three times and the subscription four times while messages are published:
// each arrives once and in order.
func TestNchanResumesWebSocket(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	for name, resume := range nchanResumes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := startNginx(t, "websocket")
			const total = 600
			published := make(chan struct{})
			go func() {
				defer close(published)
				for i := range total {
					n.publish(strconv.Itoa(i))
					if i%150 == 100 && i < 450 {
						n.restart()
					}
				}
			}()
			defer func() { <-published }()
			f := &nchanFollower{feed: &transport.WebSocket{
				URL: "ws://" + n.addr + "/sub", Subprotocols: []string{"ws+meta.nchan"},
				Resume: resume, OnMessage: nchanMeta, Compression: name == "query deflate", CloseRules: promptly,
			}, store: client.FileStore(t.TempDir())}
			for f.next < total { // as a process that stops at any point and is started again
				f.follow(t, min(f.next+170, total))
			}
			t.Logf("%d messages over %d connections, none missing, none twice; ends: %s", f.next, f.connections, &f.endLog)
			if f.connections < 7 {
				t.Errorf("got %d connections, want at least 7", f.connections)
			}
		})
	}
}

// An nchanFollower reads numbers in order, in several subscriptions.
type nchanFollower struct {
	feed        *transport.WebSocket
	store       client.Store
	endLog      endLog
	next        int
	connections uint64
}

// follow reads up to the number before until, with a Reconnect on the way.
func (f *nchanFollower) follow(t *testing.T, until int) {
	t.Helper()
	opts := f.endLog.options()
	opts.Name, opts.Store = "nchan", f.store
	sub := subscribeWire(t, f.feed, opts)
	for ev, err := range sub.Events() {
		if err != nil {
			t.Fatalf("after %d messages: %v", f.next, err)
		}
		if string(ev.Data) != strconv.Itoa(f.next) || ev.Gap != nil || ev.Type != "text/plain" {
			t.Fatalf("%s message %q (token %s) with gap %v, want %d without one", ev.Type, ev.Data, ev.Token, ev.Gap, f.next)
		}
		if f.next++; f.next == until {
			ev.Ack()
			break
		}
		if f.next == until-50 {
			sub.Reconnect()
		}
	}
	f.connections += sub.Stats().Connections
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
}
