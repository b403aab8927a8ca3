//go:build integration

package client_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// A node is a server of testdata/sockets in a process of its own. Its first line is the address
// that it listens on. It prints a line about each thing that happens to it.
type node struct {
	cmd  *exec.Cmd
	addr string

	mu      sync.Mutex
	output  bytes.Buffer
	changed chan struct{} // closed when it prints more
}

// startNode runs a script until the end of the test.
func startNode(t *testing.T, script string) *node {
	t.Helper()
	dir := filepath.Join("testdata", "sockets")
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		t.Fatalf("the servers are not installed: run npm ci in client/%s", dir)
	}
	n := &node{cmd: exec.Command("node", script), changed: make(chan struct{})}
	n.cmd.Dir = dir
	n.cmd.Stdout, n.cmd.Stderr = n, n
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.cmd.Process.Kill() // also when it is stopped
		n.cmd.Wait()
		if t.Failed() {
			t.Logf("node %s:\n%s", script, n.output.String())
		}
	})
	line := n.await(t, "listening on ")
	n.addr = strings.TrimPrefix(line, "listening on ")
	return n
}

func (n *node) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.output.Write(p)
	close(n.changed)
	n.changed = make(chan struct{})
	return len(p), nil
}

// lines returns the lines so far that start with prefix.
func (n *node) lines(prefix string) (lines []string, changed chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for line := range strings.Lines(n.output.String()) {
		if whole, ok := strings.CutSuffix(line, "\n"); ok && strings.HasPrefix(line, prefix) {
			lines = append(lines, whole)
		}
	}
	return lines, n.changed
}

// await returns the first line that starts with prefix, once there is one.
func (n *node) await(t *testing.T, prefix string) string {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		lines, changed := n.lines(prefix)
		if len(lines) > 0 {
			return lines[0]
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("got no line %q from the server, want one", prefix)
		}
	}
}

// quick has short delays, so that the tests end soon.
var quick = retry.Policy{
	Reconnect: 20 * time.Millisecond,
	Base:      20 * time.Millisecond,
	Cap:       100 * time.Millisecond,
}

// promptly shortens the delay of close code 1012.
var promptly = []transport.CloseRule{
	{From: 1012, Action: transport.ActionWait, MinWait: 150 * time.Millisecond, MaxWait: 200 * time.Millisecond},
}

// An endLog records why connections ended. The zero value is empty.
type endLog struct {
	mu      sync.Mutex
	ends    []client.DisconnectInfo
	changed chan struct{} // closed when there is one more; nil without a waiter
}

func (d *endLog) options() *client.Options {
	return &client.Options{Retry: quick, Trace: &client.Trace{Disconnected: func(e client.DisconnectInfo) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.ends = append(d.ends, e)
		if d.changed != nil {
			close(d.changed)
			d.changed = nil
		}
	}}}
}

// await returns the ends once there are n.
func (d *endLog) await(t *testing.T, n int) []client.DisconnectInfo {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		d.mu.Lock()
		ends := slices.Clone(d.ends)
		if d.changed == nil {
			d.changed = make(chan struct{})
		}
		changed := d.changed
		d.mu.Unlock()
		if len(ends) >= n {
			return ends
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("got %d ends of connections, want %d: %s", len(ends), n, d)
		}
	}
}

func (d *endLog) all() []client.DisconnectInfo {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.ends)
}

// String counts the ends of each kind, in the order in which they came first.
func (d *endLog) String() string {
	var kinds []string
	count := make(map[string]int)
	for _, e := range d.all() {
		kind := endName(e.Err)
		if count[kind]++; count[kind] == 1 {
			kinds = append(kinds, kind)
		}
	}
	for i, kind := range kinds {
		kinds[i] = fmt.Sprintf("%d× %s", count[kind], kind)
	}
	return strings.Join(kinds, ", ")
}

func endName(err error) string {
	var closed *transport.CloseError
	var status *transport.StatusError
	var timeout *transport.TimeoutError
	switch {
	case errors.As(err, &closed):
		return fmt.Sprint(closed.Code)
	case errors.As(err, &status):
		return fmt.Sprintf("HTTP %d", status.Code)
	case errors.As(err, &timeout):
		return "no " + timeout.Op
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, transport.ErrComplete):
		return "complete"
	case errors.Is(err, errRefused):
		return "an error message"
	}
	return err.Error()
}

