package monitorpage_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/client/monitorpage"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(t testing.TB, h http.Handler, target string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
	return w
}

func subscribe(t testing.TB, src transport.Source, opts *client.Options) *client.Subscription {
	t.Helper()
	sub, err := client.Subscribe(t.Context(), src, opts)
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

// Secrets that come in by any route are neither in the HTML nor in the JSON.
func TestNoSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(client.Monitor)
		secret := func(where string) string { return "s3cret-" + where }
		srv := mock.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Answer", secret("header"))
			w.WriteHeader(503)
			fmt.Fprintf(w, `{"error":{"message":%q}}`, secret("body"))
		}))
		defer srv.Close()
		feeds := []transport.Source{
			&transport.HTTP{URL: "https://user:" + secret("password") + "@h.example/" + secret("path") + "?k=" + secret("query"),
				Header: http.Header{"Authorization": {secret("auth")}}, Client: srv.Client()},
			&transport.HTTP{URL: "https://h.example/", Client: srv.Client(),
				Prepare: func(*http.Request) error { return errors.New(secret("prepare")) }},
			mock.NewFeed(mock.Event(secret("token"), secret("payload")), mock.Pause(time.Hour)),
			mock.NewFeed(mock.Event("1", secret("payload")), mock.Pause(time.Hour)),
			gapped{mock.NewFeed(mock.Event("1", secret("payload")), mock.Pause(time.Hour)), secret("gap")},
		}
		for i, src := range feeds {
			sub := subscribe(t, src, &client.Options{Name: fmt.Sprint("n", i), Monitor: m, StartAfter: secret("start"), MaxAttempts: 1,
				Store:      &failing{secret: secret("store")},
				DeadLetter: func(context.Context, client.Event, error) error { return errors.New(secret("deadletter")) }})
			defer sub.Close()
			go func() {
				for ev, err := range sub.Events() {
					if err == nil {
						ev.Nack(errors.New(secret("nack")))
					}
				}
			}()
		}
		time.Sleep(time.Minute)
		page := &monitorpage.Page{Monitor: m, Actions: true}
		for id := range len(feeds) + 1 {
			for _, format := range []string{"html", "json"} {
				w := get(t, page, fmt.Sprintf("/?id=%d&format=%s", id, format))
				if w.Code != 200 || strings.Contains(w.Body.String(), "s3cret") {
					t.Errorf("id %d, %s: got %d with\n%s\nwant no secret", id, format, w.Code, w.Body)
				}
			}
		}
	})
}

// A gapped feed reports a loss with each message, for a reason of its own.
type gapped struct {
	transport.Transport
	reason string
}

func (g gapped) Open(ctx context.Context, token string) (*transport.Session, error) {
	s, err := g.Transport.Open(ctx, token)
	if err == nil {
		s.Conn = gappedConn{s.Conn, g.reason}
	}
	return s, err
}

type gappedConn struct {
	transport.Conn
	reason string
}

func (c gappedConn) Read(m *transport.Message) error {
	err := c.Conn.Read(m)
	m.Gap = &transport.Gap{Reason: transport.GapReason(c.reason), Err: errors.New(c.reason)}
	return err
}

// A failing store fails with a secret, from its second Save on.
type failing struct {
	secret string
	saves  int
}

func (*failing) Load(context.Context, string) ([]byte, string, error) { return nil, "", nil }

func (f *failing) Save(context.Context, string, []byte, string) (string, error) {
	if f.saves++; f.saves > 1 {
		return "", errors.New(f.secret)
	}
	return "1", nil
}

func TestHostileNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(client.Monitor)
		for _, name := range []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, "a\r\n\r\ndata: <b>", "</title><b>", "{{.}}`'"} {
			sub := subscribe(t, mock.NewFeed(mock.Pause(time.Hour)), &client.Options{Name: name, Monitor: m})
			defer sub.Close()
		}
		page := &monitorpage.Page{Monitor: m}
		for _, target := range []string{"/", "/?id=1", "/?id=2", "/?id=3", "/?id=4", "/?q=%22%3E%3Cimg&sort=name&health=%22%3E%3Cimg"} {
			w := get(t, page, target)
			body := w.Body.String()
			if w.Code != 200 || strings.Contains(body, "<img") || strings.Contains(body, "alert(1)</script>") || strings.Contains(body, "<b>") {
				t.Errorf("%s: got %d with\n%s\nwant names escaped", target, w.Code, body)
			}
		}
	})
}

func TestHeaders(t *testing.T) {
	h := get(t, &monitorpage.Page{Monitor: new(client.Monitor)}, "/").Header()
	for key, part := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
		"Content-Security-Policy": "default-src 'none'; style-src 'sha256-", "Content-Type": "text/html"} {
		if !strings.Contains(h.Get(key), part) || strings.Contains(h.Get(key), "unsafe") {
			t.Errorf("%s: got %q, want %q", key, h.Get(key), part)
		}
	}
}

