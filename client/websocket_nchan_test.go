//go:build integration

package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

const nginxSocketConf = `
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
	upstream store { nchan_redis_server redis://%[3]s; }
	server {
		listen %[2]s;
		location = /pub { nchan_publisher; nchan_redis_pass store; nchan_channel_id c; nchan_message_buffer_length 5000; nchan_message_timeout 10m; }
		location = /sub { nchan_subscriber websocket; nchan_redis_pass store; nchan_channel_id c; nchan_subscriber_first_message oldest; nchan_websocket_ping_interval 1; }
	}
}
`

func startNginxSocket(t *testing.T) *nginx {
	t.Helper()
	n := &nginx{t: t, dir: t.TempDir(), addr: freeAddr(t)}
	os.Chmod(n.dir, 0o777) // the worker is another user
	redis := freeAddr(t)
	_, port, _ := net.SplitHostPort(redis)
	n.serve(redis, exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", n.dir))
	conf := fmt.Appendf(nil, nginxSocketConf, n.dir, n.addr, redis)
	if err := os.WriteFile(filepath.Join(n.dir, "nginx.conf"), conf, 0o600); err != nil {
		t.Fatal(err)
	}
	n.start()
	return n
}

var errNotMeta = errors.New("a message without the header of ws+meta.nchan")

// nchanMeta is an OnMessage for the subprotocol ws+meta.nchan, where each message is a
// header of lines, an empty line, and what was published
// (https://nchan.io/#websocket). The id is where to resume.
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
	if m.ID == "" {
		return errNotMeta
	}
	m.Data = body
	return nil
}

// nchan takes the id from a header or from the query; a browser can only do the latter
// (nchan_subscriber_last_message_id).
var nchanResumes = map[string]transport.Resume{
	"header":        transport.ResumeHeader("Last-Event-ID"),
	"query deflate": transport.ResumeQuery("last_event_id"),
}

// TestNchanSocketResume restarts the server three times and the subscription four times
// while messages are published: each arrives once and in order.
func TestNchanSocketResume(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	for name, resume := range nchanResumes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := startNginxSocket(t)
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
			t.Logf("%d messages over %d connections, none missing, none twice; ends: %s", f.next, f.connections, &f.diary)
			if f.connections < 7 {
				t.Errorf("only %d connections: the test did not interrupt the feed", f.connections)
			}
		})
	}
}

// An nchanFollower reads numbers in order, in several subscriptions.
type nchanFollower struct {
	feed        *transport.WebSocket
	store       client.Store
	diary       diary
	next        int
	connections uint64
}

// follow reads up to the number before until, with a Reconnect on the way.
func (f *nchanFollower) follow(t *testing.T, until int) {
	t.Helper()
	opts := f.diary.options()
	opts.Name, opts.Store = "nchan", f.store
	sub := subscribeWire(t, f.feed, opts)
	for ev, err := range sub.Events() {
		if err != nil {
			t.Fatalf("after %d messages: %v", f.next, err)
		}
		if string(ev.Data) != strconv.Itoa(f.next) || ev.Gap != nil || ev.Type != "text/plain" {
			t.Fatalf("%s message %q (id %s) with gap %v, want %d without one", ev.Type, ev.Data, ev.ID, ev.Gap, f.next)
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
