package provider_test

import (
	"bytes"
	"compress/gzip"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func gzipped(t testing.TB, texts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, text := range texts {
		z := gzip.NewWriter(&b)
		z.Write([]byte(text))
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// Some senders sign what they send, others what they compress.
func TestGzip(t *testing.T) {
	noise := make([]byte, 300<<10)
	rand.NewChaCha8([32]byte{}).Read(noise)
	for _, c := range []struct {
		name   string
		sent   []byte
		plain  string
		coding string
		want   string
	}{
		{"gzip", gzipped(t, body), body, "gzip", "none"},
		{"another name", gzipped(t, body), body, "X-GZIP", "none"},
		{"several members", gzipped(t, body[:4], body[4:]), body, "gzip", "none"},
		{"not gzip", []byte(body), body, "gzip", "malformed"},
		{"cut off", gzipped(t, body)[:20], body, "gzip", "malformed"},
		{"garbage at the end", append(gzipped(t, body), "x"...), body, "gzip", "malformed"},
		{"up to MaxBody", gzipped(t, string(noise)), string(noise), "gzip", "none"},
		{"above MaxBody", gzipped(t, string(noise)+"x"), string(noise) + "x", "gzip", "large"},
		{"200 times as large", gzipped(t, strings.Repeat("a", 64<<10)), strings.Repeat("a", 64<<10), "gzip", "none"},
		{"a bomb", gzipped(t, strings.Repeat("a", 299<<10)), strings.Repeat("a", 299<<10), "gzip", "large"},
	} {
		for mode, signedBody := range map[provider.Gzip]string{provider.GzipCompressed: string(c.sent), provider.GzipPlain: c.plain} {
			p := provider.GitHub(key)
			p.Gzip = mode
			r := &provider.Request{Method: "POST", Header: header(), Body: []byte(signedBody), Time: at, MaxBody: 300 << 10}
			if err := p.Sign(r, "1"); err != nil {
				t.Fatal(err)
			}
			r.Body = c.sent
			r.Header.Set("Content-Encoding", c.coding)
			if !p.Decodes(r.Header) {
				t.Errorf("%s: refused", c.name)
			}
			d, err := p.Receive(r)
			if got := refusalOf(err); got != c.want {
				t.Errorf("%s, mode %d: got %s (%v), want %s", c.name, mode, got, err, c.want)
			}
			if c.name == "above MaxBody" && !strings.Contains(err.Error(), "exceeds MaxBody (307200 bytes)") {
				t.Errorf("got %v, want the limit", err)
			}
			if err == nil && string(d.Events[0].Data) != c.plain {
				t.Errorf("%s, mode %d: got %d bytes, want %d", c.name, mode, len(d.Events[0].Data), len(c.plain))
			}
		}
	}
	// What is signed in the other way is forged, and only verified bytes are decompressed.
	p := provider.GitHub(key)
	p.Gzip = provider.GzipCompressed
	r := &provider.Request{Method: "POST", Header: header(), Body: []byte(body), Time: at}
	if err := p.Sign(r, "1"); err != nil {
		t.Fatal(err)
	}
	r.Body, r.Header["Content-Encoding"] = gzipped(t, body), []string{"gzip"}
	wantKind(t, p, r, "forged")
	r.Body = []byte("not gzip")
	wantKind(t, p, r, "forged")
}

func TestDecodes(t *testing.T) {
	refuse, accept := provider.GitHub(key), provider.GitHub(key)
	accept.Gzip = provider.GzipPlain
	for coding, want := range map[string]bool{"": true, "identity": true, "gzip": false, "br": false, "gzip, gzip": false, "gzip, br": false} {
		h := header("Content-Encoding", coding)
		if refuse.Decodes(h) != want {
			t.Errorf("%q: got %v without Gzip", coding, !want)
		}
		if accept.Decodes(h) != (want || coding == "gzip") {
			t.Errorf("%q: got %v with Gzip", coding, accept.Decodes(h))
		}
	}
}

// FuzzGzip decompresses anything, within the limits.
func FuzzGzip(f *testing.F) {
	f.Add(gzipped(f, body))
	f.Add(gzipped(f, strings.Repeat("a", 200<<10)))
	f.Add([]byte{0x1f, 0x8b, 8, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff})
	p := &provider.Provider{Name: "x", Scheme: provider.Unsigned{}, Gzip: provider.GzipPlain}
	f.Fuzz(func(t *testing.T, sent []byte) {
		r := &provider.Request{Method: "POST", Header: header("Content-Encoding", "gzip"), Body: sent, MaxBody: 100 << 10}
		d, err := p.Receive(r)
		if err != nil {
			return
		}
		z, err := gzip.NewReader(bytes.NewReader(sent))
		if err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		if _, err := want.ReadFrom(z); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(d.Events[0].Data, want.Bytes()) || want.Len() > 100<<10 {
			t.Errorf("got %d bytes, want %d, at most 100 KiB", len(d.Events[0].Data), want.Len())
		}
	})
}
