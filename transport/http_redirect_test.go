package transport_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport"
)

func TestRedirectMethod(t *testing.T) {
	tests := []struct {
		code         int
		method, want string
		body         bool // still sent
	}{
		{301, "GET", "GET", false}, {302, "GET", "GET", false}, {303, "GET", "GET", false},
		{301, "POST", "GET", false}, {302, "POST", "GET", false}, {303, "POST", "GET", false},
		{307, "POST", "POST", true}, {308, "POST", "POST", true},
		{301, "REPORT", "REPORT", true}, {302, "REPORT", "REPORT", true}, {303, "REPORT", "GET", false},
	}
	for _, tt := range tests {
		for _, elsewhere := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.code, tt.method, elsewhere), func(t *testing.T) {
				var got wire
				end := func(w http.ResponseWriter, r *http.Request) { got = record(r); feed(w) }
				other := serve(t, end)
				srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
					switch {
					case r.URL.Path != "/":
						end(w, r)
					case elsewhere:
						w.Header().Set("Location", other.URL+"/end")
					default:
						w.Header().Set("Location", "end?x=1#fragment")
					}
					if r.URL.Path == "/" {
						w.WriteHeader(tt.code)
					}
				})
				h := &transport.HTTP{URL: srv.URL + "/?a=1", Method: tt.method, Header: http.Header{"Content-Type": {"text/x-query"}}}
				if tt.method != "GET" {
					h.Body = []byte("body")
				}
				open(t, h, "")
				wantBody, wantType := "", ""
				if tt.body {
					wantBody, wantType = "body", "text/x-query"
				} else if tt.method == "GET" && !elsewhere {
					wantType = "text/x-query"
				}
				if got.Method != tt.want || got.Body != wantBody || got.Header.Get("Content-Type") != wantType {
					t.Errorf("got %s with %q (%s), want %s with %q (%s)", got.Method, got.Body, got.Header.Get("Content-Type"), tt.want, wantBody, wantType)
				}
				if wantURI := map[bool]string{true: "/end", false: "/end?x=1"}[elsewhere]; got.URI != wantURI {
					t.Errorf("URI %q, want %q", got.URI, wantURI)
				}
			})
		}
	}
}

// A private feed has a secret in every place that can hold one.
func private(base string) *transport.HTTP {
	return &transport.HTTP{
		URL: strings.Replace(base, "://", "://user:SECRET@", 1) + "/start?key=SECRET",
		Header: http.Header{
			"X-Api-Key": {"SECRET"}, "Cookie": {"session=SECRET"}, "Proxy-Authorization": {"SECRET"},
			"Authorization": {"Bearer SECRET"}, "X-Custom": {"SECRET"}, "Accept": {"text/SECRET"}, "Host": {"SECRET.example"},
		},
		Resume: func(r *http.Request, token string) error {
			r.Header.Set("Last-Event-ID", token)
			return transport.ResumeQuery("since")(r, token)
		},
		Prepare: func(r *http.Request) error {
			r.Header.Set("X-Signature", "SECRET")
			q := r.URL.Query()
			q.Set("signature", "SECRET")
			r.URL.RawQuery = q.Encode()
			return nil
		},
	}
}

func (w wire) holds(secret string) bool { return strings.Contains(fmt.Sprintf("%+v", w), secret) }

