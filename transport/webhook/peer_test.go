package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func prefixes(list ...string) (all []netip.Prefix) {
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// Only what a trusted proxy has written counts, from the right.
func TestPeer(t *testing.T) {
	own := prefixes("10.0.0.0/8", "2001:db8:1::/48", "127.0.0.1/32")
	for _, c := range []struct {
		name, remote string
		proxies      []netip.Prefix
		header       string // ProxyHeader
		lines        []string
		want         string
	}{
		{"no proxy", "192.0.2.1:5", nil, "", nil, "192.0.2.1"},
		{"no proxy, and a header of the sender", "192.0.2.1:5", nil, "", []string{"198.51.100.1"}, "192.0.2.1"},
		{"IPv6", "[2001:db8::1]:5", nil, "", nil, "2001:db8::1"},
		{"IPv4 in IPv6", "[::ffff:192.0.2.1]:5", nil, "", nil, "192.0.2.1"},
		{"a zone", "[fe80::1%eth0]:5", nil, "", nil, "fe80::1"},
		{"no IP", "@", nil, "", []string{"198.51.100.1"}, ""},

		{"one proxy", "10.0.0.1:5", own, "", []string{"198.51.100.1"}, "198.51.100.1"},
		{"a proxy in IPv6 notation", "[::ffff:10.0.0.1]:5", own, "", []string{"198.51.100.1"}, "198.51.100.1"},
		{"not a proxy", "192.0.2.1:5", own, "", []string{"198.51.100.1"}, "192.0.2.1"},
		{"two proxies", "10.0.0.1:5", own, "", []string{"198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"two proxies, two lines", "10.0.0.1:5", own, "", []string{"198.51.100.1", "10.0.0.2"}, "198.51.100.1"},
		{"the sender claims an address", "10.0.0.1:5", own, "", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
		{"in a line of its own", "10.0.0.1:5", own, "", []string{"203.0.113.9", "198.51.100.1"}, "198.51.100.1"},
		{"the sender claims to be a proxy", "10.0.0.1:5", own, "", []string{"203.0.113.9, 10.9.9.9, 198.51.100.1"}, "198.51.100.1"},
		{"no header", "10.0.0.1:5", own, "", nil, "10.0.0.1"},
		{"proxies only", "10.0.0.1:5", own, "", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"with a port", "10.0.0.1:5", own, "", []string{"198.51.100.1:443"}, "198.51.100.1"},
		{"IPv6 with a port", "10.0.0.1:5", own, "", []string{"[2001:db8::7]:443"}, "2001:db8::7"},
		{"IPv6 in brackets", "10.0.0.1:5", own, "", []string{"[2001:db8::7]"}, "2001:db8::7"},
		{"IPv6", "10.0.0.1:5", own, "", []string{"2001:db8::7"}, "2001:db8::7"},
		{"not an address", "10.0.0.1:5", own, "", []string{"198.51.100.1, unknown"}, ""},
		{"an empty entry", "10.0.0.1:5", own, "", []string{"198.51.100.1,"}, ""},
		{"an empty header", "10.0.0.1:5", own, "", []string{""}, ""},
		{"over a Unix socket", "@", own, "", []string{"198.51.100.1"}, "198.51.100.1"},
		{"over a Unix socket without the header", "@", own, "", nil, ""},

		{"a header with one address", "10.0.0.1:5", own, "x-real-ip", []string{"198.51.100.1"}, "198.51.100.1"},
		{"RFC 7239", "10.0.0.1:5", own, "Forwarded", []string{`for=203.0.113.9, for="[2001:db8:2::17]:47011";proto=https;by=10.0.0.1`}, "2001:db8:2::17"},
		{"RFC 7239, another case", "10.0.0.1:5", own, "forwarded", []string{`proto=http; For=198.51.100.1`}, "198.51.100.1"},
		{"RFC 7239, two proxies", "10.0.0.1:5", own, "Forwarded", []string{`for=198.51.100.1, for=10.0.0.2`}, "198.51.100.1"},
		{"RFC 7239, an open quote of the sender", "10.0.0.1:5", own, "Forwarded", []string{`for="203.0.113.9, for=198.51.100.1`}, "198.51.100.1"},
		{"RFC 7239, an obfuscated name", "10.0.0.1:5", own, "Forwarded", []string{`for=198.51.100.1, for=_hidden`}, ""},
		{"RFC 7239 without for", "10.0.0.1:5", own, "Forwarded", []string{`for=198.51.100.1, proto=https`}, ""},
	} {
		w := &webhook.Receiver{Proxies: c.proxies, ProxyHeader: c.header}
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.RemoteAddr = c.remote
		name := "X-Forwarded-For"
		if c.header != "" {
			name = http.CanonicalHeaderKey(c.header)
		}
		if c.lines != nil {
			r.Header[name] = c.lines
		}
		for _, other := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip"} {
			if other != name {
				r.Header.Set(other, "for=203.0.113.66") // another header never counts
			}
		}
		want := netip.Addr{}
		if c.want != "" {
			want = netip.MustParseAddr(c.want)
		}
		if got := w.Peer(r); got != want {
			t.Errorf("%s: got %v, want %v", c.name, got, want)
		}
	}
}

// A request from another network is refused before its body is read, and a handshake as well.
func TestNetworks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := provider.Meta("token", "a secret")
		p.Networks = prefixes("198.51.100.0/24")
		w := &webhook.Receiver{Provider: p, Proxies: prefixes("10.0.0.0/8")}
		var reasons []string
		w.OnRejected = func(e *webhook.RejectedError) { reasons = append(reasons, e.Error()) }
		conn := openHook(t, w)
		request := func(method, from string) *http.Request {
			r := sign(t, p, "", `{"object":"page","entry":[{"id":"1"}]}`)
			r.Method, r.RemoteAddr = method, "10.0.0.1:80"
			r.RequestURI = "/?hub.mode=subscribe&hub.verify_token=token&hub.challenge=c"
			r.Header.Set("X-Forwarded-For", from)
			return r
		}
		forged := request(http.MethodPost, "198.51.100.7, 203.0.113.9")
		forged.Body = unreadable{t}
		wantStatus(t, post(w, forged), 401)
		wantStatus(t, post(w, request(http.MethodGet, "203.0.113.9")), 401)
		wantStatus(t, post(w, request(http.MethodGet, "198.51.100.7")), 200)
		ok := post(w, request(http.MethodPost, "198.51.100.7"))
		read(t, conn).Settle(nil)
		want2xx(t, ok)
		for _, reason := range reasons {
			if !strings.Contains(reason, "not in Networks, or a proxy in front is not in Receiver.Proxies") || strings.Contains(reason, "203") || strings.Contains(reason, "secret") {
				t.Errorf("got the reason %q", reason)
			}
		}
	})
}

// unreadable is a body that must not be read.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, http.ErrBodyReadAfterClose
}

func (unreadable) Close() error { return nil }

// FuzzPeer checks that a sender cannot choose its address: what a proxy appends to anything counts.
func FuzzPeer(f *testing.F) {
	f.Add("203.0.113.9", false)
	f.Add(`for="203.0.113.9`, true)
	f.Add("10.0.0.1,", false)
	f.Fuzz(func(t *testing.T, claim string, forwarded bool) {
		w := &webhook.Receiver{Proxies: prefixes("10.0.0.0/8")}
		name, entry := "X-Forwarded-For", "198.51.100.1"
		if forwarded {
			w.ProxyHeader, name, entry = "Forwarded", "Forwarded", `for=198.51.100.1;proto=https`
		}
		for _, lines := range [][]string{{claim + ", " + entry}, {claim, entry}} {
			r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{name: lines}}
			if got := w.Peer(r); got != netip.MustParseAddr("198.51.100.1") {
				t.Errorf("%q: got %v", lines, got)
			}
		}
		r := &http.Request{RemoteAddr: claim, Header: http.Header{name: {claim}}}
		w.Peer(r)
	})
}
