package jwt_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/jwt"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// FuzzToken reads any text as a token, in each place. Nothing panics, Receive refuses what
// Precheck refuses, and only a token that was signed is accepted.
func FuzzToken(f *testing.F) {
	valid := []string{
		token("RS256", rsaKey(), kid("r"), good()), token("ES256", ecKey(), kid("e"), good()), token("EdDSA", edKey, kid("d"), good()),
		token("HS256", []byte(secret), nil, good().with("payload_hash", hexHash(`{"a":1}`)).with("iss", "Vonage")),
	}
	for _, v := range valid {
		f.Add(v)
	}
	f.Add(b64(`{"alg":"none"}`) + "." + b64(`{}`) + ".")
	f.Add(b64(`{"alg":"RS256","kid":"r","crit":["b64"],"b64":false}`) + ".{}.AAAA")
	f.Add(b64(`{"alg":"RS256","alg":"HS256"}`) + "..")
	f.Add(strings.Repeat(".", 100))
	inBody := scheme(issuer())
	inBody.Prefix, inBody.Path = "", "t"
	query := scheme(issuer())
	query.Prefix, query.Query = "", "t"
	all := []*provider.Provider{provide(scheme(issuer())), provide(inBody), provide(query), jwt.Vonage(secret)}
	f.Fuzz(func(t *testing.T, text string) {
		for i, p := range all {
			r := request(text)
			switch i {
			case 1:
				r.Body = []byte(`{"t":"` + text + `"}`)
			case 2:
				r.URL = "https://example.com/?t=" + text
			}
			if err := receive(p, r); err == nil && !strings.Contains(strings.Join(valid, " "), text) && i != 1 {
				t.Errorf("%d: accepted %q, want an error", i, text)
			}
		}
	})
}

// FuzzKeySet reads any document as a key set. A key in it that is found is a public key.
func FuzzKeySet(f *testing.F) {
	f.Add(issuer().pages[setURL])
	f.Add(`{"jwks_uri":"https://issuer.example/keys"}`)
	f.Add(jwks(jwk("r", "HS256", "sig", []byte("secret"))))
	f.Add(`{"keys":[{"kty":"RSA","kid":"r","n":"AQAB","e":"AQAB"},{"kty":"OKP","crv":"Ed25519","kid":"r","x":"AA"}]}`)
	f.Fuzz(func(t *testing.T, page string) {
		if strings.HasPrefix(page, "https://") {
			return // a redirect of the test's server
		}
		k := &jwt.KeySet{URL: setURL, Client: (&web{pages: map[string]string{setURL: page}}).client()}
		for _, id := range []string{"r", ""} {
			key, err := k.Key(&provider.Request{}, id)
			if err != nil && !busy(err) {
				t.Errorf("got error %v, want Busy", err)
			}
			if key != nil && key.Public == nil {
				t.Errorf("got %+v, want a public key", key)
			}
		}
	})
}

// FuzzBody reads any body as that of the presets whose tokens are inside it, or compare it.
func FuzzBody(f *testing.F) {
	a := newAppStore(chainOptions{})
	f.Add(post(a.sign(notification())).Body)
	f.Add([]byte(`{"value":[{"clientState":"my state","tenantId":"t","encryptedContent":{}}],"validationTokens":["a.b.c"]}`))
	f.Add([]byte(`{"type":"message","serviceUrl":"https://a","channelId":"c"}`))
	f.Add([]byte(`{"challenge":"a"}`))
	graph := jwt.MicrosoftGraph([]string{"a"}, []string{"t"}, "my state")
	jwt.PlayGraph(graph, microsoftWeb().client())
	bot := play(jwt.BotFramework("bot"), microsoftWeb())
	bearer := bearer(claims{"iss": "https://api.botframework.com", "aud": "bot", "serviceurl": "https://a", "exp": at.Unix() + 60})
	app := jwt.AppStoreNotifications(jwt.AppStore{BundleID: "com.example", AppAppleID: 1234}) // with Apple's root
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, p := range []*provider.Provider{app, graph, bot, jwt.Monday("", secret)} {
			r := &provider.Request{Method: "POST", Header: http.Header{"Authorization": {bearer}}, Body: body, Time: at}
			d, err := p.Receive(r)
			if err == nil && p == app {
				t.Errorf("accepted %q, want an error", body)
			}
			if err == nil && d.Answer != nil && strings.ContainsAny(string(d.Answer.Body), "<>&") {
				t.Errorf("got the answer %q, want no markup", d.Answer.Body)
			}
		}
	})
}
