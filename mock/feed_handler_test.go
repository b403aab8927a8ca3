package mock_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/internal/wiretest"
	"github.com/steadfeed/steadfeed/transport"
)

// do makes a request. Headers are alternating names and values.
func do(t *testing.T, c *http.Client, url string, header ...string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err == nil {
		t.Cleanup(func() { resp.Body.Close() })
	}
	return resp, err
}

func TestWireFormats(t *testing.T) {
	frame := func(f decode.Frame) mock.Step { return mock.Frame(f) }
	for name, tt := range map[string]struct {
		step        mock.Step
		sse, ndjson string
	}{
		"event":             {mock.Event("7", "text"), "id: 7\ndata: text\n\n", `{"id":"7","data":"text"}` + "\n"},
		"no id":             {mock.Event("", "text"), "data: text\n\n", `{"data":"text"}` + "\n"},
		"no data":           {mock.Event("7", ""), "id: 7\ndata: \n\n", `{"id":"7","data":""}` + "\n"},
		"type":              {frame(decode.Frame{ID: "7", Type: "update", Data: []byte("x")}), "event: update\nid: 7\ndata: x\n\n", `{"id":"7","type":"update","data":"x"}` + "\n"},
		"lines":             {mock.Event("7", "a\r\nb\rc\nd\n"), "id: 7\ndata: a\ndata: b\ndata: c\ndata: d\ndata: \n\n", `{"id":"7","data":"a\r\nb\rc\nd\n"}` + "\n"},
		"object":            {mock.Event("7", `{"a": 1}`), "id: 7\ndata: {\"a\": 1}\n\n", `{"a": 1}` + "\n"},
		"long object":       {mock.Event("7", "\n{\n\"a\": \"\\n\" }"), "id: 7\ndata: \ndata: {\ndata: \"a\": \"\\n\" }\n\n", `{"a":"\n"}` + "\n"},
		"incomplete object": {mock.Event("7", `{"a"`), "id: 7\ndata: {\"a\"\n\n", `{"id":"7","data":"{\"a\""}` + "\n"},
		"array":             {mock.Event("7", `[1]`), "id: 7\ndata: [1]\n\n", `{"id":"7","data":"[1]"}` + "\n"},
		"markup":            {mock.Event("7", `<&>`), "id: 7\ndata: <&>\n\n", `{"id":"7","data":"<&>"}` + "\n"},
		"keepalive":         {mock.Keepalive(), ":\n", "\n"},
		"comment":           {frame(decode.Frame{Kind: decode.KindComment, Data: []byte("a\nb")}), ":a\n:b\n", "\n"},
		"retry":             {wiretest.Retry(1500 * time.Microsecond), "retry: 2\n\n", "\n"},
		"position":          {wiretest.Position("9"), "id: 9\n\n", `{"id":"9"}` + "\n"},
		"no position":       {wiretest.Position(""), "id: \n\n", "{}\n"},
		"malformed":         {mock.Malformed([]byte("\xff{\n")), "\xff{\n", "\xff{\n"},
	} {
		value := strings.TrimSuffix(tt.ndjson, "\n")
		seq, length := "\x1e"+tt.ndjson, fmt.Sprintf("%d\r\n%s\r\n", len(value)+2, value)
		switch {
		case name == "malformed":
			seq, length = tt.ndjson, tt.ndjson
		case value == "":
			seq, length = "\n", "\r\n"
		}
		for _, wire := range []struct {
			format      decode.Format
			media, want string
		}{
			{decode.SSE{}, "text/event-stream", tt.sse},
			{decode.NDJSON, "application/x-ndjson", tt.ndjson},
			{decode.ConcatJSON, "application/json", tt.ndjson},
			{decode.JSONSeq, "application/json-seq", seq},
			{decode.LengthPrefixed, "application/json", length},
		} {
			synctest.Test(t, func(t *testing.T) {
				feed := mock.NewFeed(tt.step, mock.End())
				srv := wiretest.Serve(t, feed.Handler(wire.format))
				resp := get(t, srv, srv.URL)
				body, err := io.ReadAll(resp.Body)
				if string(body) != wire.want || err != nil || resp.Header.Get("Content-Type") != wire.media ||
					resp.Header.Get("Cache-Control") != "no-cache" {
					t.Errorf("%s as %s: got %q, %v; want %q", name, resp.Header.Get("Content-Type"), body, err, wire.want)
				}
			})
		}
	}
}

// A format without an encoder is reported when the handler is made.
func TestHandlerPanicsForOtherFormats(t *testing.T) {
	for _, format := range []decode.Format{nil, decode.Lines, decode.StrictJSON(decode.NDJSON)} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.HasPrefix(got, "mock: Feed.Handler: ") {
					t.Errorf("%T: got panic %q, want one that names Feed.Handler", format, got)
				}
			}()
			mock.NewFeed().Handler(format)
		}()
	}
}

