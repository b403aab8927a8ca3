package jwt_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/steadfeed/steadfeed/transport/webhook/jwt"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func kid(id string) map[string]any { return map[string]any{"kid": id} }

// Tokens of every algorithm are accepted.
func TestTokensAreAccepted(t *testing.T) {
	for _, c := range []struct {
		alg string
		key any
		id  string
	}{
		{"RS256", rsaKey(), "r"}, {"PS256", rsaKey(), "r"}, {"ES256", ecKey(), "e"}, {"EdDSA", edKey, "d"},
	} {
		p := valid(t, provide(scheme(issuer())))
		r := request(token(c.alg, c.key, kid(c.id), good()))
		d, err := p.Receive(r)
		if err != nil || d.Key != -1 || d.Proof.String() != "bearer" {
			t.Errorf("%s: got %+v and error %v, want a bearer", c.alg, d, err)
		}
	}
}

// Forged tokens of the classic kinds are refused.
func TestForgedTokens(t *testing.T) {
	weak := must(rsa.GenerateKey(rand.Reader, 1024))
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	set := issuer()
	set.pages[setURL] = jwks(
		jwk("r", "", "sig", &rsaKey().PublicKey), jwk("e", "", "", &ecKey().PublicKey), jwk("d", "EdDSA", "sig", edKey.Public()),
		jwk("ps", "PS256", "sig", &rsaKey().PublicKey), jwk("enc", "", "enc", &otherKey().PublicKey), jwk("weak", "", "", &weak.PublicKey),
		jwk("p384", "", "", &p384.PublicKey), jwk("oct", "HS256", "sig", []byte(strings.Repeat("k", 32))), jwk("private", "", "", otherKey()),
		[]byte(`{"kty":"new","kid":"new"}`), []byte(`{"kty":"RSA","kid":"broken","n":"%"}`), []byte(`{"kid":"none"}`),
	)
	valid := token("RS256", rsaKey(), kid("r"), good())
	head, rest, _ := strings.Cut(valid, ".")
	body, signature, _ := strings.Cut(rest, ".")
	evil := jose.JSONWebKey{Key: &otherKey().PublicKey, KeyID: "r"}
	for _, c := range []struct{ name, token, want string }{
		{"a good one", valid, ""},
		{"none", b64(`{"alg":"none"}`) + "." + body + ".", "forged"},
		{"none with a signature", b64(`{"alg":"none","kid":"r"}`) + "." + body + "." + signature, "forged"},
		{"NonE", b64(`{"alg":"NonE","kid":"r"}`) + "." + body + ".", "forged"},
		{"no algorithm", raw(rsaKey(), `{"kid":"r"}`, `{}`), "forged"},
		{"an empty algorithm", raw(rsaKey(), `{"alg":"","kid":"r"}`, `{}`), "forged"},
		{"HMAC with the public key in PEM", token("HS256", []byte(publicPEM(&rsaKey().PublicKey)), kid("r"), good()), "forged"},
		{"HMAC with the modulus", token("HS256", rsaKey().N.Bytes(), kid("r"), good()), "forged"},
		{"HMAC with a key of the set", token("HS256", []byte(strings.Repeat("k", 32)), kid("oct"), good()), "forged"},
		{"another algorithm of the key", token("RS512", rsaKey(), kid("r"), good()), "forged"},
		{"the algorithm of another key", token("RS256", rsaKey(), kid("e"), good()), "forged"},
		{"a key for another algorithm", token("RS256", rsaKey(), kid("ps"), good()), "forged"},
		{"a key for another curve", token("ES256", ecKey(), kid("p384"), good()), "forged"},
		{"a header that says another algorithm", b64(`{"alg":"PS256","kid":"r"}`) + "." + body + "." + signature, "forged"},
		{"a key for encryption", token("RS256", otherKey(), kid("enc"), good()), "forged"},
		{"a private key in the set", token("RS256", otherKey(), kid("private"), good()), "forged"},
		{"a weak key", weakToken(weak), "forged"},
		{"another key", token("RS256", otherKey(), kid("r"), good()), "forged"},
		{"an unknown key", token("RS256", otherKey(), kid("x"), good()), "forged"},
		{"no key id", token("RS256", rsaKey(), nil, good()), "forged"},
		{"a jwk of its own", token("RS256", otherKey(), map[string]any{"kid": "r", "jwk": evil}, good()), "forged"},
		{"a jku of its own", token("RS256", otherKey(), map[string]any{"kid": "r", "jku": "https://evil.example/keys"}, good()), "forged"},
		{"an x5u of its own", token("RS256", otherKey(), map[string]any{"kid": "r", "x5u": "https://evil.example/cert"}, good()), "forged"},
		{"a path as its key id", token("RS256", otherKey(), kid("../../dev/null"), good()), "forged"},
		{"a long key id", token("RS256", rsaKey(), kid(strings.Repeat("r", 257)), good()), "malformed"},
		{"crit", raw(rsaKey(), `{"alg":"RS256","kid":"r","crit":["exp"],"exp":1}`, `{}`), "malformed"},
		{"crit b64", raw(rsaKey(), `{"alg":"RS256","kid":"r","crit":["b64"],"b64":false}`, `{}`), "malformed"},
		{"crit null", raw(rsaKey(), `{"alg":"RS256","kid":"r","crit":null}`, `{}`), "malformed"},
		{"two algorithms", raw(rsaKey(), `{"alg":"none","alg":"RS256","kid":"r"}`, `{}`), "malformed"},
		{"two key ids", raw(rsaKey(), `{"alg":"RS256","kid":"r","kid":"r"}`, `{}`), "malformed"},
		{"two issuers", raw(rsaKey(), `{"alg":"RS256","kid":"r"}`, `{"iss":"evil","iss":"https://issuer.example","aud":"me","exp":9999999999}`), "malformed"},
		{"another payload", head + "." + b64(`{"iss":"https://issuer.example","aud":"me","exp":9999999999}`) + "." + signature, "forged"},
		{"another header", b64(`{"alg":"RS256","kid":"r" }`) + "." + body + "." + signature, "forged"},
		{"no signature", head + "." + body + ".", "forged"},
		{"a cut signature", valid[:len(valid)-4], "forged"},
		{"two parts", head + "." + body, "malformed"},
		{"four parts", valid + ".a", "malformed"},
		{"a line end", head + "." + body + "\n." + signature, "malformed"},
		{"padding", head + "." + body + "=." + signature, "malformed"},
		{"the other Base64", strings.Replace(valid, ".", "+.", 1), "malformed"},
		{"JSON serialization", `{"payload":"` + body + `","protected":"` + head + `","signature":"` + signature + `"}`, "malformed"},
		{"encrypted", head + ".a.b.c.d", "malformed"},
		{"a long one", head + "." + strings.Repeat("a", 17<<10) + "." + signature, "malformed"},
		{"nothing", "", "malformed"},
		{"not JSON", raw(rsaKey(), `{`, `{}`), "malformed"},
		{"an array as its header", raw(rsaKey(), `[]`, `{}`), "malformed"},
		{"an array as its claims", raw(rsaKey(), `{"alg":"RS256","kid":"r"}`, `[]`), "malformed"},
		{"null as its claims", raw(rsaKey(), `{"alg":"RS256","kid":"r"}`, `null`), "malformed"},
	} {
		set := &web{pages: set.pages} // no token uses what another has fetched
		p := provide(scheme(set))
		err := receive(p, request(c.token))
		if kindOf(err) != c.want {
			t.Errorf("%s: got error %v, want %q", c.name, err, c.want)
		}
		if n := set.count(); n > 2 {
			t.Errorf("%s: got %d fetches, want at most 2", c.name, n)
		}
		for _, f := range set.fetched {
			if f != setURL {
				t.Errorf("%s: fetched %s, want only %s", c.name, f, setURL)
			}
		}
		if err != nil && c.token != "" && strings.Contains(err.Error(), signature) {
			t.Errorf("%s: got error %v, want it without the token", c.name, err)
		}
	}
}

