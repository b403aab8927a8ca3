// Package browser controls a headless Chromium, for tests of pages.
package browser

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

// A Tab is a tab of a browser, controlled with the DevTools protocol. It belongs to one goroutine.
type Tab struct {
	t        *testing.T
	ctx      context.Context
	conn     *websocket.Conn
	n        int // of the last command
	problems []string
}

// Open opens url in a new browser, which ends with the test. It skips the test if there is no Chromium.
func Open(t *testing.T, url string) *Tab {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium")
	}
	dir := profile(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	cmd := exec.CommandContext(ctx, program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
		"--user-data-dir="+dir, "about:blank")
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
	})
	b := &Tab{t: t, ctx: ctx}
	if b.conn, _, err = websocket.Dial(ctx, b.debugger(dir), nil); err != nil {
		t.Fatal(err)
	}
	b.conn.SetReadLimit(-1) // of screenshots
	t.Cleanup(func() { b.conn.CloseNow() })
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		b.Do(domain+".enable", nil)
	}
	b.Go(url)
	return b
}

// profile returns a folder for a browser's files. Its helper processes may still write there while
// the folder is being removed.
func profile(t *testing.T) string {
	dir, err := os.MkdirTemp("", "steadfeed-browser-")
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

// debugger waits until the browser runs, and returns the address of the debugger of its tab.
func (b *Tab) debugger(dir string) string {
	b.t.Helper()
	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for ; b.ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		port, err := os.ReadFile(filepath.Join(dir, "DevToolsActivePort"))
		if err != nil {
			continue
		}
		number, _, _ := strings.Cut(string(port), "\n")
		resp, err := web.Get("http://127.0.0.1:" + number + "/json")
		if err != nil {
			continue
		}
		var tabs []struct{ Type, WebSocketDebuggerURL string }
		json.NewDecoder(resp.Body).Decode(&tabs)
		resp.Body.Close()
		for _, tab := range tabs {
			if tab.Type == "page" {
				return tab.WebSocketDebuggerURL
			}
		}
	}
	b.t.Fatal("got no tab in the browser, want one")
	return ""
}

// A message is a reply or an event of the protocol.
type message struct {
	ID     int
	Method string
	Result json.RawMessage
	Error  *struct{ Message string }
	Params struct {
		Type             string // of a call of the console
		Args             []struct{ Value, Description any }
		Entry            struct{ Level, Text, URL string }
		ExceptionDetails struct {
			Text      string
			Exception struct{ Description string }
		}
	}
}

// Do sends a command and returns its result.
func (b *Tab) Do(method string, params map[string]any) json.RawMessage {
	b.t.Helper()
	result, refused := b.command(method, params)
	if refused != "" {
		b.t.Fatalf("%s: %s", method, refused)
	}
	return result
}

// command sends a command and returns its result, or why the browser has refused it.
func (b *Tab) command(method string, params map[string]any) (_ json.RawMessage, refused string) {
	b.t.Helper()
	b.n++
	if params == nil {
		params = map[string]any{}
	}
	err := wsjson.Write(b.ctx, b.conn, map[string]any{"id": b.n, "method": method, "params": params})
	for err == nil {
		var m message
		if err = wsjson.Read(b.ctx, b.conn, &m); err != nil {
			break
		}
		if m.ID != b.n {
			b.note(&m)
			continue
		}
		if m.Error != nil {
			return nil, m.Error.Message
		}
		return m.Result, ""
	}
	b.t.Fatalf("%s: %v", method, err)
	return nil, ""
}

// note keeps what a person would see in the console as a warning or an error.
func (b *Tab) note(m *message) {
	p := &m.Params
	switch {
	case m.Method == "Runtime.exceptionThrown":
		b.problems = append(b.problems, p.ExceptionDetails.Text+" "+p.ExceptionDetails.Exception.Description)
	case m.Method == "Runtime.consoleAPICalled" && (p.Type == "error" || p.Type == "warning"):
		b.problems = append(b.problems, fmt.Sprint(p.Args))
	case m.Method == "Log.entryAdded" && (p.Entry.Level == "error" || p.Entry.Level == "warning"):
		b.problems = append(b.problems, p.Entry.Text+" "+p.Entry.URL)
	}
}

// Problems returns what the page has written to the console as a warning or an error, and forgets it.
func (b *Tab) Problems() []string {
	b.t.Helper()
	b.Eval("0") // receives what is on the way
	p := b.problems
	b.problems = nil
	return p
}

// Go shows url, and waits until it is loaded.
func (b *Tab) Go(url string) {
	b.t.Helper()
	b.leave(func() { b.Do("Page.navigate", map[string]any{"url": url}) })
}

// Follow clicks on the element that a JavaScript expression returns, a link or a button of a form, and
// waits until the page that follows is loaded.
func (b *Tab) Follow(js string) {
	b.t.Helper()
	b.leave(func() { b.evaluate(js + ".click()") }) // refused if the next page is loaded first
}

func (b *Tab) leave(start func()) {
	b.t.Helper()
	b.Eval(`window.left = true`)
	start()
	b.Await(`window.left === undefined && document.readyState`, `^complete$`)
}

// Eval returns the value of a JavaScript expression as text. A promise is waited for.
func (b *Tab) Eval(js string) string {
	b.t.Helper()
	value, refused := b.evaluate(js)
	if refused != "" {
		b.t.Fatalf("%s: %s", js, refused)
	}
	return value
}

// evaluate is Eval that returns why the browser has refused the expression, such as the end of the page.
func (b *Tab) evaluate(js string) (value, refused string) {
	b.t.Helper()
	raw, refused := b.command("Runtime.evaluate", map[string]any{"expression": "(async () => String(await (" + js + ")))()", "awaitPromise": true})
	if refused != "" {
		return "", refused
	}
	var r struct {
		Result           struct{ Value string }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		b.t.Fatal(err)
	}
	if r.ExceptionDetails != nil {
		return "exception: " + r.ExceptionDetails.Exception.Description, ""
	}
	return r.Result.Value, ""
}

// Await waits until an expression has a value that matches.
func (b *Tab) Await(js, pattern string) {
	b.t.Helper()
	want, got := regexp.MustCompile(pattern), ""
	for ; b.ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		var refused string
		if got, refused = b.evaluate(js); refused == "" && want.MatchString(got) {
			return
		}
	}
	b.t.Fatalf("%s: got %q, want %q", js, got, pattern)
}

// Resize makes the page as wide and high as that in CSS pixels.
func (b *Tab) Resize(width, height int) {
	b.t.Helper()
	b.Do("Emulation.setDeviceMetricsOverride",
		map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})
}

// Prefer sets a feature of CSS media queries, such as prefers-color-scheme.
func (b *Tab) Prefer(feature, value string) {
	b.t.Helper()
	b.Do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]any{{"name": feature, "value": value}}})
}

// Screenshot returns what is visible, as PNG.
func (b *Tab) Screenshot() []byte {
	b.t.Helper()
	var shot struct{ Data []byte }
	if err := json.Unmarshal(b.Do("Page.captureScreenshot", map[string]any{"format": "png"}), &shot); err != nil {
		b.t.Fatal(err)
	}
	return shot.Data
}