type answer struct {
	Total, Matches, Page, Pages int
	Subscriptions               []struct{ Name, Health, State string }
}

// The ill ones come first, and JSON is what Accept asks for.
func TestListOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(client.Monitor)
		for name, feed := range map[string]*mock.Feed{
			"a": mock.NewFeed(mock.Event("1", "x"), mock.Pause(time.Hour)),
			"b": mock.NewFeed(mock.Status(503), mock.Status(503), mock.Status(503)),
			"c": mock.NewFeed(mock.Status(404)),
		} {
			sub := subscribe(t, feed, &client.Options{Name: name, Monitor: m})
			defer sub.Close()
		}
		time.Sleep(time.Second)
		page := &monitorpage.Page{Monitor: m}
		for target, want := range map[string]string{"/": "c b a", "/?sort=-health": "a b c", "/?sort=name": "a b c", "/?q=B": "b", "/?health=ill": "c b",
			"/?health=ok": "a", "/?sort=nonsense&page=-7": "c b a"} {
			r := httptest.NewRequest("GET", target, nil)
			r.Header.Set("Accept", "application/json")
			w := httptest.NewRecorder()
			page.ServeHTTP(w, r)
			var a answer
			if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, s := range a.Subscriptions {
				names = append(names, s.Name)
			}
			if got := strings.Join(names, " "); got != want {
				t.Errorf("%s: got %q, want %q", target, got, want)
			}
		}
	})
}

// Each health is recognized, and since when it is that.
func TestHealths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, store, start := new(client.Monitor), mock.Store{}, time.Now()
		holds := func() *mock.Feed {
			return mock.NewFeed(mock.Pause(5*time.Second), mock.Event("1", "x"), mock.Event("2", "x"), mock.Pause(time.Hour))
		}
		breaks := func() *mock.Feed {
			return mock.NewFeed(mock.Event("1", "x"), mock.Pause(25*time.Second), mock.Drop(), mock.Pause(time.Hour))
		}
		blind := leasedTo(t, "blind")
		for name, c := range map[string]struct {
			feed *mock.Feed
			opts client.Options
		}{
			"failed":     {mock.NewFeed(mock.Pause(3*time.Second), mock.Status(404)), client.Options{Retry: retry.Constant(time.Second)}},
			"stuck":      {holds(), client.Options{StuckAfter: 10 * time.Second}},
			"outage":     {mock.NewFeed(mock.Event("1", "x"), mock.Pause(7*time.Second), mock.Drop(), mock.Status(503)), client.Options{Retry: retry.Constant(time.Minute)}},
			"checkpoint": {mock.NewFeed(mock.Event("1", "x"), mock.Pause(time.Hour)), client.Options{Store: &store}},
			"full":       {holds(), client.Options{Buffer: 1}},
			"paused":     {mock.NewFeed(mock.Pause(time.Hour)), client.Options{}},
			"standby":    {mock.NewFeed(mock.Pause(time.Hour)), client.Options{Store: leasedTo(t, "standby")}},
			"blind":      {mock.NewFeed(mock.Pause(time.Hour)), client.Options{Store: blind}},
			"ok":         {mock.NewFeed(mock.Pause(time.Hour)), client.Options{}},
			"ok, breaks": {breaks(), client.Options{Retry: retry.Constant(time.Hour)}},
			"ended":      {mock.NewFeed(mock.Pause(4*time.Second), mock.Complete()), client.Options{}},
		} {
			c.opts.Name, c.opts.Monitor = name, m
			sub := subscribe(t, c.feed, &c.opts)
			defer sub.Close()
			switch name {
			case "paused":
				sub.Pause()
			case "blind":
				blind.OnLoad(&mock.Fault{Count: -1})
			case "checkpoint":
				store.OnSave(&mock.Fault{Count: -1})
			}
			if name != "stuck" && name != "full" {
				go sub.Process(t.Context(), func(context.Context, client.Event) error { return nil }, nil)
			}
		}
		page := &monitorpage.Page{Monitor: m}
		since := func(after time.Duration) map[string]string {
			time.Sleep(time.Until(start.Add(after)))
			var list struct {
				Subscriptions []struct {
					Name, Health string
					Since        time.Time `json:"health_since"`
				}
			}
			if err := json.Unmarshal(get(t, page, "/?format=json").Body.Bytes(), &list); err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, s := range list.Subscriptions {
				got[s.Name] = s.Health
				if !s.Since.IsZero() {
					got[s.Name] += fmt.Sprint(" ", s.Since.Sub(start))
				}
			}
			return got
		}
		want := map[string]string{"failed": "failed 4s", "stuck": "stuck 10s", "outage": "outage 7s", "checkpoint": "checkpoint 0s",
			"full": "full 5s", "paused": "paused 0s", "standby": "ok", "blind": "outage", "ok": "ok", "ok, breaks": "ok", "ended": "ended 4s"}
		for name, got := range since(30 * time.Second) {
			if name == "blind" {
				got, _, _ = strings.Cut(got, " ") // a standby reads the record at random intervals
			}
			if got != want[name] {
				t.Errorf("%s: got %q, want %q", name, got, want[name])
			}
		}
		if got := since(40 * time.Second)["ok, breaks"]; got != "outage 25s" {
			t.Errorf("a connection that is not replaced: got %q, want an outage since 25s", got)
		}
	})
}