// weakToken is signed with a key that the library does not use.
func weakToken(key *rsa.PrivateKey) string {
	return raw(key, `{"alg":"RS256","kid":"weak"}`, string(must(json.Marshal(good()))))
}

// The claims are verified, each with its limits.
func TestClaims(t *testing.T) {
	unix := at.Unix()
	for _, c := range []struct {
		name string
		c    claims
		want string
	}{
		{"another issuer", good().with("iss", "https://issuer.example/"), "forged"},
		{"no issuer", good().with("iss", nil), "forged"},
		{"a list of issuers", good().with("iss", []string{"https://issuer.example"}), "forged"},
		{"another audience", good().with("aud", "you"), "forged"},
		{"no audience", good().with("aud", nil), "forged"},
		{"an empty audience", good().with("aud", ""), "forged"},
		{"one of several audiences", good().with("aud", []string{"you", "myself"}), ""},
		{"several other audiences", good().with("aud", []string{"you", "them"}), "forged"},
		{"an audience that is not text", good().with("aud", []any{1, "me"}), "forged"},
		{"no expiry", good().with("exp", nil), "forged"},
		{"expired, within the leeway", good().with("exp", unix-59), ""},
		{"expired", good().with("exp", unix-60), "forged"},
		{"an expiry in text", good().with("exp", "9999999999"), "forged"},
		{"an expiry of null", good().with("exp", []byte(nil)), "forged"},
		{"an expiry with a fraction", good().with("exp", float64(unix)+0.5), ""},
		{"a huge expiry", good().with("exp", 1e300), ""},
		{"not valid yet, within the leeway", good().with("nbf", unix+60), ""},
		{"not valid yet", good().with("nbf", unix+61), "forged"},
		{"nbf in text", good().with("nbf", "1"), "forged"},
		{"issued in the future, within the leeway", good().with("iat", unix+60), ""},
		{"issued in the future", good().with("iat", unix+61), "forged"},
		{"iat in text", good().with("iat", "1"), "forged"},
		{"issued long ago", good().with("iat", 1), ""},
	} {
		p := provide(scheme(issuer()))
		if err := receive(p, request(token("RS256", rsaKey(), kid("r"), c.c))); kindOf(err) != c.want {
			t.Errorf("%s: got error %v, want %q", c.name, err, c.want)
		}
	}
	aged := scheme(issuer())
	aged.MaxAge, aged.Leeway = 300e9, -1
	aged.Claims = map[string][]string{"sub": {"s", "t"}, "ok": {"true"}, "n": {"1"}}
	fine := good().with("exp", nil).with("ok", true).with("n", 1)
	for _, c := range []struct {
		name string
		c    claims
		want string
	}{
		{"no expiry", fine, ""},
		{"the other value", fine.with("sub", "t"), ""},
		{"another value", fine.with("sub", "u"), "forged"},
		{"no such claim", fine.with("sub", nil), "forged"},
		{"not true", fine.with("ok", false), "forged"},
		{"another number", fine.with("n", 2), "forged"},
		{"just young enough", fine.with("iat", unix-300), ""},
		{"too old", fine.with("iat", unix-301), "forged"},
		{"no time", fine.with("iat", nil), "forged"},
		{"from the future", fine.with("iat", unix+1), "forged"},
		{"expired nevertheless", fine.with("exp", unix), "forged"},
	} {
		if err := receive(provide(aged), request(token("RS256", rsaKey(), kid("r"), c.c))); kindOf(err) != c.want {
			t.Errorf("with MaxAge, %s: got error %v, want %q", c.name, err, c.want)
		}
	}
}

