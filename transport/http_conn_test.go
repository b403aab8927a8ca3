package transport_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

func TestMessages(t *testing.T) {
	for name, protocol := range protocols {
		t.Run(name, func(t *testing.T) {
			srv := protocol(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				io.WriteString(w, "retry: 1500\n: hello\nid: 1\nevent: tick\ndata: a\ndata: b\n\ndata: c\n\nid: 2\n\n")
			}))
			conn := open(t, &transport.HTTP{URL: srv.URL, Format: decode.SSE{Comments: true}}, "")
			want := []transport.Message{
				{Kind: decode.KindRetry, Delay: 1500 * time.Millisecond, More: true},
				{Kind: decode.KindComment, Data: []byte(" hello"), More: true},
				{Kind: decode.KindData, Type: "tick", ID: "1", Data: []byte("a\nb"), More: true},
				{Kind: decode.KindData, Type: "message", Data: []byte("c"), More: true},
				{Kind: decode.KindPosition, ID: "2"},
			}
			for i, want := range want {
				got := read(t, conn)
				if got.Kind != want.Kind || got.Delay != want.Delay || got.Type != want.Type || got.ID != want.ID ||
					string(got.Data) != string(want.Data) || !got.More && want.More || got.Gap != nil {
					t.Errorf("message %d is %+v, want %+v", i, got, want)
				}
			}
			if err := readError(t, conn); err != io.EOF {
				t.Errorf("at the end: got %v, want io.EOF", err)
			}
		})
	}
}

// The first byte of application/json selects the framing.
func TestJSONFeeds(t *testing.T) {
	for body, want := range map[string][]string{
		"{\"type\":\"ADDED\"}\n{\"type\":\"BOOKMARK\"}\n": {`{"type":"ADDED"}`, `{"type":"BOOKMARK"}`},
		"[{\"result\":1},\n{\"result\":2}]\n":             {`{"result":1}`, `{"result":2}`},
	} {
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			io.WriteString(w, body)
		})
		conn := open(t, &transport.HTTP{URL: srv.URL}, "")
		for _, event := range want {
			if m := read(t, conn); string(m.Data) != event || m.Kind != decode.KindData {
				t.Errorf("%+v, want %s", m, event)
			}
		}
		if err := readError(t, conn); err != io.EOF {
			t.Error(err)
		}
	}
}

// A skipped frame is a gap on the message after it, and on none before.
func TestOnBadFrame(t *testing.T) {
	long := "data: " + strings.Repeat("x", 100) + "\n\n"
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "id: 1\ndata: a\n\n"+long+long+": after those\n\nid: 2\ndata: b\n\n"+long)
	})
	var bad []int64
	conn := open(t, &transport.HTTP{URL: srv.URL, MaxFrame: 50, OnBadFrame: func(e *decode.FrameError) {
		bad = append(bad, e.Offset)
	}}, "")
	want := []struct {
		kind   decode.Kind
		data   string
		missed uint64
	}{
		{decode.KindData, "a", 0}, {decode.KindKeepalive, "", 2}, {decode.KindKeepalive, "", 0}, {decode.KindData, "b", 0},
		{decode.KindKeepalive, "", 1}, // nothing follows the last
	}
	for i, want := range want {
		m := read(t, conn)
		if m.Kind != want.kind || string(m.Data) != want.data || (m.Gap != nil) != (want.missed > 0) {
			t.Errorf("message %d is %+v, want %+v", i, m, want)
		}
		if m.Gap != nil && (m.Gap.Reason != transport.GapBadFrame || m.Gap.Missed != want.missed || !errors.Is(m.Gap.Err, decode.ErrTooLarge)) {
			t.Errorf("message %d: got gap %+v, want %d missed after a frame that is too large", i, m.Gap, want.missed)
		}
	}
	if err := readError(t, conn); err != io.EOF {
		t.Error(err)
	}
	if !slices.Equal(bad, []int64{15, 123, 261}) {
		t.Errorf("got bad frames at %d, want 15, 123 and 261", bad)
	}
}

// A bad frame after which the framing cannot continue ends the connection.
func TestBadStream(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, "{} oops {}")
	})
	conn := open(t, &transport.HTTP{URL: srv.URL, OnBadFrame: func(e *decode.FrameError) { t.Error(e) }}, "")
	read(t, conn)
	if e := want[*decode.FrameError](t, readError(t, conn)); e.Offset != 3 || e.Resync {
		t.Errorf("got %#v, want offset 3 without a resync", e)
	}
}