// An event that the framing cannot express breaks the connection, and the attempt has the
// reason.
func TestWireCannotExpressAnEvent(t *testing.T) {
	for name, tt := range map[string]struct {
		frame  decode.Frame
		format decode.Format
	}{
		"line end in the id": {decode.Frame{ID: "7\ndata: injected"}, decode.SSE{}},
		"NUL in the id":      {decode.Frame{ID: "\x00"}, decode.SSE{}},
		"CR in the type":     {decode.Frame{Type: "a\r"}, decode.SSE{}},
		"kind":               {decode.Frame{Kind: 99}, decode.SSE{}},
		"kind as NDJSON":     {decode.Frame{Kind: 99}, decode.NDJSON},
	} {
		synctest.Test(t, func(t *testing.T) {
			feed := mock.NewFeed(mock.Frame(tt.frame))
			srv := wiretest.Serve(t, feed.Handler(tt.format))
			body, err := io.ReadAll(get(t, srv, srv.URL).Body)
			if len(body) != 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: got body %q, %v, want none and io.ErrUnexpectedEOF", name, body, err)
			}
			if a := feed.Attempts()[0]; a.Err == nil || !strings.Contains(a.Err.Error(), "cannot be sent") {
				t.Errorf("%s: got the attempt's error %v, want one that it cannot be sent", name, a.Err)
			}
		})
	}
}

func TestWireEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		last       mock.Step
		clean      bool
		attempt    error
		thereafter int
	}{
		"drop":     {mock.Drop(), false, io.ErrUnexpectedEOF, 200},
		"end":      {mock.End(), true, io.EOF, 200},
		"complete": {mock.Complete(), true, transport.ErrComplete, 204},
		"status":   {mock.Status(503), false, io.ErrUnexpectedEOF, 503},
	} {
		for _, scheme := range []string{"http", "https"} {
			synctest.Test(t, func(t *testing.T) {
				feed := mock.NewFeed(mock.Event("1", "a"), tt.last)
				srv := wiretest.Serve(t, feed.Handler(decode.SSE{}))
				url := scheme + "://feed.test"
				body, err := io.ReadAll(get(t, srv, url).Body)
				if string(body) != "id: 1\ndata: a\n\n" || (err == nil) != tt.clean {
					t.Errorf("%s over %s: got %q, %v, want one event and a clean end: %t", name, scheme, body, err, tt.clean)
				}
				if scheme == "http" && !tt.clean && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%s: got error %v, want io.ErrUnexpectedEOF", name, err)
				}
				if a := feed.Attempts()[0]; !errors.Is(a.Err, tt.attempt) || a.Ended.IsZero() {
					t.Errorf("%s over %s: attempt %+v, want it to end with %v", name, scheme, a, tt.attempt)
				}
				if resp := get(t, srv, url); resp.StatusCode != tt.thereafter {
					t.Errorf("%s over %s: next request: got status %d, want %d", name, scheme, resp.StatusCode, tt.thereafter)
				}
			})
		}
	}
}

func TestWireRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := mock.NewFeed(
			mock.Status(429, http.Header{"retry-after": {"7"}}), mock.Status(301, http.Header{"Location": {"/x"}, "Content-Type": {"text/html"}}),
			mock.Status(204), mock.Refuse(), mock.Refuse(), mock.Event("1", "a"), mock.End(),
		)
		srv := wiretest.Serve(t, feed.Handler(decode.SSE{}))
		client := &http.Client{Transport: srv.Client().Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		for _, want := range []struct {
			code              int
			name, value, body string
		}{
			{429, "Retry-After", "7", "Too Many Requests\n"},
			{301, "Content-Type", "text/html", "Moved Permanently\n"},
			{204, "Connection", "", ""},
		} {
			resp, err := do(t, client, srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode != want.code || resp.Header.Get(want.name) != want.value || string(body) != want.body || err != nil {
				t.Errorf("got %s, %v, %q, %v; want %+v", resp.Status, resp.Header, body, err, want)
			}
		}
		if _, err := do(t, client, "http://feed.test"); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("refused: got %v, want ECONNRESET", err)
		}
		if _, err := do(t, client, "https://feed.test"); err == nil {
			t.Error("refused over HTTP/2: got no error, want one")
		}
		if body, err := io.ReadAll(get(t, srv, srv.URL).Body); len(body) == 0 || err != nil {
			t.Errorf("next request: got %q, %v, want a body and no error", body, err)
		}
		if n := len(feed.Attempts()); n != 6 {
			t.Errorf("got %d attempts, want 6", n)
		}
	})
}

