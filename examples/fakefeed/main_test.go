package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A person presses the buttons of a fakefeed.
type person struct {
	t      *testing.T
	url    string
	client *http.Client
}

func (p person) press(what string, fields ...string) {
	p.t.Helper()
	if code, text := p.try(what, fields...); code != http.StatusOK {
		p.t.Errorf("%s %q: got status %d, %s, want 200", what, fields, code, text)
	}
}

// try presses a button and returns the answer. Fields are names and values in turn.
func (p person) try(what string, fields ...string) (int, string) {
	p.t.Helper()
	form := make(url.Values)
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	resp, err := p.client.PostForm(p.url+"/do/"+what, form)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

func (p person) look() (s state) {
	p.t.Helper()
	resp, err := p.client.Get(p.url + "/state")
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		p.t.Fatal(err)
	}
	return s
}

// in starts a fakefeed in memory, inside a bubble.
func in(t *testing.T, f func(t *testing.T, p person)) {
	synctest.Test(t, func(t *testing.T) {
		srv := mock.NewServer(newFakefeed(nil).handler())
		defer func() {
			if err := srv.Close(); err != nil {
				t.Error(err)
			}
		}()
		f(t, person{t, srv.URL, srv.Client()})
	})
}

// Whatever faults are injected, the consumer gets every event.
func TestConsumerGetsEveryEvent(t *testing.T) {
	for _, wire := range []string{"sse", "ndjson", "ws"} {
		in(t, func(t *testing.T, p person) {
			var source transport.Transport = &transport.HTTP{URL: p.url + "/" + wire, Client: p.client}
			if wire == "ws" {
				source = &transport.WebSocket{
					URL: p.url + "/ws", Client: p.client, End: transport.EndFeed, IdleTimeout: time.Minute,
					Resume: transport.ResumeQuery("since"),
				}
			}
			options := &client.Options{}
			if wire != "sse" {
				options.TokenOf = client.Field("id")
			}
			sub, err := client.Subscribe(t.Context(), source, options)
			if err != nil {
				t.Fatal(err)
			}
			defer sub.Close()
			synctest.Wait()
			for n, trouble := range []string{"keepalive", "drop", "end", "stall", "refuse", "pause 1h", "status 503", "complete"} {
				p.press("publish", "data", fmt.Sprintf(`{"id":"%d"}`, n+1), "type", "fruit")
				what, value, _ := strings.Cut(trouble, " ")
				p.press(what, "value", value)
				time.Sleep(5 * time.Minute)
			}
			n := 0
			for ev, err := range sub.Events() {
				if n++; err != nil || string(ev.Data) != fmt.Sprintf(`{"id":"%d"}`, n) || ev.Gap != nil {
					t.Fatalf("%s: got %s, gap %v, error %v, want event %d without a gap", wire, ev.Data, ev.Gap, err, n)
				}
			}
			if n != 8 {
				t.Errorf("%s: got %d events, want 8", wire, n)
			}
		})
	}
}

