//go:build integration

package jwt_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/jwt"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// result is what a library returns.
type result struct {
	Error    string
	Token    string
	Tokens   map[string]string
	Keys     []json.RawMessage
	Accepted map[string]bool
}

// library runs an operation of testdata/senders/jose.js.
func library(t *testing.T, operation string, task map[string]any) (r result) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("node is not installed: Node.js 20 or newer")
	}
	folder := filepath.Join("..", "testdata", "senders")
	if _, err := os.Stat(filepath.Join(folder, "node_modules")); err != nil {
		t.Fatal("the libraries are not installed: run npm ci in transport/webhook/testdata/senders")
	}
	task["operation"] = operation
	cmd := exec.CommandContext(t.Context(), node, "jose.js")
	cmd.Dir, cmd.Stdin = folder, bytes.NewReader(must(json.Marshal(task)))
	var output, failure bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &failure
	if err := cmd.Run(); err != nil {
		t.Fatalf("jose.js: %v\n%s", err, &failure)
	}
	if err := json.Unmarshal(output.Bytes(), &r); err != nil {
		t.Fatalf("jose.js printed %q: %v", &output, err)
	}
	return r
}

// TestSendersLibrariesJose receives tokens of every algorithm that jose has signed, with the keys
// that it has exported, and refuses each under the other algorithms.
func TestSendersLibrariesJose(t *testing.T) {
	all := []string{
		"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
	}
	made := library(t, "sign", map[string]any{"algorithms": all, "claims": good(), "secret": secret + secret})
	if made.Error != "" || len(made.Tokens) != len(all) {
		t.Fatalf("got %+v, want a token for each algorithm", made)
	}
	w := &web{pages: map[string]string{setURL: jwks(made.Keys...)}}
	for _, alg := range all {
		for _, configured := range all {
			s := scheme(w)
			s.Algorithms = []string{configured}
			p := provide(s)
			if strings.HasPrefix(configured, "HS") {
				s.Keys = nil
				p = provide(s).WithSecrets(secret + secret)
			}
			err := receive(valid(t, p), request(made.Tokens[alg]))
			if (err == nil) != (alg == configured) || err != nil && !forged(err) {
				t.Errorf("%s where %s is configured: got error %v, want success %t", alg, configured, err, alg == configured)
			}
		}
	}
}

// TestSendersLibrariesHMAC has the libraries of MessageBird and LiveKit verify what Sign makes,
// and receives what LiveKit's signs.
func TestSendersLibrariesHMAC(t *testing.T) {
	const body = `{"event":"room_started","id":"EV_1"}`
	r := &provider.Request{URL: "https://example.com/hook?a=b&c=%5B", Body: []byte(body)}
	if err := jwt.MessageBird(secret).Sign(r, "jti1"); err != nil {
		t.Fatal(err)
	}
	text := r.Header.Get("MessageBird-Signature-JWT")
	for secret, ok := range map[string]bool{secret: true, secret + "x": false} {
		if got := library(t, "messagebird", map[string]any{"url": r.URL, "body": body, "token": text, "secret": secret}); (got.Error == "") != ok {
			t.Errorf("MessageBird: got error %q, want success %t", got.Error, ok)
		}
	}
	made := library(t, "livekitSign", map[string]any{"key": "APIkey", "secret": secret, "body": body})
	r = &provider.Request{URL: "https://example.com/", Body: []byte(body), Header: http.Header{"Authorization": {made.Token}}}
	if d, err := jwt.LiveKit("APIkey", secret).Receive(r); err != nil || d.Events[0].Type != "room_started" || d.ID != "EV_1" {
		t.Errorf("LiveKit: got %+v and error %v, want the event", d, err)
	}
	if got := library(t, "livekitVerify", map[string]any{"key": "APIkey", "secret": secret, "body": body, "token": made.Token}); got.Error != "" {
		t.Errorf("LiveKit does not verify its own token: %s", got.Error)
	}
}

// TestSendersLibrariesApple compares with Apple's library.
func TestSendersLibrariesApple(t *testing.T) {
	a := newAppStore(chainOptions{})
	other := newAppStore(chainOptions{})
	notifications := map[string]string{
		"a good one":                a.sign(notification()),
		"another app":               a.sign(changed("data.appAppleId", 1235)),
		"another bundle":            a.sign(changed("data.bundleId", "com.examplex")),
		"the sandbox":               a.sign(changed("data.environment", "Sandbox")),
		"an authority like Apple's": other.sign(notification()),
		"another key":               other.sign(notification(), a.leaf.Raw, a.issuer.Raw, a.rootDER),
		"a root of its own":         a.sign(notification(), a.leaf.Raw, a.issuer.Raw, other.rootDER),
		"two certificates":          a.sign(notification(), a.leaf.Raw, a.issuer.Raw),
		"the wrong order":           a.sign(notification(), a.issuer.Raw, a.leaf.Raw, a.rootDER),
		"no certificate":            token("ES256", a.key, nil, notification()),
		"expired":                   a.sign(changed("signedDate", at.AddDate(2, 0, 0).UnixMilli())),
	}
	got := library(t, "apple", map[string]any{"root": base64.StdEncoding.EncodeToString(a.rootDER), "notifications": notifications})
	mine := jwt.AppStore{BundleID: "com.example", AppAppleID: 1234, Roots: a.roots}
	var accepted []string
	for name, jws := range notifications {
		err := receive(jwt.AppStoreNotifications(mine), post(jws))
		if (err == nil) != got.Accepted[name] {
			t.Errorf("%s: got error %v, but Apple's library accepts it: %t", name, err, got.Accepted[name])
		}
		if err == nil {
			accepted = append(accepted, name)
		}
	}
	slices.Sort(accepted)
	if strings.Join(accepted, ", ") != "a good one, a root of its own" {
		t.Errorf("accepted %q", accepted)
	}
}