func TestCleanEnd(t *testing.T) {
	tests := []struct {
		method string
		end    transport.EndPolicy
		want   error
	}{
		{"", transport.EndByMethod, io.EOF},
		{"GET", transport.EndByMethod, io.EOF},
		{"POST", transport.EndByMethod, transport.ErrComplete},
		{"QUERY", transport.EndByMethod, transport.ErrComplete},
		{"GET", transport.EndFeed, transport.ErrComplete},
		{"POST", transport.EndReconnect, io.EOF},
	}
	for name, protocol := range protocols {
		srv := protocol(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { feed(w, "1\n") }))
		for _, tt := range tests {
			t.Run(fmt.Sprint(name, tt.method, tt.end), func(t *testing.T) {
				conn := open(t, &transport.HTTP{URL: srv.URL, Method: tt.method, End: tt.end}, "")
				read(t, conn)
				if err := readError(t, conn); !errors.Is(err, tt.want) {
					t.Errorf("got error %v, want %v", err, tt.want)
				} else if hint := strings.Contains(err.Error(), "HTTP.End to EndReconnect"); hint != (tt.want == transport.ErrComplete && tt.end == transport.EndByMethod) {
					t.Errorf("got error %v, want the remedy named: %t", err, !hint)
				}
			})
		}
	}
}

// With EndUnexpected, a reply is complete only once OnMessage returns ErrComplete.
func TestEndUnexpected(t *testing.T) {
	done := func(m *transport.Message) error {
		if string(m.Data) == "[DONE]" {
			return transport.ErrComplete
		}
		return nil
	}
	for body, want := range map[string]error{
		"data: a\n\ndata: [DONE]\n\n": transport.ErrComplete,
		"data: a\n\n":                 io.ErrUnexpectedEOF,
		"data: a\n\ndata: [DO":        io.ErrUnexpectedEOF,
		"":                            io.ErrUnexpectedEOF,
	} {
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, body)
		})
		conn := open(t, &transport.HTTP{URL: srv.URL, Method: "POST", End: transport.EndUnexpected, OnMessage: done}, "")
		var err error
		for err == nil {
			_, err = readFrom(conn)
		}
		if !errors.Is(err, want) || want != transport.ErrComplete && retryable(err) != "false" {
			t.Errorf("%q: %v, want %v", body, err, want)
		}
		if body == "data: a\n\n" && !strings.Contains(err.Error(), "before OnMessage returned ErrComplete") {
			t.Errorf("%q: got %v, want one that names OnMessage and ErrComplete", body, err)
		}
	}
	if err := (&transport.HTTP{URL: "http://a.example", End: transport.EndUnexpected}).Validate(); err == nil || !strings.Contains(err.Error(), "HTTP.End: ") {
		t.Errorf("Validate without OnMessage: got %v, want an error about HTTP.End", err)
	}
}

// The error of a POST that is not sent again names the remedy.
func TestErrorOfPOSTNamesTheRemedy(t *testing.T) {
	const remedy = "a POST is not sent again once its response has started: set HTTP.End to EndReconnect if it only subscribes"
	cut := func(w http.ResponseWriter, r *http.Request) {
		feed(w, "1\n")
		panic(http.ErrAbortHandler)
	}
	page := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<h1>Back soon</h1>")
	}
	for name, tt := range map[string]struct {
		serve  http.HandlerFunc
		end    transport.EndPolicy
		class  string
		remedy bool
	}{
		"cut":                {cut, transport.EndByMethod, "permanent", true},
		"cut, EndFeed":       {cut, transport.EndFeed, "permanent", false},
		"cut, EndReconnect":  {cut, transport.EndReconnect, "network", false},
		"page":               {page, transport.EndByMethod, "permanent", true},
		"page, EndReconnect": {page, transport.EndReconnect, "protocol", false},
	} {
		t.Run(name, func(t *testing.T) {
			srv := serve(t, tt.serve)
			conn, err := (&transport.HTTP{URL: srv.URL, Method: "POST", End: tt.end}).Open(t.Context(), "")
			if err == nil {
				defer conn.Close()
				read(t, conn)
				_, err = readFrom(conn)
			}
			if class(err) != tt.class || strings.Contains(err.Error(), remedy) != tt.remedy {
				t.Errorf("got %v of class %s, want %s, and the remedy: %t", err, class(err), tt.class, tt.remedy)
			}
		})
	}
}