// leasedTo returns a store in which another subscription has a lease on a name.
func leasedTo(t *testing.T, name string) *mock.Store {
	store := new(mock.Store)
	sub := subscribe(t, mock.NewFeed(mock.Pause(time.Hour)), &client.Options{Name: name, Store: store, Lease: time.Hour})
	t.Cleanup(func() { sub.Close() })
	return store
}

// The links of the list keep what was asked for, and work below any prefix.
func TestLinks(t *testing.T) {
	page := &monitorpage.Page{Monitor: monitorOf(t, 201)}
	for target, want := range map[string][]string{
		"/":                          {`"?format=json"`, `"?sort=-health"`, `"?page=2"`, `1 to 100 of 201`},
		"/?page=3":                   {`"?page=2"`, `201 to 201 of 201`},
		"/?q=FEED-00&sort=name":      {`"?q=FEED-00&amp;sort=name&amp;format=json"`, `"?q=FEED-00&amp;sort=-name"`},
		"/?id=1":                     {`"?"`, `"?id=1&amp;format=json"`},
		"/?health=failed&sort=-name": {`"?health=failed&amp;sort=name"`, `No subscription matches.`},
	} {
		body := get(t, page, target).Body.String()
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("%s: got\n%s\nwant %s", target, body, w)
			}
		}
	}
}

func TestActions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(client.Monitor)
		sub := subscribe(t, mock.NewFeed(mock.Pause(time.Hour)), &client.Options{Monitor: m})
		defer sub.Close()
		post := func(page http.Handler, origin, action string) int {
			r := httptest.NewRequest("POST", "http://page.example/feeds?id=1", strings.NewReader("action="+action))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Origin", origin)
			w := httptest.NewRecorder()
			page.ServeHTTP(w, r)
			return w.Code
		}
		const same, other = "http://page.example", "http://evil.example"
		page := &monitorpage.Page{Monitor: m, Actions: true}
		for _, c := range []struct {
			page           http.Handler
			origin, action string
			code           int
			paused         bool
		}{
			{&monitorpage.Page{Monitor: m}, same, "pause", 405, false},
			{page, other, "pause", 403, false},
			{page, "null", "pause", 403, false},
			{page, same, "pause", 303, true},
			{page, other, "resume", 403, true},
			{page, same, "resume", 303, false},
			{page, same, "reconnect", 303, false},
			{page, same, "close", 400, false},
		} {
			if code := post(c.page, c.origin, c.action); code != c.code || (sub.Stats().State == client.StatePaused) != c.paused {
				t.Errorf("%s from %s: got %d, %v, want %d, paused %v", c.action, c.origin, code, sub.Stats().State, c.code, c.paused)
			}
		}
	})
}

// Updates come every 2 s, and a shutdown of the server ends them.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(client.Monitor)
		sub := subscribe(t, mock.NewFeed(mock.Pause(time.Hour)), &client.Options{Name: "orders\r\rdata: x", Monitor: m})
		defer sub.Close()
		page := &monitorpage.Page{Monitor: m}
		network := new(mock.Network)
		l, err := network.Listen("page.example:80")
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: page}
		go srv.Serve(l)
		web := &http.Client{Transport: &http.Transport{DialContext: network.Dial}}
		defer web.CloseIdleConnections()
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://page.example/", nil)
		r.Header.Set("Accept", "text/event-stream")
		resp, err := web.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		start, n := time.Now(), 0
		for f, err := range decode.NewReader(bufio.NewReader(resp.Body), decode.SSE{}).Frames() {
			if err != nil {
				break
			}
			if n++; !strings.Contains(string(f.Data), "orders") || !strings.Contains(string(f.Data), "</footer>") {
				t.Fatalf("got %s, want the list", f.Data)
			}
			if n == 3 {
				go srv.Shutdown(t.Context())
			}
		}
		if d := time.Since(start); n != 3 || d != 4*time.Second {
			t.Errorf("got %d updates in %v, want 3 in 4 s, and then the end", n, d)
		}
	})
}