func TestStateShowsWhatHappens(t *testing.T) {
	in(t, func(t *testing.T, p person) {
		if s := p.look(); s.Connected != 0 || s.Sent != 0 || len(s.Consumers) != 0 {
			t.Errorf("before the first consumer: got %+v, want nothing", s)
		}
		req, _ := http.NewRequest("GET", p.url+"/sse", nil)
		req.Header.Set("User-Agent", "a test")
		resp, err := p.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		p.press("publish", "data", "a", "type", "letter")
		for range 25 {
			p.press("publish", "data", "b")
		}
		synctest.Wait()
		s := p.look()
		if s.Connected != 1 || s.Sent != 26 || len(s.Events) != shown || s.Events[shown-1].ID != "26" {
			t.Errorf("with a consumer: got %+v, want one connected and 26 events sent", s)
		}
		if c := s.Consumers[0]; c.Wire != "sse" || c.Agent != "a test" || c.Token != "" || c.Ended != nil || c.N != 1 {
			t.Errorf("the consumer: got %+v, want the first one, over SSE, without a token", c)
		}
		p.press("drop")
		if b, err := io.ReadAll(resp.Body); err == nil || !bytes.HasPrefix(b, []byte("event: letter\nid: 1\ndata: a\n\n")) {
			t.Errorf("got %q, %v, want event 1 and an error", b, err)
		}
		resp.Body.Close()
		synctest.Wait()
		if s := p.look(); s.Connected != 0 || s.Consumers[0].Ended == nil || !strings.Contains(s.Consumers[0].Why, "dropped") {
			t.Errorf("after the drop: got %+v, want nothing connected and the reason", s)
		}
		for range 30 {
			resp, err := p.client.Get(p.url + "/ndjson?since=unknown")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		s = p.look()
		if len(s.Consumers) != shown || s.Consumers[0].N != 31 || s.Consumers[0].Token != "unknown" || s.Consumers[0].Wire != "ndjson" {
			t.Errorf("after many attempts: got %+v, want attempt 31 over NDJSON with token unknown", s.Consumers[0])
		}
	})
}

func TestInvalidActionsAreRefused(t *testing.T) {
	in(t, func(t *testing.T, p person) {
		for _, fields := range [][]string{{"jump"}, {"pause", "value", "soon"}, {"pause", "value", "-1s"}, {"status", "value", "99"}, {"status", "value", "x"}} {
			if code, _ := p.try(fields[0], fields[1:]...); code != http.StatusBadRequest {
				t.Errorf("%q: got status %d, want 400", fields, code)
			}
		}
	})
}

// A page of another origin cannot press the buttons.
func TestOtherOriginsAreRefused(t *testing.T) {
	in(t, func(t *testing.T, p person) {
		req, _ := http.NewRequest("POST", p.url+"/do/drop", nil)
		req.Header.Set("Origin", "http://other.example")
		resp, err := p.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("got status %d, want 403", resp.StatusCode)
		}
	})
}

// The page loads nothing from other servers, and has a button for each step.
func TestPage(t *testing.T) {
	in(t, func(t *testing.T, p person) {
		resp, err := p.client.Get(p.url + "/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if ct := resp.Header.Get("Content-Type"); ct != "text/html; charset=utf-8" || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("got header %v, want HTML and a Content-Security-Policy", resp.Header)
		}
		if m := regexp.MustCompile(`(src|href)=|//[a-z]|@import|url\(`).Find(body); m != nil {
			t.Errorf("the page: got the reference %q, want none", m)
		}
		buttons := regexp.MustCompile(`data-do="([a-z]+)"`).FindAllSubmatch(body, -1)
		if len(buttons) != 9 {
			t.Errorf("got %d buttons, want 9", len(buttons))
		}
		for _, b := range buttons {
			value := map[string]string{"pause": "1s", "status": "503"}[string(b[1])]
			p.press(string(b[1]), "value", value)
		}
	})
}

// lines is a Writer whose lines can be waited for.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

// On a real network, with a recording at the start and events at intervals.
func TestRun(t *testing.T) {
	recording := filepath.Join(t.TempDir(), "recording.txt")
	os.WriteFile(recording, []byte("steadfeed recording 1\n1 0s open\n1 1h0m0s event id=r1\n\tfrom the recording\n"), 0o600)
	ctx, cancel := context.WithCancel(t.Context())
	out, result := make(lines, 1), make(chan error)
	go func() {
		result <- run(ctx, options{addr: "127.0.0.1:0", every: time.Millisecond, replay: recording}, out)
	}()
	urls := regexp.MustCompile(`http://[^/]*`).FindString(<-out)
	sub, err := client.Subscribe(ctx, &transport.HTTP{URL: urls + "/sse"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for ev, err := range sub.Events() {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, ev.ID); len(got) == 4 {
			break
		}
	}
	sub.Close()
	cancel()
	if err := <-result; err != nil {
		t.Error(err)
	}
	if want := "[r1 1 2 3]"; fmt.Sprint(got) != want {
		t.Errorf("got %q, want %s", got, want)
	}
	if err := run(t.Context(), options{replay: filepath.Join(t.TempDir(), "none")}, out); err == nil {
		t.Error("a missing recording: got no error, want one")
	}
	if err := run(t.Context(), options{addr: "127.0.0.1:-1"}, out); err == nil {
		t.Error("an invalid address: got no error, want one")
	}
}
