package transport_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// wire is a request as the server received it.
type wire struct {
	Method, URI, Host, Body string
	Header                  http.Header
}

func record(r *http.Request) wire {
	body, _ := io.ReadAll(r.Body)
	return wire{r.Method, r.RequestURI, r.Host, string(body), r.Header}
}

func TestRequest(t *testing.T) {
	tests := []struct {
		name   string
		feed   transport.HTTP
		token  string
		method string
		uri    string
		body   string
		header map[string]string // "" for a header that must be absent
	}{
		{
			name: "defaults", method: "GET", uri: "/feed?a=1",
			header: map[string]string{
				"Accept": strings.Join(decode.MediaTypes(), ", "), "Cache-Control": "no-cache",
				"Accept-Encoding": "gzip", "Last-Event-Id": "", "Authorization": "", "Referer": "",
			},
		},
		{
			name: "format", feed: transport.HTTP{Format: decode.SSE{}}, method: "GET", uri: "/feed?a=1",
			header: map[string]string{"Accept": "text/event-stream"},
		},
		{
			name: "the caller's header wins",
			feed: transport.HTTP{Header: http.Header{
				"accept": {"application/json"}, "Cache-Control": {"max-age=0"}, "Accept-Encoding": {"identity"}, "X-Api-Key": {"k"},
			}},
			method: "GET", uri: "/feed?a=1",
			header: map[string]string{
				"Accept": "application/json", "Cache-Control": "max-age=0", "Accept-Encoding": "identity", "X-Api-Key": "k",
			},
		},
		{
			name: "method and body", feed: transport.HTTP{Method: "POST", Body: []byte(`{"q":1}`)},
			method: "POST", uri: "/feed?a=1", body: `{"q":1}`,
			header: map[string]string{"Content-Length": "7"},
		},
		{
			name: "token in UTF-8", token: "42…é", method: "GET", uri: "/feed?a=1",
			header: map[string]string{"Last-Event-Id": "42…é"},
		},
		{
			name: "token instead of the caller's", token: "9", feed: transport.HTTP{Header: http.Header{"Last-Event-Id": {"1"}}},
			method: "GET", uri: "/feed?a=1", header: map[string]string{"Last-Event-Id": "9"},
		},
		{
			name: "another header", token: "9", feed: transport.HTTP{Resume: transport.ResumeHeader("x-position")},
			method: "GET", uri: "/feed?a=1", header: map[string]string{"X-Position": "9", "Last-Event-Id": ""},
		},
		{
			name: "query", token: "a b&c\n", feed: transport.HTTP{Resume: transport.ResumeQuery("since")},
			method: "GET", uri: "/feed?a=1&since=a+b%26c%0A", header: map[string]string{"Last-Event-Id": ""},
		},
		{
			name: "no token, no query", feed: transport.HTTP{Resume: transport.ResumeQuery("since")},
			method: "GET", uri: "/feed?a=1",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got wire
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				got = record(r)
				feed(w)
			})
			tt.feed.URL = srv.URL + "/feed?a=1"
			open(t, &tt.feed, tt.token)
			if got.Method != tt.method || got.URI != tt.uri || got.Body != tt.body {
				t.Errorf("request was %s %s %q, want %s %s %q", got.Method, got.URI, got.Body, tt.method, tt.uri, tt.body)
			}
			for name, value := range tt.header {
				if values := got.Header[name]; value == "" && len(values) > 0 || value != "" && !slices.Equal(values, []string{value}) {
					t.Errorf("%s: got %q, want %q", name, values, value)
				}
			}
		})
	}
}

func TestHostAndBasicAuth(t *testing.T) {
	for name, protocol := range protocols {
		t.Run(name, func(t *testing.T) {
			var got []wire
			srv := protocol(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got = append(got, record(r))
				if len(got) == 1 {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				feed(w)
			}))
			h := &transport.HTTP{
				URL:     strings.Replace(srv.URL, "://", "://user:p%20w@", 1),
				Header:  http.Header{"Host": {"feed.example.com"}},
				Prepare: func(*http.Request) error { return nil },
			}
			open(t, h, "")
			for i, w := range got {
				r := http.Request{Header: w.Header}
				if user, password, _ := r.BasicAuth(); user != "user" || password != "p w" {
					t.Errorf("request %d: got credentials %q %q, want user, p w", i, user, password)
				}
				if w.Host != "feed.example.com" {
					t.Errorf("request %d: got host %q, want feed.example.com", i, w.Host)
				}
			}
			if len(got) != 2 {
				t.Errorf("got %d requests, want 2", len(got))
			}
		})
	}
}