// A stream of a subscription that is not known, or no longer, is refused: a browser then asks again.
func TestStreamOfNothing(t *testing.T) {
	r := httptest.NewRequest("GET", "/?id=7", nil)
	r.Header.Set("Accept", "text/event-stream")
	w := httptest.NewRecorder()
	(&monitorpage.Page{Monitor: new(client.Monitor)}).ServeHTTP(w, r)
	if w.Code != 404 {
		t.Errorf("got %d, want 404", w.Code)
	}
}

// The page of a subscription has what happened to it, and where its consumer is stuck.
func TestOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(client.Monitor)
		feed := mock.NewFeed(mock.Event("1", "12345"), mock.Event("2", "12345"), mock.Keepalive(), mock.Pause(time.Minute), mock.Drop(), mock.Status(503), mock.Status(410),
			mock.Event("3", strings.Repeat("x", 1500)), mock.Event("4", "x"), mock.Pause(time.Hour))
		sub := subscribe(t, feed, &client.Options{Name: `a "b"`, Monitor: m, MaxAttempts: 1, Retry: retry.Constant(time.Second),
			Overflow: client.OverflowDropOldest, Buffer: 2, StuckAfter: time.Minute,
			DeadLetter: func(context.Context, client.Event, error) error { return nil },
			EventTime:  func(ev client.Event) time.Time { return ev.Received.Add(-90 * time.Second) }})
		defer sub.Close()
		done := make(chan error)
		go func() {
			done <- sub.Process(t.Context(), func(ctx context.Context, ev client.Event) error {
				if ev.ID == "1" {
					return errors.New("refused")
				}
				standStill(ctx)
				return nil
			}, nil)
		}()
		time.Sleep(3 * time.Minute)
		body := get(t, &monitorpage.Page{Monitor: m}, "/?id=1").Body.String()
		_, shown, _ := strings.Cut(body, "<header>")
		text := strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(shown, " ")), " ")
		for _, want := range []string{"a &#34;b&#34;", "stuck for 2 min · live for 1 min Connection", "Lag when received 1 min", "Keepalives 1", "Dead-lettered 1",
			"Failures 3 network 1, server 1, token rejected 1", "Connections 2", "Received 4 1.51 kB", "attempt 1", "Gaps 1 0 repaired, last ",
			"monitorpage_test.standStill page_test.go:", "token rejected", "Last 2 min"} {
			if !strings.Contains(text, want) {
				t.Errorf("got %s\nwant %q", text, want)
			}
		}
		if strings.Contains(text, "(*loop)") || strings.Contains(body, "<form") {
			t.Errorf("got %s\nwant consumers only, and no buttons", body)
		}
		sub.Close() // ends the context of the handler
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

//go:noinline
func standStill(ctx context.Context) { <-ctx.Done() }

// Many viewers of the same page get the same bytes at the same moment.
func TestStreamsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := &monitorpage.Page{Monitor: monitorOf(t, 100)}
		ctx, stop := context.WithCancel(t.Context())
		var viewers sync.WaitGroup
		var first [3]*capture
		for i := range first {
			first[i] = &capture{ResponseRecorder: httptest.NewRecorder()}
			viewers.Go(func() {
				r := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
				r.Header.Set("Accept", "text/event-stream")
				page.ServeHTTP(first[i], r)
			})
		}
		time.Sleep(5 * time.Second)
		stop()
		viewers.Wait()
		for i, c := range first {
			if len(c.frames) != 3 {
				t.Fatalf("viewer %d: got %d frames in 5 s, want 3", i, len(c.frames))
			}
			for n, f := range c.frames {
				if f != first[0].frames[n] {
					t.Errorf("viewer %d, frame %d: got another one than viewer 0", i, n)
				}
				if n > 0 && f == c.frames[n-1] {
					t.Errorf("viewer %d, frame %d: got the previous one again", i, n)
				}
			}
		}
	})
}

// A capture keeps where the data of each Write is.
type capture struct {
	*httptest.ResponseRecorder
	frames []*byte
}

func (c *capture) Write(b []byte) (int, error) {
	c.frames = append(c.frames, &b[0])
	return len(b), nil
}

func (c *capture) SetWriteDeadline(time.Time) error { return nil }

func monitorOf(t testing.TB, n int) *client.Monitor {
	m := new(client.Monitor)
	for i := range n {
		sub := subscribe(t, mock.NewFeed(mock.Status(503)), &client.Options{Name: fmt.Sprintf("feed-%04d", i), Monitor: m, Retry: retry.Constant(time.Hour)})
		t.Cleanup(func() { sub.Close() })
	}
	return m
}

func BenchmarkPage(b *testing.B) {
	page := &monitorpage.Page{Monitor: monitorOf(b, 5000)}
	for _, format := range []string{"html", "json"} {
		b.Run(format, func(b *testing.B) {
			size := 0
			for b.Loop() {
				size = get(b, page, "/?format="+format).Body.Len()
			}
			b.ReportMetric(float64(size), "body-bytes")
		})
	}
}