// A connection that ends inside a message is neither a clean end nor a complete reply, wherever
// the cut is.
func TestCutConnectionIsNotAnEnd(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n%s\r\n"
	tests := []struct {
		name, typ, header, body string
		events                  int
	}{
		{"in an event", "text/event-stream", "Connection: close\r\n", "data: 1\n\ndata: 2\nid: 7\n", 1},
		{"in a line", "application/x-ndjson", "Connection: close\r\n", "1\n{\"a\":", 1},
		{"in a UTF-8 character", "application/x-ndjson", "Connection: close\r\n", "1\n\"\xe2\x80", 1},
		{"in the Content-Length", "application/x-ndjson", "Content-Length: 100\r\n", "1\n2\n", 2},
		{"in a chunk", "application/x-ndjson", "Transfer-Encoding: chunked\r\n", "ff\r\n1\n2\n", 2},
		{"before the last chunk", "application/x-ndjson", "Transfer-Encoding: chunked\r\n", "4\r\n1\n2\n\r\n", 2},
	}
	for _, tt := range tests {
		for _, method := range []string{"GET", "POST"} {
			t.Run(tt.name+" "+method, func(t *testing.T) {
				srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
					conn, _, err := http.NewResponseController(w).Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					defer conn.Close()
					fmt.Fprintf(conn, head, tt.typ, tt.header)
					io.WriteString(conn, tt.body)
				})
				conn := open(t, &transport.HTTP{URL: srv.URL, Method: method}, "")
				for range tt.events {
					if m := read(t, conn); m.Kind != decode.KindData {
						t.Errorf("got kind %d, want %d", m.Kind, decode.KindData)
					}
				}
				err := readError(t, conn)
				if !unexpectedEOF(err) || errors.Is(err, transport.ErrComplete) {
					t.Errorf("got error %v, want an unexpected EOF", err)
				}
				if method == "POST" && retryable(err) != "false" {
					t.Errorf("got retryable %s, want false: the request must not be sent again", retryable(err))
				}
				if method == "GET" && retryable(err) == "false" {
					t.Errorf("got %v, want a retryable error", err)
				}
			})
		}
	}
}

func TestFrameTooLarge(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { feed(w, "1\n", strings.Repeat("x", 200)+"\n", "2\n") })
	conn := open(t, &transport.HTTP{URL: srv.URL, MaxFrame: 100}, "")
	read(t, conn)
	want[*decode.FrameError](t, readError(t, conn))
}

func TestReset(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		feed(w, "1\n")
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	})
	for _, tt := range []struct{ method, want string }{{"GET", "unset"}, {"POST", "false"}} {
		conn := open(t, &transport.HTTP{URL: srv.URL, Method: tt.method}, "")
		var err error
		for err == nil { // the reset may overtake the event
			_, err = readFrom(conn)
		}
		if !errors.Is(err, syscall.ECONNRESET) || retryable(err) != tt.want {
			t.Errorf("%s: got error %v, retryable %s, want ECONNRESET, %s", tt.method, err, retryable(err), tt.want)
		}
	}
}

func TestRefused(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	for _, method := range []string{"GET", "POST"} { // nothing was sent, so nothing is sent twice
		err = openError(t, &transport.HTTP{URL: "http://" + ln.Addr().String(), Method: method}, "")
		if !errors.Is(err, syscall.ECONNREFUSED) || retryable(err) != "unset" {
			t.Errorf("%s: got error %v, retryable %s, want ECONNREFUSED, unset", method, err, retryable(err))
		}
	}
}

// expired is an error whose methods report what follows.
type expired struct{}

func (expired) Error() string      { return "expired" }
func (expired) RejectsToken() bool { return true }

func TestOnMessage(t *testing.T) {
	onMessage := func(m *transport.Message) error {
		text := string(m.Data)
		switch {
		case text == "beat":
			m.Kind = decode.KindKeepalive
		case text == "mark":
			m.Kind, m.Token = decode.KindPosition, "5"
		case text == "notice":
			m.Gap = &transport.Gap{Reason: transport.GapNotice, Missed: 3}
		case text == "[DONE]":
			return fmt.Errorf("reported: %w", transport.ErrComplete)
		case text == "reconnect":
			return io.EOF
		case text == "expired":
			return expired{}
		case text == "lost":
			m.Gap = &transport.Gap{Reason: transport.GapNotice}
			return expired{}
		case strings.HasPrefix(text, "wrapped "):
			m.Data, m.Type, m.ID = m.Data[len("wrapped "):], "cut", "7"
		}
		return nil
	}
	for _, tt := range []struct {
		name, body string
		method     string
		want       []string // messages
		end        error
	}{
		{"changes", "a\n\nbeat\nmark\nnotice\nwrapped b\n", "", []string{"data a", "keepalive", "keepalive beat", "position mark 5", "data notice, notice", "data b 7 cut"}, io.EOF},
		{"complete", "a\n[DONE]\nb\n", "", []string{"data a"}, transport.ErrComplete},
		{"complete reply", "a\n[DONE]\nb\n", "POST", []string{"data a"}, transport.ErrComplete},
		{"reconnect", "a\nreconnect\nb\n", "", []string{"data a"}, io.EOF},
		{"rejected", "expired\nb\n", "", nil, expired{}},
		{"a loss is reported first", "lost\nb\n", "", []string{"keepalive, notice"}, expired{}},
		{"a bad frame is reported first", "this line is too long\nexpired\nb\n", "", []string{"keepalive, bad frame"}, expired{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, tt.body) })
			feed := &transport.HTTP{
				URL: srv.URL, Method: tt.method, Format: decode.Lines, OnMessage: onMessage,
				MaxFrame: 12, OnBadFrame: func(*decode.FrameError) {},
			}
			conn := open(t, feed, "")
			var got []string
			for range tt.want {
				got = append(got, describe(read(t, conn)))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q\nwant %q", got, tt.want)
			}
			for range 2 {
				if err := readError(t, conn); !errors.Is(err, tt.end) {
					t.Errorf("got the end %v, want %v", err, tt.end)
				}
			}
		})
	}
}