// A token is found in the header, the URL or the body.
func TestPlaces(t *testing.T) {
	text := token("RS256", rsaKey(), kid("r"), good())
	other := token("RS256", otherKey(), kid("r"), good())
	place := func(change func(*jwt.Scheme)) *provider.Provider {
		s := scheme(issuer())
		s.Prefix = ""
		change(&s)
		return valid(t, provide(s))
	}
	query := func(s *jwt.Scheme) { s.Query = "t" }
	body := func(s *jwt.Scheme) { s.Path = "a.tokens" }
	header := func(s *jwt.Scheme) { s.Header = "x-jwt" }
	list := `","` + text
	for _, c := range []struct {
		name       string
		p          *provider.Provider
		url, body  string
		header     []string
		want       string
		credential string
	}{
		{"header", place(header), "", "", []string{text}, "", "X-Jwt"},
		{"no header", place(header), "", "", nil, "malformed", "X-Jwt"},
		{"two headers", place(header), "", "", []string{text, text}, "malformed", "X-Jwt"},
		{"query", place(query), "/?t=" + text, "", nil, "", ""},
		{"query twice", place(query), "/?t=" + text + "&t=" + text, "", nil, "malformed", ""},
		{"no query", place(query), "/", "", nil, "malformed", ""},
		{"a bad query", place(query), "/?t=%", "", nil, "malformed", ""},
		{"body", place(body), "", `{"a":{"tokens":"` + text + `"}}`, nil, "", ""},
		{"several", place(body), "", `{"a":{"tokens":["` + text + list + `"]}}`, nil, "", ""},
		{"a forged one among several", place(body), "", `{"a":{"tokens":["` + text + `","` + other + `"]}}`, nil, "forged", ""},
		{"65", place(body), "", `{"a":{"tokens":["` + text + strings.Repeat(list, 64) + `"]}}`, nil, "malformed", ""},
		{"none", place(body), "", `{"a":{"tokens":[]}}`, nil, "malformed", ""},
		{"no array", place(body), "", `{}`, nil, "malformed", ""},
		{"numbers", place(body), "", `{"a":{"tokens":[1]}}`, nil, "malformed", ""},
		{"not JSON", place(body), "", `{`, nil, "malformed", ""},
	} {
		r := &provider.Request{Method: "POST", URL: "https://example.com" + c.url, Body: []byte(c.body), Time: at, Header: map[string][]string{}}
		if c.header != nil {
			r.Header["X-Jwt"] = c.header
		}
		if err := receive(c.p, r); kindOf(err) != c.want {
			t.Errorf("%s: got error %v, want %q", c.name, err, c.want)
		}
		if got := strings.Join(c.p.CredentialHeaders(), " "); got != c.credential {
			t.Errorf("%s: got the credential header %q, want %q", c.name, got, c.credential)
		}
	}
	p := provide(scheme(issuer()))
	r := request(text)
	r.Header["Authorization"] = []string{"bEARER " + text}
	if err := receive(p, r); err != nil {
		t.Errorf("another case of Bearer: %v", err)
	}
	r.Header["Authorization"] = []string{text}
	if err := receive(p, r); kindOf(err) != "malformed" {
		t.Errorf("without Bearer: got error %v, want one", err)
	}
}