// subscribeWire bounds the subscription in time, and closes it at the end of the test.
func subscribeWire(t *testing.T, feed *transport.WebSocket, opts *client.Options) *client.Subscription {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	sub, err := client.Subscribe(ctx, feed, opts)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		sub.Close()
		cancel()
	})
	return sub
}

// feed returns the feed of feed.js, which runs scene on connections counted under name.
func (n *node) feed(name, query string) *transport.WebSocket {
	return &transport.WebSocket{
		URL:        "ws://" + n.addr + "/?name=" + name + "&" + query,
		Resume:     transport.ResumeQuery("since"),
		OnMessage:  numbered,
		CloseRules: promptly,
	}
}

// A wireMessage is a message of feed.js.
type wireMessage struct {
	Seq    int
	Sha256 string
	Pad    string
}

func numbered(_ *transport.Socket, m *transport.Message) error {
	var v wireMessage
	if err := json.Unmarshal(m.Data, &v); err != nil {
		return err
	}
	if v.Pad != "" && fmt.Sprintf("%x", sha256.Sum256([]byte(v.Pad))) != v.Sha256 {
		return errors.New("a message is damaged")
	}
	m.ID = strconv.Itoa(v.Seq)
	m.Token = m.ID
	return nil
}

// count reads the messages from..to, each once and without a gap.
func count(t *testing.T, sub *client.Subscription, from, to int) {
	t.Helper()
	for ev, err := range sub.Events() {
		if err != nil {
			t.Fatalf("before message %d: %v", from, err)
		}
		if ev.ID != strconv.Itoa(from) || ev.Gap != nil {
			t.Fatalf("got message %s with gap %v, want %d without one", ev.ID, ev.Gap, from)
		}
		if from++; from > to {
			ev.Ack()
			return
		}
	}
}

// deflates are the servers of feed.js: without compression, with compression, and with small windows
// that start again with each message.
var deflates = []string{"plain", "deflate", "tight"}

// The ends of feed.js in their order, as the client must see them.
var wireEnds = []string{"1006", "1000", "1006", "1001", "1006", "1012", "4000", "1005", "4999", "1011"}

// The connection is lost in each way that ws supports.
func TestWireEnds(t *testing.T) {
	n := startNode(t, "feed.js")
	for _, name := range deflates {
		t.Run(name, func(t *testing.T) {
			feed := n.feed(name, "scene=ends&"+name)
			feed.Compression = name != "plain"
			var d endLog
			total := 10*len(wireEnds) + 1
			count(t, subscribeWire(t, feed, d.options()), 1, total)
			var got []string
			for i, end := range d.all()[:len(wireEnds)] {
				got = append(got, endName(end.Err))
				if inside := i == 2 || i == 4; errors.Is(end.Err, io.ErrUnexpectedEOF) != inside {
					t.Errorf("end %d: got %v, want inside a message: %t", i, end.Err, inside)
				}
				if asked := endName(end.Err) == "1012"; asked != (end.Delay >= 150*time.Millisecond) {
					t.Errorf("end %d, %v: got a delay of %v, want one asked for: %t", i, end.Err, end.Delay, asked)
				}
			}
			if !slices.Equal(got, wireEnds) {
				t.Errorf("got ends %v, want %v", got, wireEnds)
			}
			t.Logf("%d messages over connections that ended with %s", total, &d)
		})
	}
}

// Messages are large, fragmented with pings in between, binary and compressed.
func TestWireSizes(t *testing.T) {
	n := startNode(t, "feed.js")
	for _, name := range deflates {
		t.Run(name, func(t *testing.T) {
			feed := n.feed(name, "scene=sizes&"+name)
			feed.Compression = name != "plain"
			var d endLog
			sub := subscribeWire(t, feed, d.options())
			count(t, sub, 1, 8)
			opened := n.await(t, "opened "+name)
			if len(d.all()) > 0 || strings.Contains(opened, "permessage-deflate") != feed.Compression {
				t.Errorf("got %s and ends %s, want compression %t and no end", opened, &d, feed.Compression)
			}
			t.Logf("8 messages, the largest of %d bytes, on one connection", 5<<20)
		})
	}
}

