//go:build integration

package client_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

// nginx is a real nginx with the nchan module (Debian: libnginx-mod-nchan), which
// serves server-sent events with message ids of its own.
type nginx struct {
	t    *testing.T
	cmd  *exec.Cmd
	addr string
}

const nginxConf = `
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
worker_processes 1;
daemon off;
worker_shutdown_timeout 1s;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s;
	uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	gzip on; gzip_types text/event-stream; gzip_min_length 1;
	server {
		listen %[2]s;
		location = /pub { nchan_publisher; nchan_channel_id c; nchan_message_buffer_length 5000; nchan_message_timeout 10m; }
		location = /sub { nchan_subscriber eventsource; nchan_channel_id c; nchan_subscriber_first_message oldest; nchan_eventsource_ping_interval 1; }
	}
}
`

func startNginx(t *testing.T) *nginx {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &nginx{t: t, addr: l.Addr().String()}
	l.Close()
	dir := t.TempDir()
	os.Chmod(dir, 0o777) // the worker is another user
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, n.addr), 0o600); err != nil {
		t.Fatal(err)
	}
	n.cmd = exec.Command("nginx", "-e", filepath.Join(dir, "error.log"), "-p", dir, "-c", conf)
	var out bytes.Buffer
	n.cmd.Stdout, n.cmd.Stderr = &out, &out
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.cmd.Process.Signal(syscall.SIGTERM)
		n.cmd.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "error.log"))
			t.Logf("nginx: %s\n%s", out.String(), log)
		}
	})
	for range 200 {
		c, err := net.Dial("tcp", n.addr)
		if err == nil {
			c.Close()
			return n
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("nginx does not answer: %s", out.String())
	return nil
}

func (n *nginx) publish(message string) {
	n.t.Helper()
	resp, err := http.Post("http://"+n.addr+"/pub", "text/plain", strings.NewReader(message))
	if err != nil {
		n.t.Error(err)
		return
	}
	resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		n.t.Errorf("nchan answered the publisher %s", resp.Status)
	}
}

// reload replaces nginx's workers, which ends every connection, and returns when the old
// ones are gone: what is published while they go, nchan may lose.
func (n *nginx) reload() {
	n.t.Helper()
	old := n.workers()
	n.cmd.Process.Signal(syscall.SIGHUP)
	for range 400 {
		now := n.workers()
		if len(now) > 0 && !slices.ContainsFunc(now, func(pid string) bool { return slices.Contains(old, pid) }) {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	n.t.Error("nginx did not replace its workers")
}

func (n *nginx) workers() []string {
	pid := n.cmd.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		n.t.Error(err)
	}
	return strings.Fields(string(children))
}

func TestNginxResume(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	n := startNginx(t)
	const total = 600
	published := make(chan struct{})
	go func() {
		defer close(published)
		for i := range total {
			n.publish(strconv.Itoa(i))
			if i%150 == 100 {
				n.reload()
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
		t.Errorf("%d gaps were reported and nothing was lost", gaps)
	}
	if connections < 8 {
		t.Errorf("only %d connections: the test did not interrupt the feed", connections)
	}
}