// A POST is not sent again, whatever error OnMessage returns.
func TestOnMessageErrorOfPOST(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "a\n") })
	conn := open(t, &transport.HTTP{
		URL: srv.URL, Method: "POST", Format: decode.Lines, OnMessage: func(*transport.Message) error { return expired{} },
	}, "")
	if err := readError(t, conn); retryable(err) != "false" || !errors.Is(err, expired{}) {
		t.Errorf("got %v, retryable %s, want %v, false", err, retryable(err), expired{})
	}
}

// OnMessage is called before it is known whether there is more.
func TestOnMessageSeesNoMoreOfAnotherMessage(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "a\nb\nc\n") })
	var seen []bool
	conn := open(t, &transport.HTTP{URL: srv.URL, Format: decode.Lines, OnMessage: func(m *transport.Message) error {
		seen = append(seen, m.More)
		return nil
	}}, "")
	var m transport.Message // one for all, as the client has it
	for range 3 {
		if err := conn.Read(&m); err != nil {
			t.Fatal(err)
		}
	}
	if slices.Contains(seen, true) {
		t.Errorf("got More %v, want false for each message", seen)
	}
}

// A Message that OnMessage replaces keeps the gap, and leaves nothing in the next message.
func TestOnMessageReplacesMessage(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "this line is too long\na\nb\n") })
	conn := open(t, &transport.HTTP{
		URL: srv.URL, Format: decode.Lines, MaxFrame: 12, OnBadFrame: func(*decode.FrameError) {},
		OnMessage: func(m *transport.Message) error {
			if string(m.Data) == "a" {
				*m = transport.Message{Data: m.Data, Attempt: 3}
			}
			return nil
		},
	}, "")
	var m transport.Message // one for all, as the client has it
	for _, want := range []string{"data a, bad frame, attempt 3", "data b, attempt 0"} {
		if err := conn.Read(&m); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%s, attempt %d", describe(m), m.Attempt); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func describe(m transport.Message) string {
	kind := map[decode.Kind]string{decode.KindData: "data", decode.KindKeepalive: "keepalive", decode.KindPosition: "position"}[m.Kind]
	parts := slices.DeleteFunc([]string{kind, string(m.Data), cmp.Or(m.ID, m.Token), m.Type}, func(s string) bool { return s == "" })
	text := strings.Join(parts, " ")
	if m.Gap != nil {
		text += ", " + string(m.Gap.Reason)
	}
	return text
}

// The last line of a body may lack its line end. It is complete if the end of the body is marked
// or the line is a JSON value that marks its own end. Otherwise the connection may have been lost
// inside it.
func TestLastLineWithoutEnd(t *testing.T) {
	const chunked, closed = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n"
	for _, tt := range []struct {
		name, response string
		format         decode.Format
		events         int
		end            error
	}{
		{"chunked", chunked + "3\r\none\r\n4\r\n\ntwo\r\n0\r\n\r\n", decode.Lines, 2, io.EOF},
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\none\ntwo", decode.Lines, 2, io.EOF},
		{"closed", closed + "one\ntw", decode.Lines, 1, io.ErrUnexpectedEOF},
		{"closed after a line", closed + "one\ntwo\n", decode.Lines, 2, io.EOF},
		{"closed, a number", closed + "1 23", decode.ConcatJSON, 1, io.ErrUnexpectedEOF},
		{"closed, an object", closed + "1\n{\"a\":1}", decode.NDJSON, 2, io.EOF},
		{"closed, half an object", closed + "1\n{\"a\":", decode.NDJSON, 1, io.ErrUnexpectedEOF},
		{"closed after a bad frame", closed + "too large\ntw", decode.Lines, 1, io.ErrUnexpectedEOF}, // the loss is reported first
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				io.WriteString(conn, tt.response)
			})
			feed := &transport.HTTP{URL: srv.URL, Format: tt.format, MaxFrame: 8, OnBadFrame: func(*decode.FrameError) {}}
			conn := open(t, feed, "")
			for range tt.events {
				read(t, conn)
			}
			for range 2 {
				if err := readError(t, conn); !errors.Is(err, tt.end) {
					t.Errorf("got the end %v, want %v", err, tt.end)
				}
			}
		})
	}
}