// A consumer that disconnects ends a stall, a pause and silence. Each event has arrived at the
// time of its step.
func TestWireSilence(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		synctest.Test(t, func(t *testing.T) {
			const day = 24 * time.Hour
			feed := mock.NewFeed(mock.Pause(day), mock.Event("1", "a"), mock.Stall(), mock.Event("2", "b"), mock.Pause(9*day))
			srv := wiretest.Serve(t, feed.Handler(decode.SSE{}))
			start := time.Now()
			for n, want := range []string{"id: 1\ndata: a\n\n", "id: 2\ndata: b\n\n"} {
				resp, leave := stream(t, srv, "GET", scheme+"://feed.test", nil)
				buf := make([]byte, 100)
				m, err := io.ReadAtLeast(resp.Body, buf, len(want))
				if string(buf[:m]) != want || err != nil {
					t.Errorf("%s: got %q, %v, want %q", scheme, buf[:m], err, want)
				}
				if d := time.Since(start); d != time.Duration(n+1)*day {
					t.Errorf("%s: event %d came after %v, want %v", scheme, n+1, d, time.Duration(n+1)*day)
				}
				time.Sleep(day)
				leave()
				synctest.Wait()
				if a := feed.Attempts()[n]; a.Err != nil || a.Ended.Sub(a.At) != time.Duration(2-n)*day {
					t.Errorf("%s: got attempt %+v, want no error and an end after %v", scheme, a, time.Duration(2-n)*day)
				}
			}
		})
	}
}

func TestWireToken(t *testing.T) {
	for name, tt := range map[string]struct {
		query  string
		header []string
		from   func(*http.Request) string
		want   string
	}{
		"none":          {"", nil, nil, ""},
		"header":        {"", []string{"Last-Event-ID", "1"}, nil, "1"},
		"query":         {"?since=1", nil, nil, "1"},
		"header wins":   {"?since=0", []string{"Last-Event-ID", "1"}, nil, "1"},
		"custom token":  {"?cursor=1", []string{"Last-Event-ID", "0"}, func(r *http.Request) string { return r.FormValue("cursor") }, "1"},
		"not in UTF-8":  {"?since=%ff", nil, nil, "\xff"},
		"unknown token": {"?since=0", nil, nil, "0"},
	} {
		synctest.Test(t, func(t *testing.T) {
			feed := mock.NewFeed(mock.Event("1", "a"), mock.Event("2", "b"), mock.End(), mock.End())
			feed.Token = tt.from
			if err := play(t, feed); err != io.EOF {
				t.Fatal(err)
			}
			srv := wiretest.Serve(t, feed.Handler(decode.NDJSON))
			resp, err := do(t, srv.Client(), srv.URL+"/"+tt.query, tt.header...)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			wantCode, wantBody := 200, ""
			switch tt.want {
			case "":
			case "1":
				wantBody = `{"id":"2","data":"b"}` + "\n"
			default:
				wantCode, wantBody = 410, "Gone\n"
			}
			if resp.StatusCode != wantCode || string(body) != wantBody {
				t.Errorf("%s: got %s, %q, want %d, %q", name, resp.Status, body, wantCode, wantBody)
			}
			a := feed.Attempts()[1]
			if a.Token != tt.want || len(tt.header) > 0 && a.Header.Get(tt.header[0]) != tt.header[1] {
				t.Errorf("%s: got attempt %+v, want token %q and the headers of the request", name, a, tt.want)
			}
		})
	}
}

// play reads a feed without a wire until its connection ends.
func play(t *testing.T, feed *mock.Feed) error {
	t.Helper()
	c := wiretest.Open(t, feed, "")
	for {
		if _, err := wiretest.ReadFrom(c); err != nil {
			return err
		}
	}
}

// stream sends a request. leave ends it: its context first, because Go 1.27 reads a closed body
// for 50 ms more.
func stream(t *testing.T, srv *mock.Server, method, url string, body io.Reader) (resp *http.Response, leave func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err = srv.Client().Do(req); err != nil {
		t.Fatal(err)
	}
	return resp, func() {
		cancel()
		resp.Body.Close()
	}
}

// A request with a body must not hide that its client has disconnected.
func TestWireRequestWithBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := mock.NewFeed(mock.Event("1", "a"))
		srv := wiretest.Serve(t, feed.Handler(decode.SSE{}))
		_, leave := stream(t, srv, "POST", srv.URL, strings.NewReader(strings.Repeat(" ", 1<<20)))
		synctest.Wait()
		leave()
		synctest.Wait()
		if a := feed.Attempts()[0]; a.Ended.IsZero() || a.Err != nil {
			t.Errorf("got attempt %+v, want it ended without an error", a)
		}
	})
}

type unflushable struct{ http.ResponseWriter }

