package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// A browser is a headless Chromium, controlled with the DevTools protocol.
type browser struct {
	t    *testing.T
	ctx  context.Context
	conn *websocket.Conn
	n    int // of the last command
}

// openBrowser opens url, or skips the test if there is no Chromium.
func openBrowser(t *testing.T, url string) *browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium")
	}
	dir := profile(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := exec.CommandContext(ctx, program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--user-data-dir="+dir, url)
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
	})
	b := &browser{t: t, ctx: ctx}
	page := b.page(dir, url)
	if b.conn, _, err = websocket.Dial(ctx, page, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.conn.CloseNow() })
	return b
}

// profile returns a folder for a browser's files. Its helper processes may still write there while
// the folder is being removed.
func profile(t *testing.T) string {
	dir, err := os.MkdirTemp("", "fakefeed-browser-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for try := 0; os.RemoveAll(dir) != nil; try++ {
			if try == 100 {
				t.Errorf("got %s after 100 attempts to remove it", dir)
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	return dir
}

// page waits until the browser shows url, and returns the address of its debugger.
func (b *browser) page(dir, url string) string {
	b.t.Helper()
	for ; b.ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		port, err := os.ReadFile(filepath.Join(dir, "DevToolsActivePort"))
		if err != nil {
			continue
		}
		number, _, _ := strings.Cut(string(port), "\n")
		resp, err := http.Get("http://127.0.0.1:" + number + "/json")
		if err != nil {
			continue
		}
		var pages []struct{ URL, WebSocketDebuggerURL string }
		json.NewDecoder(resp.Body).Decode(&pages)
		resp.Body.Close()
		http.DefaultClient.CloseIdleConnections()
		for _, p := range pages {
			if strings.HasPrefix(p.URL, url) {
				return p.WebSocketDebuggerURL
			}
		}
	}
	b.t.Fatalf("got no page at %s in the browser, want one", url)
	return ""
}

// eval returns the value of a JavaScript expression as text.
func (b *browser) eval(js string) string {
	b.t.Helper()
	b.n++
	err := wsjson.Write(b.ctx, b.conn, map[string]any{
		"id": b.n, "method": "Runtime.evaluate", "params": map[string]any{"expression": "String(" + js + ")"},
	})
	for err == nil {
		var reply struct {
			ID     int
			Result struct{ Result struct{ Value string } }
		}
		if err = wsjson.Read(b.ctx, b.conn, &reply); err == nil && reply.ID == b.n {
			return reply.Result.Result.Value
		}
	}
	b.t.Fatal(err)
	return ""
}

// await waits until an expression has a value that matches.
func (b *browser) await(js, pattern string) {
	b.t.Helper()
	got := ""
	for ; b.ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		if got = b.eval(js); regexp.MustCompile(pattern).MatchString(got) {
			return
		}
	}
	b.t.Fatalf("%s: got %q, want %q", js, got, pattern)
}

// In a browser, a person watches a consumer connect, publishes an event, and drops the connection.
func TestBrowser(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, result := make(lines, 1), make(chan error)
	go func() { result <- run(ctx, options{addr: "127.0.0.1:0"}, out) }()
	defer func() {
		cancel()
		if err := <-result; err != nil {
			t.Error(err)
		}
	}()
	url := regexp.MustCompile(`http://[^/]*`).FindString(<-out)
	b := openBrowser(t, url)
	defer http.DefaultClient.CloseIdleConnections()
	b.await(`document.querySelector("#sse").textContent`, `^`+regexp.QuoteMeta(url)+`/sse$`)
	b.await(`document.querySelector("#connected").textContent`, `^0$`)

	resp, err := http.Get(url + "/sse")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b.await(`document.querySelector("#connected").textContent`, `^1$`)
	b.await(`document.querySelector("#consumers").textContent`, `sse.*Go-http-client`)

	b.eval(`document.querySelector("input[name=data]").value = "<b>hello</b>"`)
	b.eval(`document.querySelector("#publish button").click()`)
	b.await(`document.querySelector("#events").textContent`, `^1message<b>hello</b>$|^1<b>hello</b>$`)
	buf := make([]byte, 100)
	if n, err := resp.Body.Read(buf); err != nil || string(buf[:n]) != "id: 1\ndata: <b>hello</b>\n\n" {
		t.Errorf("the consumer: got %q, %v, want event 1", buf[:n], err)
	}

	b.eval(`document.querySelector("[data-do=drop]").click()`)
	b.await(`document.querySelector("#connected").textContent`, `^0$`)
	b.await(`document.querySelector("#consumers tr").className + document.querySelector("#consumers").textContent`, `^over.*connection dropped`)

	b.eval(`document.querySelector("#pause").value = "soon"`)
	b.eval(`document.querySelector("[data-do=pause]").click()`)
	b.await(`document.querySelector("#problem").textContent`, `want a duration`)
	if got := b.eval(fmt.Sprintf(`document.querySelectorAll(%q).length`, "#events b")); got != "0" {
		t.Errorf("the page: got %s elements made from data, want 0", got)
	}
}
