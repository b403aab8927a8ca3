//go:build integration

package client_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// An mcp is a session with the MCP server of testdata/sockets, which the official SDK for npm
// serves.
type mcp struct {
	node   *node
	header http.Header
}

func startMCP(t *testing.T) *mcp {
	t.Helper()
	m := &mcp{startNode(t, "mcp.mjs"), http.Header{
		"Content-Type": {"application/json"}, "Mcp-Protocol-Version": {"2025-11-25"},
		"Accept": {"application/json, text/event-stream"},
	}}
	resp := m.send(t, "POST", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`)
	m.header.Set("Mcp-Session-Id", resp.Header.Get("Mcp-Session-Id"))
	m.send(t, "POST", `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return m
}

// send sends a request whose response is short.
func (m *mcp) send(t *testing.T, method, body string) *http.Response {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), method, "http://"+m.node.addr+"/mcp", bytes.NewReader([]byte(body)))
	req.Header = m.header.Clone()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode/100 != 2 {
		t.Fatalf("%s: got status %s and %q, want 2xx", method, resp.Status, answer)
	}
	return resp
}

// count returns a call of the tool count.
func (m *mcp) count(arguments string) *transport.HTTP {
	return &transport.HTTP{
		URL: "http://" + m.node.addr + "/mcp", Method: "POST", Header: m.header, ResumeByGet: true,
		Body:      fmt.Appendf(nil, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"count","arguments":%s}}`, arguments),
		OnMessage: endWithResult,
	}
}

// values returns what the messages of a call contain.
func values(got []string) (values []string) {
	for _, d := range got {
		values = append(values, decode.Field([]byte(d), "params.data")+decode.Field([]byte(d), "result.content.0.text"))
	}
	return values
}

// A call to a server of the official SDK survives closed and cut responses, is sent once, and
// returns when the server asks.
func TestWireMCP(t *testing.T) {
	m := startMCP(t)
	log := &endLog{}
	o := log.options()
	o.Retry = retry.MCP()
	sub := subscribe(t, m.count(`{"n":20,"closeAt":[2],"cutAt":[8]}`), o)
	defer sub.Close()
	got, err := data(t, sub, 0)
	if err != nil && err != io.EOF {
		t.Errorf("got %v, want the end of the call", err)
	}
	var all []string
	for i := range 20 {
		all = append(all, fmt.Sprint(i+1))
	}
	want(t, "messages", values(got), append(all, "counted to 20"))
	if calls, _ := m.node.lines("call"); len(calls) != 1 {
		t.Errorf("calls: got %d, want 1", len(calls))
	}
	gets, _ := m.node.lines("GET ")
	ends := log.all()
	if len(gets) < 2 || len(ends) != len(gets)+1 {
		t.Errorf("got requests %q and %d ends of connections, want 2 or more GETs and one end more", gets, len(ends))
	}
	for _, e := range ends[:len(ends)-1] {
		if e.Delay < 450*time.Millisecond || e.Delay > 650*time.Millisecond {
			t.Errorf("delay: got %v, want 500 to 600 ms", e.Delay)
		}
	}
}

// A new process continues a call from its checkpoint. If the server no longer knows the session,
// the call fails and is not repeated.
func TestWireMCPFromAStore(t *testing.T) {
	for _, known := range []bool{true, false} {
		t.Run(fmt.Sprintf("known %t", known), func(t *testing.T) {
			m := startMCP(t)
			o := &client.Options{Store: new(mock.Store), Name: "call", Retry: retry.MCP()}
			const arguments = `{"n":30,"closeAt":[],"cutAt":[]}`
			sub := subscribe(t, m.count(arguments), o)
			first, err := data(t, sub, 3)
			sub.Close()
			if err != nil || len(first) != 3 {
				t.Fatalf("got %q and %v, want 3 messages", first, err)
			}
			if !known {
				m.send(t, "DELETE", "")
			}
			sub = subscribe(t, m.count(arguments), o)
			rest, err := data(t, sub, 0)
			sub.Close()
			if known && (err != nil && err != io.EOF || !slices.Contains(values(rest), "counted to 30")) {
				t.Errorf("after the restart: got %q and %v, want the result", values(rest), err)
			}
			if !known && !isStatus(404)(err) {
				t.Errorf("after the end of the session: got %v, want status 404", err)
			}
			if calls, _ := m.node.lines("call"); len(calls) != 1 {
				t.Errorf("calls: got %d, want 1", len(calls))
			}
			if gets, _ := m.node.lines("GET "); len(gets) != 1 || strings.HasPrefix(gets[0], "GET - ") {
				t.Errorf("requests: got %q, want one GET with Last-Event-ID", gets)
			}
		})
	}
}