// The server learns why a message is not accepted.
func TestWireUnacceptable(t *testing.T) {
	n := startNode(t, "feed.js")
	for _, server := range deflates {
		t.Run("too large/"+server, func(t *testing.T) {
			name := "large-" + server
			feed := n.feed(name, "scene=large&"+server)
			feed.Compression, feed.MaxMessage = server != "plain", 1<<20
			got, err := data(t, subscribeWire(t, feed, &client.Options{Retry: quick}), 0)
			var large *transport.MessageError
			if len(got) != 1 || !errors.As(err, &large) || large.Limit != feed.MaxMessage {
				t.Errorf("got %d messages, then %v, want 1 and a MessageError", len(got), err)
			}
			t.Logf("%v; the server reports %q", err, n.await(t, "closed "+name+" 1 1009"))
		})
	}
	t.Run("not UTF-8", func(t *testing.T) {
		var d endLog
		count(t, subscribeWire(t, n.feed("latin1", "scene=latin1"), d.options()), 1, 2)
		var bad *transport.MessageError
		if err := d.all()[0].Err; !errors.As(err, &bad) {
			t.Errorf("got the end %v, want a MessageError", err)
		}
		t.Logf("%s; the server reports %q", &d, n.await(t, "closed latin1 1 1007"))
	})
}

// The client answers the pings of a server, and pings a quiet one.
func TestWirePings(t *testing.T) {
	n := startNode(t, "feed.js")
	t.Run("of the server", func(t *testing.T) {
		feed := n.feed("answers", "scene=pings")
		feed.PingInterval = 600 * time.Millisecond
		var d endLog
		count(t, subscribeWire(t, feed, d.options()), 1, 2)
		stray, _ := n.lines("stray")
		own, _ := n.lines("ping answers")
		if len(stray) > 0 || len(own) > 0 || len(d.all()) > 0 {
			t.Errorf("got stray pongs %q, pings %q, ends %s, want none", stray, own, &d)
		}
		t.Log("40 pings, each answered with its payload; none sent")
	})
	t.Run("of the client", func(t *testing.T) {
		feed := n.feed("asks", "scene=quiet")
		feed.PingInterval, feed.PongTimeout = 100*time.Millisecond, 5*time.Second
		var d endLog
		count(t, subscribeWire(t, feed, d.options()), 1, 2)
		if len(d.all()) > 0 {
			t.Errorf("got ends %s, want none", &d)
		}
		t.Log("5 pings kept a quiet connection")
	})
	t.Run("without pongs", func(t *testing.T) {
		feed := n.feed("deaf", "scene=quiet&deaf")
		feed.PingInterval, feed.PongTimeout = 100*time.Millisecond, 100*time.Millisecond
		var d endLog
		count(t, subscribeWire(t, feed, d.options()), 1, 3) // one on each connection
		var pong *transport.TimeoutError
		for _, end := range d.all() {
			if !errors.As(end.Err, &pong) || pong.Op != "pong" || pong.After != 200*time.Millisecond {
				t.Errorf("got the end %v, want a missing pong after 200ms", end.Err)
			}
		}
		pings, _ := n.lines("ping deaf 1")
		if len(pings) != 2 {
			t.Errorf("got %d pings before the connection was dropped, want 2", len(pings))
		}
		t.Logf("gave up %s", &d)
	})
}

// The server cuts off a client that answers no pings, and the consumer is blocked for longer than
// that.
func TestWireStrict(t *testing.T) {
	n := startNode(t, "feed.js")
	for name, patience := range map[string]time.Duration{"kept": -1, "parked": 50 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			feed := n.feed(name, "scene=strict")
			feed.MaxPause, feed.CloseCode = patience, 4000
			var d endLog
			opts := d.options()
			opts.Buffer = 5
			sub := subscribeWire(t, feed, opts)
			end := n.await(t, "closed "+name+" 1 ")
			if want := map[string]string{"kept": "1006", "parked": "4000"}[name]; !strings.HasSuffix(end, want) {
				t.Errorf("got %s, want %s", end, want)
			}
			count(t, sub, 1, 5000)
			t.Logf("%s without a reader; 5000 messages; ends: %s", end, &d)
		})
	}
}

