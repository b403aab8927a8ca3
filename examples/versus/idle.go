package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	"github.com/lxzan/gws"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

// idleEnv makes this program hold idle connections. Each entry has a fresh process, because stacks
// that one leaves behind would be used by the next.
const idleEnv = "STEADFEED_VERSUS_IDLE"

// An idleContest is the memory of connections that are silent after one event: heap and stacks of a
// process, and its goroutines, for each connection.
type idleContest struct {
	task    string
	url     string
	over    string // the first entry is compared with this one, too
	holders []holder
}

type holder struct {
	library string
	// open opens a connection and returns once the first event has arrived.
	open func(url string) (stop func(), err error)
}

func idling(server string) []contest {
	return []contest{
		idleContest{"Idle WebSocket", "ws" + strings.TrimPrefix(server, "http") + "/hold", "", []holder{
			{"steadfeed", holdSubscription}, {"coder", holdCoder}, {"gorilla", holdGorilla}, {"gws", holdGWS},
		}},
		idleContest{"Idle HTTP stream", server + "/quiet", "net/http", []holder{
			{"steadfeed", holdStream}, {"net/http", holdResponse},
		}},
	}
}

func (c idleContest) name() string { return c.task }

func (c idleContest) entries() (names []string) {
	for _, h := range c.holders {
		names = append(names, h.library)
	}
	return names
}

func (c idleContest) measure(s settings) (*result, error) {
	res := &result{Task: c.task, Size: fmt.Sprint(s.idle), Columns: []string{"KiB each", "heap KiB", "stack KiB", "goroutines each"}}
	if c.over != "" {
		res.Columns = append(res.Columns, "KiB over "+c.over)
	}
	for _, name := range c.entries() {
		if name == c.over || s.wants(name) {
			res.Rows = append(res.Rows, named(name))
		}
	}
	for range s.turns {
		for i := range res.Rows {
			one, err := idleProcess(c.task, res.Rows[i].Name, c.url, s.idle)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", res.Rows[i].Name, err)
			}
			res.Rows[i].Turns = append(res.Rows[i].Turns, one)
		}
	}
	if base, err := res.row(c.over); err == nil {
		for _, line := range res.Rows {
			for turn, one := range line.Turns {
				line.Turns[turn] = append(slices.Clip(one), one[0]-base.Turns[turn][0])
			}
		}
	}
	return res, nil
}

// idleProcess holds n connections in another process and returns what each costs.
func idleProcess(task, library, url string, n int) ([]float64, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), idleEnv+"=1")
	cmd.Stdin = strings.NewReader(fmt.Sprintf("%s\n%s\n%s\n%d\n", task, library, url, n))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var heap, stacks, goroutines float64
	if _, err := fmt.Sscan(string(out), &heap, &stacks, &goroutines); err != nil {
		return nil, err
	}
	return []float64{heap + stacks, heap, stacks, goroutines}, nil
}

// hold is the other process.
func hold(stdin io.Reader, stdout io.Writer) error {
	in := bufio.NewScanner(stdin)
	var lines []string
	for in.Scan() {
		lines = append(lines, in.Text())
	}
	if len(lines) != 4 {
		return errors.New("holding idle connections: want four lines")
	}
	var n int
	if _, err := fmt.Sscan(lines[3], &n); err != nil {
		return err
	}
	for _, c := range idling("") {
		c := c.(idleContest)
		for _, h := range c.holders {
			if c.task == lines[0] && h.library == lines[1] {
				return holdAll(h, lines[2], n, stdout)
			}
		}
	}
	return fmt.Errorf("unknown idle connection %q", lines[:2])
}

func holdAll(h holder, url string, n int, stdout io.Writer) error {
	first, err := h.open(url) // what all connections share does not count
	if err != nil {
		return err
	}
	defer first()
	before := usage()
	for range n {
		stop, err := h.open(url)
		if err != nil {
			return err
		}
		defer stop()
	}
	after := usage()
	each := func(b, a uint64) float64 { return (float64(a) - float64(b)) / float64(n) }
	_, err = fmt.Fprintln(stdout, each(before.heap, after.heap)/1024, each(before.stacks, after.stacks)/1024,
		each(before.goroutines, after.goroutines))
	return err
}

type used struct{ heap, stacks, goroutines uint64 }

func usage() used {
	runtime.GC()
	runtime.GC() // frees what the first has moved within pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return used{m.HeapAlloc, m.StackInuse, uint64(runtime.NumGoroutine())}
}

// quiet is the server's side of an HTTP stream: it sends one event, then nothing.
func quiet(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, "id: 1\ndata: hello\n\n")
	http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func holdStream(url string) (func(), error) {
	sub, err := client.Subscribe(context.Background(), &transport.HTTP{URL: url}, nil)
	if err != nil {
		return nil, err
	}
	ev, err := sub.Next(context.Background())
	ev.Ack()
	return func() { sub.Close() }, err
}

// holdResponse reads a response on another goroutine, as a program that does something else must.
func holdResponse(url string) (func(), error) {
	resp, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	first := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 512)
		if _, err := resp.Body.Read(buf); err == nil {
			close(first)
		}
		for err == nil {
			_, err = resp.Body.Read(buf)
		}
	}()
	<-first
	return func() { resp.Body.Close(); <-done }, nil
}

// holdSocket is the server's side: it sends one message, then nothing until the client
// disconnects.
func holdSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := openSocket(w, r)
	if err != nil {
		return
	}
	defer conn.Close()
	io.Copy(io.Discard, conn)
}

// openSocket answers a handshake and sends a message.
func openSocket(w http.ResponseWriter, r *http.Request) (net.Conn, error) {
	key := r.Header.Get("Sec-WebSocket-Key")
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept(key))
	conn.Write(append(frameHeader(5), "hello"...))
	return conn, nil
}

func holdSubscription(url string) (func(), error) {
	sub, err := client.Subscribe(context.Background(), &transport.WebSocket{URL: url, CloseCode: -1}, nil)
	if err != nil {
		return nil, err
	}
	ev, err := sub.Next(context.Background())
	ev.Ack()
	return func() { sub.Close() }, err
}

func holdCoder(url string) (func(), error) {
	conn, _, err := coder.Dial(context.Background(), url, nil)
	if err != nil {
		return nil, err
	}
	first := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, _, err := conn.Read(context.Background()); err != nil {
				return
			}
			first <- struct{}{}
		}
	}()
	<-first
	return func() { conn.CloseNow(); <-done }, nil
}

func holdGorilla(url string) (func(), error) {
	conn, _, err := gorilla.DefaultDialer.Dial(url, nil)
	if err != nil {
		return nil, err
	}
	first := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
			first <- struct{}{}
		}
	}()
	<-first
	return func() { conn.Close(); <-done }, nil
}

func holdGWS(url string) (func(), error) {
	h := &gwsHandler{t: &tally{}}
	conn, _, err := gws.NewClient(h, &gws.ClientOption{Addr: url})
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn.ReadLoop()
	}()
	return func() { conn.NetConn().Close(); <-done }, nil
}