func TestUntrustedRedirectLeaksNothing(t *testing.T) {
	for name, protocol := range protocols {
		for _, code := range []int{301, 302, 303, 307, 308} {
			t.Run(fmt.Sprint(name, " ", code), func(t *testing.T) {
				var got []wire
				var home *httptest.Server
				other := protocol(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					got = append(got, record(r))
					http.SetCookie(w, &http.Cookie{Name: "other", Value: "x"})
					if r.URL.Path == "/back" {
						http.Redirect(w, r, home.URL+"/end", code)
						return
					}
					http.Redirect(w, r, "/back", code)
				}))
				home = protocol(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/start" {
						if !record(r).holds("SECRET") {
							t.Error("first request: got no credentials, want some")
						}
						http.Redirect(w, r, other.URL+"/", code)
						return
					}
					got = append(got, record(r)) // the untrusted origin redirects back
					feed(w, "\n", "1\n", "2\n")
				}))
				h := private(home.URL)
				jar := &testJar{}
				h.Client = &http.Client{Jar: jar}
				conn := open(t, h, "SECRET-TOKEN")

				if len(got) != 3 {
					t.Fatalf("got %d requests after the redirect, want 3", len(got))
				}
				for _, w := range got {
					if w.holds("SECRET") {
						t.Errorf("untrusted origin: got %+v, want no credentials", w)
					}
				}
				if want := []string{"get /start", "set /start"}; !slices.Equal(jar.urls, want) {
					t.Errorf("calls of the jar: got %q, want %q", jar.urls, want)
				}
				m := read(t, conn)
				if m.Gap == nil || m.Gap.Reason != transport.GapNoToken || m.Gap.From != "SECRET-TOKEN" || m.Gap.Err == nil {
					t.Errorf("first message: got gap %+v, want one without a token", m.Gap)
				}
				for range 2 {
					if m := read(t, conn); m.Gap != nil {
						t.Errorf("later message: got gap %+v, want none", m.Gap)
					}
				}
			})
		}
	}
}

func TestUntrustedRedirectWithoutTokenIsNoGap(t *testing.T) {
	other := serve(t, func(w http.ResponseWriter, r *http.Request) { feed(w, "1\n") })
	home := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) })
	if m := read(t, open(t, &transport.HTTP{URL: home.URL}, "")); m.Gap != nil {
		t.Errorf("got Gap %+v, want another", m.Gap)
	}
}

// A 401 or 410 of an origin that got neither credentials nor token does not reject them.
func TestUntrustedRedirectThenRefused(t *testing.T) {
	for _, code := range []int{401, 410} {
		calls, requests := 0, 0
		other := serve(t, func(w http.ResponseWriter, r *http.Request) { requests++; w.WriteHeader(code) })
		home := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) })
		h := &transport.HTTP{URL: home.URL, Prepare: func(*http.Request) error { calls++; return nil }}
		e := want[*transport.StatusError](t, openError(t, h, "t"))
		if e.RejectsToken() || e.Origin != other.URL || !strings.Contains(e.Error(), "without headers and credentials") {
			t.Errorf("got %v, rejects token: %t, want false and the origin %s", e, e.RejectsToken(), other.URL)
		}
		if calls != 1 || requests != 1 {
			t.Errorf("got %d calls of Prepare and %d requests to the untrusted origin, want 1 and 1", calls, requests)
		}
	}
}

func TestRedirectWithinTrustedOrigins(t *testing.T) {
	var got []wire
	other := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, record(r))
		feed(w, "1\n")
	})
	home := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, record(r))
		switch r.URL.Path {
		case "/start":
			http.Redirect(w, r, "/second?since=OLD&keep=1", http.StatusFound)
		default:
			http.Redirect(w, r, other.URL+"/third", http.StatusTemporaryRedirect)
		}
	})
	h := private(home.URL)
	h.TrustedOrigins = []string{"https://unrelated.example", other.URL}
	h.Client = &http.Client{Jar: &testJar{}}
	m := read(t, open(t, h, "SECRET-TOKEN"))
	if m.Gap != nil {
		t.Errorf("got Gap %+v, want another", m.Gap)
	}
	wantQuery := []string{
		"key=SECRET&signature=SECRET&since=SECRET-TOKEN",
		"keep=1&signature=SECRET&since=SECRET-TOKEN", // replaced, not appended
		"signature=SECRET&since=SECRET-TOKEN",
	}
	if len(got) != 3 {
		t.Fatalf("got %d requests, want 3", len(got))
	}
	for i, w := range got {
		u, err := url.Parse(w.URI)
		if err != nil {
			t.Fatal(err)
		}
		if u.RawQuery != wantQuery[i] {
			t.Errorf("request %d: got query %q, want %q", i, u.RawQuery, wantQuery[i])
		}
		for name, value := range map[string]string{
			"Authorization": "Bearer SECRET", "X-Api-Key": "SECRET", "X-Signature": "SECRET",
			"Last-Event-Id": "SECRET-TOKEN", "Cookie": "session=SECRET; session=jar",
		} {
			if w.Header.Get(name) != value {
				t.Errorf("request %d: %s is %q, want %q", i, name, w.Header.Get(name), value)
			}
		}
		if trustedHost := strings.TrimPrefix(other.URL, "http://"); i == 2 && w.Host != trustedHost || i < 2 && w.Host != "SECRET.example" {
			t.Errorf("request %d: got host %q, want that of its origin", i, w.Host)
		}
	}
}