// The process of the server is stopped and continued. Meanwhile its connections stay open, and the
// kernel accepts new ones.
func TestWireStopped(t *testing.T) {
	t.Parallel()
	n := startNode(t, "feed.js")
	feed := n.feed("half-open", "scene=steady")
	feed.PingInterval, feed.PongTimeout, feed.HandshakeTimeout = 200*time.Millisecond, 150*time.Millisecond, 300*time.Millisecond
	var d endLog
	sub := subscribeWire(t, feed, d.options())
	for round := range 3 {
		count(t, sub, 100*round+1, 100*round+100)
		before := len(d.all())
		n.cmd.Process.Signal(syscall.SIGSTOP)
		start := time.Now()
		d.await(t, before+1)
		gaveUp := time.Since(start).Round(time.Millisecond)
		ends := d.await(t, before+2)[before:]
		n.cmd.Process.Signal(syscall.SIGCONT)
		if endName(ends[0].Err) != "no pong" || endName(ends[1].Err) != "no header" {
			t.Errorf("got %v, then %v, want a missing pong, then a missing header", ends[0].Err, ends[1].Err)
		}
		t.Logf("gave up %v after the stop, and then a handshake", gaveUp)
	}
	count(t, sub, 301, 400)
	t.Logf("400 messages; ends: %s", &d)
	n.cmd.Process.Signal(syscall.SIGSTOP)
	start := time.Now()
	sub.Close()
	if took := time.Since(start); took > 2*time.Second { // one is promised
		t.Errorf("Close took %v, want at most 2s", took)
	}
}

