//go:build integration

package webhook_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"mime/multipart"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// curl runs curl and returns the status and the body of the last answer.
func curl(t *testing.T, args ...string) string {
	t.Helper()
	program := need(t, "curl", "apt-get install curl")
	out, err := exec.Command(program, append([]string{"--silent", "--show-error", "--max-time", "20", "--write-out", " %{http_code}"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("curl %q: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// consume subscribes to w, acknowledges its events, and sends their Data to the channel.
func consume(t *testing.T, w *webhook.Receiver) <-chan client.Event {
	t.Helper()
	sub, err := client.Subscribe(t.Context(), w, nil)
	if err != nil {
		t.Fatal(err)
	}
	events, ended := make(chan client.Event, 16), make(chan struct{})
	go func() {
		defer close(ended)
		for ev, err := range sub.Events() {
			if err != nil {
				return
			}
			events <- ev
		}
	}()
	t.Cleanup(func() {
		sub.Close()
		<-ended
	})
	if err := sub.WaitConnected(t.Context()); err != nil {
		t.Fatal(err)
	}
	return events
}

// curl sends name and password only after a 401 that asks for them, whatever the size of the body is
// and whether it waits for a 100 (RFC 9110, section 10.1.1).
func TestCurlAnyAuth(t *testing.T) {
	p := &provider.Provider{Name: "basic", Scheme: provider.Basic{}, Methods: []string{"POST", "PUT"}}
	if err := p.SetSecrets("collectd:a password of some length"); err != nil {
		t.Fatal(err)
	}
	w := &webhook.Receiver{Provider: p, MaxBody: 8 << 20}
	events := consume(t, w)
	srv := httptest.NewServer(w)
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "body")
	for _, size := range []int{2, 5 << 20} {
		if err := os.WriteFile(file, bytes.Repeat([]byte("x"), size), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{"--anyauth", "--data-binary", "@" + file},
			{"--basic", "--data-binary", "@" + file},
			{"--anyauth", "--upload-file", file},
			{"--anyauth", "--http1.0", "--data-binary", "@" + file},
			{"--anyauth", "--header", "Expect: 100-continue", "--data-binary", "@" + file},
			{"--anyauth", "--header", "Expect:", "--data-binary", "@" + file},
			{"--anyauth", "--header", "Transfer-Encoding: chunked", "--data-binary", "@" + file},
		} {
			if size > 1<<20 && args[1] == "--http1.0" {
				continue // curl sends all of it before it reads the 401
			}
			if got := curl(t, append(args, "--user", "collectd:a password of some length", srv.URL)...); got != "204" {
				t.Errorf("%q, %d bytes: got %s, want 204", args, size, got)
				continue
			}
			if ev := <-events; len(ev.Data) != size || ev.Delivery.Header.Get("Authorization") != "" {
				t.Errorf("%q: got %d bytes, want %d", args, len(ev.Data), size)
			}
			if size > 1<<20 {
				continue // curl may report that the server does not read all of it
			}
			if got := curl(t, append(args, "--user", "collectd:a guess", srv.URL)...); got != "401" {
				t.Errorf("%q, a wrong password: got %s, want 401", args, got)
			}
		}
	}
}

// Over HTTP/2, a refused request gets its answer although its body is not read.
func TestCurlHTTP2(t *testing.T) {
	p := &provider.Provider{Name: "basic", Scheme: provider.Basic{}}
	if err := p.SetSecrets("collectd:a password of some length"); err != nil {
		t.Fatal(err)
	}
	w := &webhook.Receiver{Providers: map[string]*provider.Provider{"/in": p}}
	events := consume(t, w)
	srv := httptest.NewUnstartedServer(w)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	for range 5 {
		for path, want := range map[string]string{"/in": "401", "/other": "404"} {
			if got := curl(t, "--insecure", "--http2", "--data", "{}", srv.URL+path); got != want {
				t.Errorf("%s: got %s, want %s", path, got, want)
			}
		}
		if got := curl(t, "--insecure", "--http2", "--anyauth", "--user", "collectd:a password of some length", "--data", "{}", srv.URL+"/in"); got != "204" {
			t.Errorf("got %s, want 204", got)
		}
		<-events
	}
}

// collectd's plugin write_http uses libcurl with CURLAUTH_ANY.
func TestCollectd(t *testing.T) {
	program := need(t, "collectd", "apt-get install collectd-core libyajl2")
	p := &provider.Provider{Name: "collectd", Scheme: provider.Basic{}, Payload: provider.Payload{Items: "@this", Type: provider.Source{Path: []string{"plugin"}}}}
	if err := p.SetSecrets("collectd:a password of some length"); err != nil {
		t.Fatal(err)
	}
	w := &webhook.Receiver{Provider: p}
	events := consume(t, w)
	srv := httptest.NewServer(w)
	defer srv.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "collectd.conf")
	text := fmt.Sprintf(`
BaseDir %q
PIDFile "%s/pid"
Interval 1
LoadPlugin load
LoadPlugin write_http
<Plugin write_http>
  <Node "steadfeed">
    URL %q
    User "collectd"
    Password "a password of some length"
    Format "JSON"
    BufferSize 1024
    Timeout 5000
  </Node>
</Plugin>
`, dir, dir, srv.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, program, "-f", "-C", config)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cancel()
	select {
	case ev := <-events:
		if ev.Type != "load" || !json.Valid(ev.Data) {
			t.Errorf("got %s %s, want a value of load", ev.Type, ev.Data)
		}
	case <-time.After(20 * time.Second):
		t.Errorf("nothing arrived: %s", out.String())
	}
}

// curl sends forms, compressed bodies, PUT and GET.
func TestCurlBodies(t *testing.T) {
	route := provider.Mailgun("a signing key")
	logs := &provider.Provider{
		Name: "logs", Methods: []string{"PUT"}, Gzip: provider.GzipCompressed, Scheme: provider.Token{Wildcard: "secret"},
		Payload: provider.Payload{Items: "@this", ID: provider.Source{Path: []string{"id"}}},
	}
	receipts := &provider.Provider{
		Name: "receipts", Methods: []string{"GET"}, Scheme: provider.Token{Query: "token"},
		Payload: provider.Payload{ID: provider.Source{Form: []string{"messageId"}}, Type: provider.Source{Form: []string{"status"}}},
	}
	for _, p := range []*provider.Provider{logs, receipts} {
		if err := p.SetSecrets("a-token-of-some-length"); err != nil {
			t.Fatal(err)
		}
	}
	w := &webhook.Receiver{Providers: map[string]*provider.Provider{"/mail": route, "/logs/{secret}": logs, "/receipts": receipts}}
	events := consume(t, w)
	srv := httptest.NewServer(w)
	defer srv.Close()

	d := provider.Request{Method: "POST", Body: []byte(`{}`)}
	if err := route.Sign(&d, "a-token"); err != nil {
		t.Fatal(err)
	}
	var signed struct {
		Signature struct{ Timestamp, Token, Signature string }
	}
	if err := json.Unmarshal(d.Body, &signed); err != nil {
		t.Fatal(err)
	}
	attachment := filepath.Join(t.TempDir(), "a.txt")
	if err := os.WriteFile(attachment, []byte("token=x"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := curl(t, "--form", "subject=hello", "--form", "timestamp="+signed.Signature.Timestamp, "--form", "attachment-1=@"+attachment,
		"--form", "token="+signed.Signature.Token, "--form", "signature="+signed.Signature.Signature, srv.URL+"/mail")
	if got != "200" {
		t.Fatalf("a multipart form: got %s, want 200", got)
	}
	ev := <-events
	_, boundary, _ := strings.Cut(ev.Delivery.Header.Get("Content-Type"), "boundary=")
	form, err := multipart.NewReader(bytes.NewReader(ev.Data), boundary).ReadForm(1 << 20)
	if err != nil || form.Value["subject"][0] != "hello" || len(form.File["attachment-1"]) != 1 || ev.Delivery.Proof != transport.ProofMetadata {
		t.Errorf("got %v, %v, %v", form, err, ev.Delivery.Proof)
	}

	zipped := filepath.Join(t.TempDir(), "logs.gz")
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte("{\"id\":\"1\"}\n{\"id\":\"2\"}\n"))
	z.Close()
	if err := os.WriteFile(zipped, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got = curl(t, "--upload-file", zipped, "--header", "Content-Encoding: gzip", "--header", "Content-Type: text/plain", srv.URL+"/logs/a-token-of-some-length")
	if got != "204" {
		t.Fatalf("gzip: got %s, want 204", got)
	}
	for _, id := range []string{"1", "2"} {
		if ev := <-events; ev.ID != id || string(ev.Data) != `{"id":"`+id+`"}` {
			t.Errorf("got %s %s, want the event %s", ev.ID, ev.Data, id)
		}
	}

	if got := curl(t, srv.URL+"/receipts?token=a-token-of-some-length&messageId=m1&status=delivered"); got != "204" {
		t.Fatalf("GET: got %s, want 204", got)
	}
	if ev := <-events; ev.ID != "m1" || ev.Type != "delivered" || string(ev.Data) != "messageId=m1&status=delivered" {
		t.Errorf("got %s %s %s", ev.ID, ev.Type, ev.Data)
	}
	for _, args := range [][]string{{"--data", "x", srv.URL + "/receipts?token=a-token-of-some-length"}, {"--head", srv.URL + "/receipts"}} {
		if got := curl(t, args...); !strings.HasSuffix(got, "405") {
			t.Errorf("%q: got %s, want 405", args, got)
		}
	}
}

// nginx appends the address of a sender to what the sender claims, over TCP and a Unix socket.
func TestNginxPeer(t *testing.T) {
	program := need(t, "nginx", "apt-get install nginx-light")
	dir := t.TempDir()
	socket := filepath.Join(dir, "hook.sock")
	user := ""
	if os.Getuid() == 0 {
		user = "user root;" // of the socket
	}
	for _, network := range []string{"tcp", "unix"} {
		address, upstream := "127.0.0.1:0", ""
		if network == "unix" {
			address = socket
		}
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		upstream = "http://" + l.Addr().String()
		if network == "unix" {
			upstream = "http://unix:" + socket + ":"
		}
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		front := free.Addr().String()
		free.Close()
		p := provider.GitHub("a secret")
		p.Networks = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
		w := &webhook.Receiver{Provider: p, Listener: l, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
		events := consume(t, w)
		config := filepath.Join(dir, "nginx.conf")
		text := fmt.Sprintf(`
daemon off;
%[4]s
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	server {
		listen %[2]s;
		location / {
			proxy_pass %[3]s;
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
		}
	}
}
`, dir, front, upstream, user)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cmd := exec.CommandContext(ctx, program, "-c", config, "-p", dir)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if c, err := net.Dial("tcp", front); err == nil {
				c.Close()
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		d := sign(t, p, "1", "{}")
		args := []string{"--data", "{}", "--header", "X-Hub-Signature-256: " + d.Header.Get("X-Hub-Signature-256"), "--header", "X-GitHub-Delivery: 1"}
		for _, c := range []struct {
			from, claim, want string
		}{
			{"127.0.0.3", "127.0.0.2", "401"}, {"127.0.0.3", "127.0.0.2, 127.0.0.1", "401"}, {"127.0.0.3", "", "401"},
			{"127.0.0.2", "127.0.0.3", "204"}, {"127.0.0.2", "", "204"},
		} {
			extra := []string{"--interface", c.from, "--header", "X-Forwarded-For: " + c.claim}
			if got := curl(t, append(append(extra, args...), "http://"+front)...); got != c.want {
				t.Errorf("%s, from %s, which claims %q: got %s, want %s", network, c.from, c.claim, got, c.want)
			}
		}
		select {
		case <-events:
		case <-time.After(5 * time.Second):
			t.Error("nothing arrived")
		}
		cancel()
		cmd.Wait()
	}
}

// A client certificate that is verified but of another name is refused, and so is none.
func TestCurlClientCertificate(t *testing.T) {
	dir := t.TempDir()
	roots := x509.NewCertPool()
	issue := func(name string) (cert, key string) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		}
		der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		parsed, _ := x509.ParseCertificate(der)
		roots.AddCert(parsed)
		cert, key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
		for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
			if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return cert, key
	}
	serverCert, serverKey := issue("server.test")
	right, rightKey := issue("client.webhooks.test")
	wrong, wrongKey := issue("other.test")
	pair, err := tls.LoadX509KeyPair(serverCert, serverKey)
	if err != nil {
		t.Fatal(err)
	}
	p := provider.StandardWebhooks(secret)
	p.ClientNames = []string{"client.webhooks.test"}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &webhook.Receiver{
		Provider: p, Listener: l,
		TLS: &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: roots, ClientAuth: tls.VerifyClientCertIfGiven},
	}
	events := consume(t, w)
	d := sign(t, p, "msg_1", `{}`)
	args := []string{"--cacert", serverCert, "--data", "{}"}
	for name := range d.Header {
		args = append(args, "--header", name+": "+d.Header.Get(name))
	}
	url := "https://" + l.Addr().String()
	for _, c := range []struct {
		extra []string
		want  string
	}{
		{nil, "401"}, {[]string{"--cert", wrong, "--key", wrongKey}, "401"}, {[]string{"--cert", right, "--key", rightKey}, "204"},
	} {
		if got := curl(t, append(append(c.extra, args...), url)...); got != c.want {
			t.Errorf("%q: got %s, want %s", c.extra, got, c.want)
		}
	}
	<-events
}