func TestRedirectOrigins(t *testing.T) {
	tests := []struct {
		from, to string
		trusted  []string
		along    bool // header and token
		refused  bool
	}{
		{from: "http://a.example/", to: "/b", along: true},
		{from: "http://a.example/", to: "http://A.example:80/b", along: true},
		{from: "https://a.example:443/", to: "https://a.example/b", along: true},
		{from: "http://a.example/", to: "//a.example/b", along: true},
		{from: "http://a.example/", to: "http://a.example:8080/b"},
		{from: "http://a.example/", to: "https://a.example/b"},
		{from: "http://a.example/", to: "http://www.a.example/b"},
		{from: "http://www.a.example/", to: "http://a.example/b"},
		{from: "http://a.example/", to: "http://b.example/b"},
		{from: "http://a.example/", to: "http://b.example/b", trusted: []string{"http://B.example:80"}, along: true},
		{from: "http://a.example/", to: "https://a.example/b", trusted: []string{"https://a.example"}, along: true},
		{from: "http://a.example/", to: "http://b.example:81/b", trusted: []string{"http://b.example"}},
		{from: "https://a.example/", to: "http://a.example/b", refused: true},
		{from: "https://a.example/", to: "http://a.example/b", trusted: []string{"https://a.example"}, refused: true},
		{from: "https://a.example/", to: "http://a.example/b", trusted: []string{"http://a.example"}, along: true},
		{from: "http://a.example/", to: "ftp://a.example/b", refused: true},
		{from: "http://a.example/", to: "http:///b", refused: true},
		{from: "http://a.example/", to: "http://[::1/b", refused: true},
		{from: "http://a.example/", to: "", refused: true},
	}
	for _, tt := range tests {
		t.Run(tt.from+" "+tt.to, func(t *testing.T) {
			var last *http.Request
			n := 0
			client := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				last, n = r, n+1
				if n == 1 {
					return &http.Response{StatusCode: 302, Header: http.Header{"Location": {tt.to}}}, nil
				}
				return &http.Response{StatusCode: 204}, nil
			})}
			h := &transport.HTTP{URL: tt.from, Client: client, Header: http.Header{"X-Api-Key": {"k"}}, TrustedOrigins: tt.trusted}
			err := openError(t, h, "t")
			if tt.refused {
				if want[*transport.ProtocolError](t, err); n != 1 {
					t.Errorf("got %d requests, want 1", n)
				}
				return
			}
			if err != transport.ErrComplete {
				t.Fatal(err)
			}
			along := last.Header.Get("X-Api-Key") == "k" && last.Header.Get("Last-Event-ID") == "t"
			alone := last.Header.Get("X-Api-Key") == "" && last.Header.Get("Last-Event-ID") == ""
			if tt.along && !along || !tt.along && !alone {
				t.Errorf("got header %v, want all of it: %t", last.Header, tt.along)
			}
		})
	}
}

func TestRedirectLimit(t *testing.T) {
	for _, tt := range []struct {
		redirects, requests int
		ok                  bool
	}{{10, 11, true}, {11, 11, false}, {1000, 11, false}} {
		n := 0
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if n++; n <= tt.redirects {
				http.Redirect(w, r, "/", http.StatusFound)
				return
			}
			feed(w)
		})
		h := &transport.HTTP{URL: srv.URL}
		if tt.ok {
			open(t, h, "")
		} else if err := openError(t, h, ""); class(err) != "protocol" {
			t.Errorf("got %v of class %s, want protocol", err, class(err))
		} else {
			want[*transport.ProtocolError](t, err)
		}
		if n != tt.requests {
			t.Errorf("%d redirects: got %d requests, want %d", tt.redirects, n, tt.requests)
		}
	}
}