func TestWireNeedsFlush(t *testing.T) {
	feed := mock.NewFeed(mock.Event("1", "a"), mock.End())
	rec := httptest.NewRecorder()
	feed.Handler(decode.SSE{}).ServeHTTP(unflushable{rec}, httptest.NewRequest("GET", "/", nil))
	if rec.Code != 500 || feed.Attempts()[0].Err == nil || len(feed.Log()) != 0 {
		t.Errorf("got status %d, attempt %+v, want 500, an error and no event", rec.Code, feed.Attempts()[0])
	}
}

// The handlers serve on a real network as well.
func TestWireOnLoopback(t *testing.T) {
	feed := mock.NewFeed(mock.Event("1", "a"), mock.Drop(), mock.Refuse(), mock.Event("2", "b"), mock.End())
	for name, start := range map[string]func(http.Handler) *httptest.Server{"HTTP/1": httptest.NewServer} {
		srv := start(feed.Handler(decode.SSE{}))
		defer srv.Close()
		resp, err := do(t, srv.Client(), srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if string(body) != "id: 1\ndata: a\n\n" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: got %q, %v, want event 1 and io.ErrUnexpectedEOF", name, body, err)
		}
		if _, err := do(t, srv.Client(), srv.URL); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: refused: got %v, want ECONNRESET", name, err)
		}
		resp, err = do(t, srv.Client(), srv.URL, "Last-Event-ID", "1")
		if err != nil {
			t.Fatal(err)
		}
		if body, err = io.ReadAll(resp.Body); string(body) != "id: 2\ndata: b\n\n" || err != nil {
			t.Errorf("%s: got %q, %v, want event 2", name, body, err)
		}
	}
}

// The bytes of a slow or partial frame, and when they arrive.
func TestWireSlowly(t *testing.T) {
	const event = "id: 1\ndata: é\n\n"
	long := strings.Repeat("x", 5000)
	for name, tt := range map[string]struct {
		step  mock.Step
		after time.Duration
		want  string
		cut   bool
	}{
		"one byte":             {mock.Slowly(16*time.Second, mock.Event("1", "é")), time.Second, event[:1], false},
		"half a character":     {mock.Slowly(16*time.Second, mock.Event("1", "é")), 13 * time.Second, event[:13], false},
		"all but one byte":     {mock.Slowly(16*time.Second, mock.Event("1", "é")), 16*time.Second - 1, event[:15], false},
		"all":                  {mock.Slowly(16*time.Second, mock.Event("1", "é")), 16 * time.Second, event, false},
		"part of a long event": {mock.Slowly(256*time.Second, mock.Event("", long)), 128 * time.Second, ("data: " + long)[:2504], false},
		"negative duration":    {mock.Slowly(-1, mock.Event("1", "é")), 0, event, false},
		"malformed":            {mock.Slowly(4*time.Second, mock.Malformed([]byte("abcd"))), 2 * time.Second, "ab", false},
		"part":                 {mock.Partial(mock.Event("1", "é"), 13), 0, event[:13], true},
		"all but four bytes":   {mock.Partial(mock.Event("1", "é"), -4), 0, event[:12], true},
		"more than the event":  {mock.Partial(mock.Event("1", "é"), 999), 0, event[:13], true},
		"less than nothing":    {mock.Partial(mock.Event("1", "é"), -999), 0, "", true},
		"slow partial":         {mock.Slowly(13*time.Second, mock.Partial(mock.Event("1", "é"), 13)), 13 * time.Second, event[:13], true},
		"partial slow":         {mock.Partial(mock.Slowly(13*time.Second, mock.Event("1", "é")), 13), 12 * time.Second, event[:12], false},
		"partial end":          {mock.Partial(mock.End(), 1), 0, "", true},
		"partial malformed":    {mock.Partial(mock.Malformed([]byte("abcd")), 2), 0, "ab", true},
		"slow drop":            {mock.Slowly(time.Hour, mock.Drop()), 0, "", true},
		"slow stall":           {mock.Slowly(time.Hour, mock.Stall()), time.Minute, "", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			feed := mock.NewFeed(tt.step)
			srv := wiretest.Serve(t, feed.Handler(decode.SSE{}))
			body := get(t, srv, srv.URL).Body
			var got []byte
			var failed error
			go func() {
				for buf := make([]byte, 1<<10); failed == nil; {
					var n int
					n, failed = body.Read(buf)
					got = append(got, buf[:n]...)
				}
			}()
			time.Sleep(tt.after)
			synctest.Wait()
			if string(got) != tt.want || (failed != nil) != tt.cut {
				t.Errorf("%s: got %q, %v; want %q", name, got, failed, tt.want)
			}
			if a := feed.Attempts()[0]; tt.cut && !errors.Is(a.Err, io.ErrUnexpectedEOF) || a.Ended.IsZero() == tt.cut {
				t.Errorf("%s: got attempt %+v, want it broken: %t", name, a, tt.cut)
			}
		})
	}
}