// Several goroutines send, and the server reports what it received. A server that accepts nothing
// is dropped.
func TestWireSend(t *testing.T) {
	t.Parallel()
	n := startNode(t, "feed.js")
	feed := n.feed("echo", "scene=echo")
	var d endLog
	opts := d.options()
	ready := make(chan struct{}, 1000)
	opts.Trace.Connected = func(client.ConnectInfo) { ready <- struct{}{} }
	sub := subscribeWire(t, feed, opts)
	<-ready
	sizes := []int{0, 1, 125, 126, 65535, 65536, 3 << 20}
	want := make(map[string]int)
	var group sync.WaitGroup
	for i, size := range sizes {
		message, send, binary := bytes.Repeat([]byte{'a' + byte(i)}, size), feed.Send, false
		if i%2 == 1 {
			send, binary = feed.SendBinary, true
		}
		want[fmt.Sprintf("%x %t", sha256.Sum256(message), binary)] = 10
		group.Go(func() {
			for range 10 {
				if err := send(t.Context(), message); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for range 10 * len(sizes) {
		ev, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var echo struct {
			Of     string
			Binary bool
		}
		json.Unmarshal(ev.Data, &echo)
		want[fmt.Sprintf("%s %t", echo.Of, echo.Binary)]--
		ev.Ack()
	}
	for message, missing := range want {
		if missing != 0 {
			t.Errorf("got %d too few of %s", missing, message)
		}
	}
	t.Logf("%d messages of up to 3 MB echoed", 10*len(sizes))

	n.cmd.Process.Signal(syscall.SIGSTOP)
	large := make([]byte, 32<<20)
	err := feed.SendBinary(t.Context(), large)
	end := d.await(t, 1)[0]
	if !errors.Is(err, transport.ErrNotConnected) || endName(end.Err) != "no write" {
		t.Errorf("Send to a stopped server: got %v and the end %v, want %v and a timeout of the write", err, end.Err, transport.ErrNotConnected)
	}
	t.Logf("to a server that is stopped: %v", err)
}

// A connection of a certain age is replaced: the next one is open before it is closed. Ten seconds
// lie between the starts of two.
func TestWireHandover(t *testing.T) {
	t.Parallel()
	n := startNode(t, "feed.js")
	feed := n.feed("aged", "scene=steady")
	feed.MaxConnectionAge, feed.Overlap = 250*time.Millisecond, true
	var d endLog
	sub := subscribeWire(t, feed, d.options())
	count(t, sub, 1, 2200)
	opened, _ := n.lines("opened aged")
	for _, end := range d.all() {
		if end.Delay > 0 {
			t.Errorf("got a delay of %v after %v, want none", end.Delay, end.Err)
		}
	}
	if len(opened) < 2 {
		t.Errorf("got %d connections, want at least 2", len(opened))
	}
	t.Logf("2200 messages over %d connections; ends: %s", len(opened), &d)
}

// graphTicks are the client's side of graphql.js: the subprotocol graphql-transport-ws
// (https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md).
type graphTicks struct {
	addr, name string
	token      string
	until      int
	beat       time.Duration // between pings
	renewals   int

	// For tests that break the rules: called before the session is opened, and after; and another
	// query.
	before, again func(ctx context.Context, s *transport.Socket) error
	query         string
}

func (k *graphTicks) feed() *transport.WebSocket {
	return &transport.WebSocket{
		URL: "ws://" + k.addr + "/graphql?name=" + k.name, Subprotocols: []string{"graphql-transport-ws"},
		OnConnect: k.hello, OnMessage: k.control, CloseRules: transport.GraphQLCloseRules(),
	}
}

const tickQuery = "subscription($since: Int!, $until: Int!) { ticks(since: $since, until: $until) { seq } }"

func (k *graphTicks) hello(ctx context.Context, s *transport.Socket, since string) error {
	if err := k.renew(ctx); err != nil {
		return err
	}
	if k.before != nil {
		if err := k.before(ctx, s); err != nil {
			return err
		}
	}
	if err := k.login(ctx, s); err != nil {
		return err
	}
	s.Heartbeat(transport.Heartbeat{Interval: k.beat, RequireAck: true, Message: func() []byte { return []byte(`{"type":"ping"}`) }})
	if err := k.subscribe(ctx, s, since); err != nil || k.again == nil {
		return err
	}
	return k.again(ctx, s)
}

// renew gets another token if the current one has been refused.
func (k *graphTicks) renew(ctx context.Context) error {
	if !transport.CredentialsRejected(ctx) {
		return nil
	}
	k.renewals++
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+k.addr+"/token?name="+k.name, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	token, err := io.ReadAll(resp.Body)
	k.token = string(token)
	return err
}

func (k *graphTicks) login(ctx context.Context, s *transport.Socket) error {
	if err := s.Send(ctx, fmt.Appendf(nil, `{"type":"connection_init","payload":{"token":%q}}`, k.token)); err != nil {
		return err
	}
	for {
		m, err := s.Receive()
		if err != nil {
			return err
		}
		if err := k.control(s, &m); err != nil {
			return err
		}
		if m.Type == "connection_ack" {
			return nil
		}
	}
}

func (k *graphTicks) subscribe(ctx context.Context, s *transport.Socket, since string) error {
	from, _ := strconv.Atoi(since)
	return s.Send(ctx, fmt.Appendf(nil,
		`{"id":"1","type":"subscribe","payload":{"query":%q,"variables":{"since":%d,"until":%d}}}`, cmp.Or(k.query, tickQuery), from, k.until))
}

// errRefused is the answer to an operation that can never succeed.
var errRefused = &refusal{"the operation was refused"}

type refusal struct{ text string }

func (r *refusal) Error() string   { return r.text }
func (r *refusal) Retryable() bool { return false }

func (k *graphTicks) control(s *transport.Socket, m *transport.Message) error {
	var v struct {
		Type    string
		Payload json.RawMessage
	}
	if err := json.Unmarshal(m.Data, &v); err != nil {
		return err
	}
	m.Type, m.Kind = v.Type, decode.KindKeepalive
	switch v.Type {
	case "next":
		var next struct{ Data struct{ Ticks wireMessage } }
		if err := json.Unmarshal(v.Payload, &next); err != nil {
			return err
		}
		m.Kind, m.ID, m.Data = decode.KindData, strconv.Itoa(next.Data.Ticks.Seq), v.Payload
		m.Token = m.ID
	case "ping":
		return s.Send(context.Background(), []byte(`{"type":"pong"}`))
	case "pong":
		s.HeartbeatAcked()
	case "complete":
		return transport.ErrComplete
	case "error":
		return errRefused
	}
	return nil
}

// Tokens expire and connections break until the server completes the subscription.
func TestGraphQLResumes(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	n := startNode(t, "graphql.js")
	k := &graphTicks{addr: n.addr, name: "ticks", token: "ticks-0", until: 310}
	var d endLog
	sub := subscribeWire(t, k.feed(), d.options())
	count(t, sub, 1, k.until)
	if _, err := sub.Next(t.Context()); err != io.EOF {
		t.Errorf("Next after complete: got %v, want io.EOF", err)
	}
	want := "3× 4403, 2× 1006, 2× 4401, 2× 4500, 2× 1001, 2× 4408, 1× complete"
	if got := d.String(); got != want || k.renewals != 5 {
		t.Errorf("got %d new tokens and ends %s, want ends %s", k.renewals, got, want)
	}
	t.Logf("%d ticks; %d new tokens; ends: %s", k.until, k.renewals, &d)
}

// The pings of the subprotocol are answered in both directions.
func TestGraphQLPings(t *testing.T) {
	t.Parallel()
	n := startNode(t, "graphql.js")
	k := &graphTicks{addr: n.addr, name: "pings", token: "pings-1", until: 20, beat: 250 * time.Millisecond}
	k.query = strings.ReplaceAll(tickQuery, "until: $until", "until: $until, every: 75")
	var d endLog
	got, err := data(t, subscribeWire(t, k.feed(), d.options()), 0)
	pings, _ := n.lines("ping pings")
	pongs, _ := n.lines("pong pings")
	if err != nil || len(got) != k.until || d.String() != "1× complete" || len(pings) < 3 || len(pongs) < 10 {
		t.Errorf("got %d ticks, %d pings, %d pongs, %v, ends %s, want %d ticks, at least 3 pings and 10 pongs", len(got), len(pings), len(pongs), err, &d, k.until)
	}
	t.Logf("%d ticks on one connection, %d pings answered, %d asked", len(got), len(pongs), len(pings))
}

// The first attempt is too late, which is close code 4408, and the next one is in time.
func TestGraphQLLateInit(t *testing.T) {
	t.Parallel()
	n := startNode(t, "graphql.js")
	k := &graphTicks{addr: n.addr, name: "late", token: "late-1", until: 10}
	attempts := 0
	k.before = func(ctx context.Context, s *transport.Socket) error {
		if attempts++; attempts > 1 {
			return nil
		}
		for {
			m, err := s.Receive()
			if err != nil {
				return err
			}
			k.control(s, &m) // which answers pings
		}
	}
	var d endLog
	count(t, subscribeWire(t, k.feed(), d.options()), 1, k.until)
	if got := endName(d.await(t, 1)[0].Err); got != "4408" {
		t.Errorf("first connection: got the end %s, want 4408", got)
	}
	t.Logf("10 ticks; ends: %s", &d)
}

// sends returns a before that sends texts.
func sends(texts ...string) func(context.Context, *transport.Socket) error {
	return func(ctx context.Context, s *transport.Socket) error {
		for _, text := range texts {
			if err := s.Send(ctx, []byte(text)); err != nil {
				return err
			}
		}
		return nil
	}
}

// twice subscribes again under the same id after the first tick.
func twice(ctx context.Context, s *transport.Socket) error {
	for {
		m, err := s.Receive()
		if err != nil {
			return err
		}
		s.Unread(m)
		if bytes.Contains(m.Data, []byte(`"next"`)) {
			return s.Send(ctx, []byte(subscribe0))
		}
	}
}

const (
	initRefused = `{"type":"connection_init","payload":{"token":"refused-1"}}`
	subscribe0  = `{"id":"1","type":"subscribe","payload":{"query":"subscription { ticks(since: 0, until: 9) { seq } }"}}`
)

// A client that breaks the rules of the subprotocol stops when the server refuses it.
func TestGraphQLRefused(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	n := startNode(t, "graphql.js")
	for _, tt := range []struct {
		name     string
		change   func(*graphTicks, *transport.WebSocket)
		end      string
		attempts int
	}{
		{"second init", func(k *graphTicks, _ *transport.WebSocket) { k.before = sends(initRefused) }, "4429", 1},
		{"not JSON", func(k *graphTicks, _ *transport.WebSocket) { k.before = sends("{") }, "4400", 1},
		{"subscribe first", func(k *graphTicks, _ *transport.WebSocket) { k.before = sends(subscribe0) }, "4401", 2},
		{"wrong token", func(k *graphTicks, w *transport.WebSocket) { w.URL += "-other" }, "4403", 2},
		{"no subprotocol", func(k *graphTicks, w *transport.WebSocket) { w.Subprotocols = nil }, "4406", 1},
		{"same id", func(k *graphTicks, w *transport.WebSocket) { k.again = twice }, "4409", 0},
		{"no such field", func(k *graphTicks, w *transport.WebSocket) { k.query = "subscription { tocks { seq } }" }, "an error message", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := &graphTicks{addr: n.addr, name: "refused", token: "refused-1", until: 10}
			feed := k.feed()
			tt.change(k, feed)
			var d endLog
			_, err := data(t, subscribeWire(t, feed, d.options()), 0)
			var stop *client.StopError
			if !errors.As(err, &stop) || endName(err) != tt.end || stop.Attempts != tt.attempts {
				t.Errorf("got %v, ends %s, want a StopError with %s after %d attempts", err, &d, tt.end, tt.attempts)
			}
			t.Logf("%v", err)
		})
	}
}