func TestResumeQuery(t *testing.T) {
	tests := []struct{ query, want string }{
		{"", "since=T"},
		{"since=1", "since=T"},
		{"since=1&a=2&since=3", "a=2&since=T"},
		{"b=2&a=1&flag&&x;y", "b=2&a=1&flag&x;y&since=T"},
		{"sin%63e=1&z=%zz", "z=%zz&since=T"},
		{"since", "since=T"},
	}
	for _, tt := range tests {
		req := &http.Request{URL: &url.URL{RawQuery: tt.query}}
		for range 3 {
			if err := transport.ResumeQuery("since")(req, "T"); err != nil {
				t.Fatal(err)
			}
		}
		if req.URL.RawQuery != tt.want {
			t.Errorf("%q became %q, want %q", tt.query, req.URL.RawQuery, tt.want)
		}
	}
}

func TestTokenWithControlBytes(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { t.Error("a request was sent") })
	for _, token := range []string{"secret\r\nX-Evil: 1", "secret\n", "secret\x00", "secret\x1b", "secret\x7f"} {
		err := openError(t, &transport.HTTP{URL: srv.URL}, token)
		if e := want[*transport.TokenError](t, err); e.Header != "Last-Event-ID" {
			t.Errorf("Header: got %q, want Last-Event-ID", e.Header)
		}
		if r, ok := err.(interface{ RejectsToken() bool }); !ok || !r.RejectsToken() || strings.Contains(err.Error(), "secret") {
			t.Errorf("got error %q, rejects the token: %t, want true and no secret", err, ok && r.RejectsToken())
		}
	}
}

func TestOpenChangesNoOption(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
			return
		}
		feed(w)
	})
	jar := &testJar{}
	client := &http.Client{Timeout: time.Hour, Jar: jar, Transport: srv.Client().Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("not asked") }}
	before := *client
	header := http.Header{"X-Api-Key": {"k"}, "accept": {"*/*"}}
	body := []byte("body")
	h := &transport.HTTP{
		URL: srv.URL + "/?a=1", Method: "POST", Body: body, Header: header, Client: client,
		Resume: transport.ResumeQuery("a"),
		Prepare: func(req *http.Request) error {
			req.Header["X-Api-Key"][0] = "changed"
			req.Header.Set("Authorization", "Bearer x")
			req.URL.RawQuery += "&b=2"
			return nil
		},
		TrustedOrigins: []string{"https://example.com"},
	}
	wantURL := h.URL
	for range 2 {
		open(t, h, "t")
	}
	if !reflect.DeepEqual(header, http.Header{"X-Api-Key": {"k"}, "accept": {"*/*"}}) {
		t.Errorf("got Header %v, want it unchanged", header)
	}
	if h.URL != wantURL || string(body) != "body" {
		t.Errorf("got URL %q, body %q, want %q, body", h.URL, body, wantURL)
	}
	if client.Timeout != before.Timeout || client.Transport != before.Transport || client.Jar != before.Jar || client.CheckRedirect == nil {
		t.Error("got the Client changed by Open, want it unchanged")
	}
}

type testJar struct{ urls []string }

func (j *testJar) SetCookies(u *url.URL, _ []*http.Cookie) {
	j.urls = append(j.urls, "set "+u.Path)
}
func (j *testJar) Cookies(u *url.URL) []*http.Cookie {
	j.urls = append(j.urls, "get "+u.Path)
	return []*http.Cookie{{Name: "session", Value: "jar"}}
}

// A function of the caller that ends its goroutine ends the attempt.
func TestAttemptWithAFunctionThatExits(t *testing.T) {
	feed := &transport.HTTP{URL: "http://feed.test", Prepare: func(*http.Request) error {
		runtime.Goexit()
		return nil
	}}
	if s, err := feed.Open(t.Context(), ""); s != nil || err == nil {
		t.Errorf("got session %v, error %v, want an error", s, err)
	}
}