func TestEachOpenStartsAtTheOriginalURL(t *testing.T) {
	var got []string
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Method+" "+r.URL.Path)
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/moved", http.StatusMovedPermanently)
			return
		}
		feed(w)
	})
	h := &transport.HTTP{URL: srv.URL, Method: "POST", End: transport.EndReconnect}
	for range 2 {
		if err := readError(t, open(t, h, "")); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	}
	if want := []string{"POST /", "GET /moved", "POST /", "GET /moved"}; !slices.Equal(got, want) {
		t.Errorf("requests %q, want %q", got, want)
	}
}

// After a 401 that follows a redirect, the request is repeated at the redirect's target.
func TestUnauthorizedAfterRedirect(t *testing.T) {
	var got []string
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.URL.Path)
		switch {
		case r.URL.Path == "/":
			http.Redirect(w, r, "/feed", http.StatusFound)
		case r.Header.Get("Authorization") != "fresh":
			w.WriteHeader(401)
		default:
			feed(w)
		}
	})
	open(t, &transport.HTTP{URL: srv.URL, Prepare: func(r *http.Request) error {
		if transport.CredentialsRejected(r.Context()) {
			r.Header.Set("Authorization", "fresh")
		}
		return nil
	}}, "")
	if want := []string{"/", "/feed", "/feed"}; !slices.Equal(got, want) {
		t.Errorf("requests %q, want %q", got, want)
	}
}

// Open asks for fresh credentials once, however many requests it sends.
func TestUnauthorizedAgainAfterRedirect(t *testing.T) {
	var got []string
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.URL.Path+" "+r.Header.Get("Authorization"))
		if r.URL.Path == "/" && r.Header.Get("Authorization") == "fresh" {
			http.Redirect(w, r, "/feed", http.StatusFound)
			return
		}
		w.WriteHeader(401)
	})
	err := openError(t, &transport.HTTP{URL: srv.URL, Prepare: func(r *http.Request) error {
		if len(got) > 0 {
			r.Header.Set("Authorization", "fresh")
		}
		if transport.CredentialsRejected(r.Context()) != (len(got) == 1) {
			t.Errorf("after %q: CredentialsRejected: got %t, want %t", got, len(got) != 1, len(got) == 1)
		}
		return nil
	}}, "")
	want[*transport.StatusError](t, err)
	if want := []string{"/ ", "/ fresh", "/feed fresh"}; !slices.Equal(got, want) {
		t.Errorf("requests %q, want %q", got, want)
	}
}

// User and password of the URL are sent to its origin only.
func TestRedirectKeepsBasicAuthentication(t *testing.T) {
	var srv *httptest.Server
	srv = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "pw" {
			t.Errorf("%s: got password %q, want pw", r.URL.Path, password)
		}
		if r.URL.Path == "/" {
			http.Redirect(w, r, srv.URL+"/end", http.StatusFound)
			return
		}
		feed(w)
	})
	open(t, &transport.HTTP{URL: strings.Replace(srv.URL, "://", "://user:pw@", 1)}, "")
}

// The connection that brought a redirect is reused for the next request.
func TestRedirectReusesConnection(t *testing.T) {
	var peers []string
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		peers = append(peers, r.RemoteAddr)
		if len(peers) < 3 {
			w.Header().Set("Location", "/")
			w.WriteHeader(302)
			io.WriteString(w, strings.Repeat("x", 60<<10))
			return
		}
		feed(w)
	})
	open(t, &transport.HTTP{URL: srv.URL, Client: srv.Client()}, "")
	if len(slices.Compact(peers)) != 1 {
		t.Errorf("got connections %q, want one", peers)
	}
}
