package jwt_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/jwt"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// play replaces the client of a preset's keys.
func play(p *provider.Provider, w *web) *provider.Provider {
	p.Scheme.(jwt.Scheme).Keys.(*jwt.KeySet).Client = w.client()
	return p
}

// attempt is a request and what becomes of it.
type attempt struct {
	name, token, body, want string
}

func hexHash(data string) string {
	sum := sha256.Sum256([]byte(data))
	return hex.EncodeToString(sum[:])
}

// try receives each attempt with a new provider.
func try(t *testing.T, newProvider func() *provider.Provider, header string, list []attempt) {
	t.Helper()
	for _, a := range list {
		p := valid(t, newProvider())
		r := request("")
		r.Header = http.Header{"Content-Type": {"application/json"}}
		if a.token != "" {
			r.Header.Set(header, a.token)
		}
		if a.body == "-" {
			r.Body = nil
		} else if a.body != "" {
			r.Body = []byte(a.body)
		}
		if err := receive(p, r); kindOf(err) != a.want {
			t.Errorf("%s: got error %v, want %q", a.name, err, a.want)
		}
	}
}

func bearer(c claims) string { return "Bearer " + token("RS256", rsaKey(), kid("r"), c) }

func googleWeb() *web {
	set := jwks(jwk("r", "RS256", "sig", &rsaKey().PublicKey))
	return &web{pages: map[string]string{
		"https://accounts.google.com/.well-known/openid-configuration":                       `{"jwks_uri":"https://www.googleapis.com/oauth2/v3/certs"}`,
		"https://www.googleapis.com/oauth2/v3/certs":                                         set,
		"https://www.googleapis.com/service_accounts/v1/jwk/chat@system.gserviceaccount.com": set,
	}}
}

func TestGooglePubSub(t *testing.T) {
	make := func() *provider.Provider {
		return play(jwt.GooglePubSub("https://example.com/push", "push@project.iam.gserviceaccount.com"), googleWeb())
	}
	// As in Google's documentation of authenticated push.
	c := claims{
		"aud": "https://example.com/push", "azp": "113774264463038321964", "email": "push@project.iam.gserviceaccount.com", "sub": "113774264463038321964",
		"email_verified": true, "exp": at.Unix() + 3600, "iat": at.Unix(), "iss": "https://accounts.google.com",
	}
	try(t, make, "Authorization", []attempt{
		{"a good one", bearer(c), "", ""},
		{"the short issuer", bearer(c.with("iss", "accounts.google.com")), "", ""},
		{"another issuer", bearer(c.with("iss", "https://accounts.evil.example")), "", "forged"},
		{"another account", bearer(c.with("email", "evil@project.iam.gserviceaccount.com")), "", "forged"},
		{"no account", bearer(c.with("email", nil)), "", "forged"},
		{"an account that is not verified", bearer(c.with("email_verified", false)), "", "forged"},
		{"another audience", bearer(c.with("aud", "https://example.com/other")), "", "forged"},
		{"expired", bearer(c.with("exp", at.Unix()-61)), "", "forged"},
		{"no token", "", "", "malformed"},
	})
	r := request("")
	r.Header.Set("Authorization", bearer(c))
	r.Body = []byte(`{"message":{"attributes":{"eventType":"OBJECT_FINALIZE"},"data":"SGVsbG8=","messageId":"2070443601311540"},"subscription":"s","deliveryAttempt":5}`)
	d, err := make().Receive(r)
	if err != nil || d.ID != "2070443601311540" || d.Signed || d.Proof != transport.ProofBearer || d.Attempt != 5 || d.Events[0].Type != "OBJECT_FINALIZE" || d.Events[0].ID != d.ID {
		t.Errorf("got %+v and error %v, want the message", d, err)
	}
}

func TestGoogleChat(t *testing.T) {
	const sender = "chat@system.gserviceaccount.com"
	own := claims{"iss": sender, "aud": "1234567890", "iat": at.Unix(), "exp": at.Unix() + 3600}
	openID := claims{"iss": "https://accounts.google.com", "aud": "https://example.com/chat", "email": sender, "email_verified": true, "exp": at.Unix() + 3600}
	try(t, func() *provider.Provider { return play(jwt.GoogleChat("1234567890"), googleWeb()) }, "Authorization", []attempt{
		{"a good one", bearer(own), `{"type":"MESSAGE"}`, ""},
		{"another project", bearer(own.with("aud", "1234567891")), "", "forged"},
		{"another issuer", bearer(own.with("iss", "https://accounts.google.com")), "", "forged"},
		{"an OpenID token", bearer(openID.with("aud", "1234567890")), "", "forged"},
	})
	try(t, func() *provider.Provider { return play(jwt.GoogleChat("https://example.com/chat"), googleWeb()) }, "Authorization", []attempt{
		{"a good one", bearer(openID), `{"type":"MESSAGE"}`, ""},
		{"another account", bearer(openID.with("email", "evil@system.gserviceaccount.com")), "", "forged"},
		{"another URL", bearer(openID.with("aud", "https://example.com/")), "", "forged"},
		{"its own token", bearer(own.with("aud", "https://example.com/chat")), "", "forged"},
	})
}

func microsoftWeb() *web {
	var key map[string]any
	json.Unmarshal(jwk("r", "", "sig", &rsaKey().PublicKey), &key)
	key["endorsements"] = []string{"msteams", "webchat"}
	endorsed := must(json.Marshal(key))
	return &web{pages: map[string]string{
		"https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration": `{"jwks_uri":"https://login.microsoftonline.com/common/discovery/v2.0/keys"}`,
		"https://login.microsoftonline.com/common/discovery/v2.0/keys":                   jwks(jwk("r", "", "sig", &rsaKey().PublicKey)),
		"https://login.botframework.com/v1/.well-known/openidconfiguration":              `{"jwks_uri":"https://login.botframework.com/v1/.well-known/keys"}`,
		"https://login.botframework.com/v1/.well-known/keys":                             jwks(endorsed),
	}}
}

const tenant = "84bd8158-6d4d-4958-8b9f-9d6445542f95"

// entraV1 and entraV2 are tokens of an application, as Microsoft documents them.
func entraV1(audience, app string) claims {
	return claims{
		"aud": audience, "iss": "https://sts.windows.net/" + tenant + "/", "iat": at.Unix(), "nbf": at.Unix(), "exp": at.Unix() + 3600,
		"appid": app, "appidacr": "2", "tid": tenant, "ver": "1.0",
	}
}

func entraV2(audience, app string) claims {
	return claims{
		"aud": audience, "iss": "https://login.microsoftonline.com/" + tenant + "/v2.0", "iat": at.Unix(), "nbf": at.Unix(), "exp": at.Unix() + 3600,
		"azp": app, "tid": tenant, "ver": "2.0",
	}
}

func TestAzureEventGrid(t *testing.T) {
	const app = "4962773b-9cdb-44cf-a8bf-237846a00ab7"
	make := func() *provider.Provider {
		return play(jwt.AzureEventGrid(tenant, "api://hook", "eventgrid.azure.net"), microsoftWeb())
	}
	v1, v2 := entraV1("api://hook", app), entraV2("api://hook", app)
	try(t, make, "Authorization", []attempt{
		{"version 1", bearer(v1), `[{"id":"1"}]`, ""},
		{"version 2", bearer(v2), "", ""},
		{"another application", bearer(v1.with("appid", "evil")), "", "forged"},
		{"another application, version 2", bearer(v2.with("azp", "evil")), "", "forged"},
		{"the claim of the other version", bearer(v2.with("azp", "evil").with("appid", app)), "", "forged"},
		{"no application", bearer(v1.with("appid", nil)), "", "forged"},
		{"another tenant", bearer(v1.with("iss", "https://sts.windows.net/evil/")), "", "forged"},
		{"another audience", bearer(v1.with("aud", "api://other")), "", "forged"},
		{"five minutes late", bearer(v1.with("exp", at.Unix()-299)), "", ""},
		{"later", bearer(v1.with("exp", at.Unix()-300)), "", "forged"},
	})
	p := make()
	if p.Answers.Forged.Status != 503 || p.Answers.Malformed.Status != 503 {
		t.Errorf("got the answers %+v, want 503 so that Event Grid repeats", p.Answers)
	}
	r := request("")
	r.Header.Set("Authorization", bearer(v1))
	r.Header.Set("Aeg-Event-Type", "SubscriptionValidation")
	r.Body = []byte(`[{"id":"1","data":{"validationCode":"512d38b6"},"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent"}]`)
	if d, err := p.Receive(r); err != nil || d.Answer == nil || string(d.Answer.Body) != `{"validationResponse":"512d38b6"}` {
		t.Errorf("the validation: got %+v and error %v, want its answer", d, err)
	}
}

func TestBotFramework(t *testing.T) {
	const body = `{"type":"message","id":"m1","channelId":"msteams","serviceUrl":"https://smba.example/emea/"}`
	c := claims{"iss": "https://api.botframework.com", "aud": "bot", "serviceurl": "https://smba.example/emea/", "nbf": at.Unix(), "exp": at.Unix() + 3600}
	try(t, func() *provider.Provider { return play(jwt.BotFramework("other", "bot"), microsoftWeb()) }, "Authorization", []attempt{
		{"a good one", bearer(c), body, ""},
		{"the claim as documented", bearer(c.with("serviceurl", nil).with("serviceUrl", "https://smba.example/emea/")), body, ""},
		{"another serviceUrl", bearer(c), strings.Replace(body, "emea", "evil", 1), "forged"},
		{"no serviceUrl in the token", bearer(c.with("serviceurl", nil)), body, "forged"},
		{"no serviceUrl at all", bearer(c.with("serviceurl", nil)), `{"channelId":"msteams"}`, "forged"},
		{"a serviceUrl in two cases", bearer(c), `{"serviceurl":"https://evil.example/",` + body[1:], "forged"},
		{"another channel", bearer(c), strings.Replace(body, "msteams", "sms", 1), "forged"},
		{"no channel", bearer(c), strings.Replace(body, "channelId", "channel", 1), "forged"},
		{"another bot", bearer(c.with("aud", "evil")), body, "forged"},
		{"another issuer", bearer(c.with("iss", "https://sts.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47/")), body, "forged"},
		{"not JSON", bearer(c), "{", "forged"},
	})
	r := request("")
	r.Header.Set("Authorization", bearer(c))
	r.Body = []byte(body)
	if d, err := play(jwt.BotFramework("bot"), microsoftWeb()).Receive(r); err != nil || d.Events[0].ID != "m1" || d.Events[0].Type != "message" {
		t.Errorf("got %+v and error %v, want the activity", d, err)
	}
}

func TestMicrosoftGraph(t *testing.T) {
	const app = "0bf30f3b-4a52-48df-9a82-234910c4a086"
	make := func() *provider.Provider {
		p := jwt.MicrosoftGraph([]string{"8e460676-ae3f-4b1e-8790-ee0fb5d6148f"}, []string{tenant, "t2"}, "another state", "my state")
		jwt.PlayGraph(p, microsoftWeb().client())
		return p
	}
	own := func(c claims) string { return token("RS256", rsaKey(), kid("r"), c) }
	v1 := entraV1("8e460676-ae3f-4b1e-8790-ee0fb5d6148f", app)
	v2 := entraV2("8e460676-ae3f-4b1e-8790-ee0fb5d6148f", app)
	second := v1.with("iss", "https://sts.windows.net/t2/").with("tid", "t2")
	body := func(items string, tokens ...string) string {
		return `{"value":[` + items + `],"validationTokens":` + string(must(json.Marshal(append([]string{}, tokens...)))) + `}`
	}
	const (
		plain = `{"clientState":"my state","tenantId":"` + tenant + `","changeType":"created","id":"n1"}`
		rich  = `{"clientState":"my state","tenantId":"` + tenant + `","encryptedContent":{"data":"x"}}`
		two   = `{"clientState":"another state","tenantId":"t2","encryptedContent":{"data":"x"}}`
	)
	try(t, make, "X", []attempt{
		{"version 1", "", body(rich, own(v1)), ""},
		{"version 2", "", body(rich, own(v2)), ""},
		{"two tenants", "", body(rich+","+two, own(v1), own(second)), ""},
		{"a tenant without a token", "", body(rich+","+two, own(v1)), "forged"},
		{"a notification without a tenant", "", body(strings.Replace(rich, "tenantId", "tenant", 1), own(v1)), "forged"},
		{"the tenant in two cases", "", body(strings.Replace(rich, "{", `{"tenantid":"t2",`, 1), own(v1)), "malformed"},
		{"a tenant that is not yours", "", body(strings.Replace(rich, tenant, "evil", 1), own(v1.with("iss", "https://sts.windows.net/evil/").with("tid", "evil"))), "forged"},
		{"one of two tokens is forged", "", body(rich, own(v1), token("RS256", otherKey(), kid("r"), v1)), "forged"},
		{"another publisher", "", body(rich, own(v1.with("appid", "evil"))), "forged"},
		{"another application", "", body(rich, own(v1.with("aud", "evil"))), "forged"},
		{"expired", "", body(rich, own(v1.with("exp", at.Unix()-300))), "forged"},
		{"no token for encrypted content", "", body(rich), "malformed"},
		{"no token for encrypted content, and no array", "", `{"value":[` + rich + `]}`, "malformed"},
		{"no token for a plain notification", "", `{"value":[` + plain + `]}`, ""},
		{"a forged token for a plain notification", "", body(plain, token("RS256", otherKey(), kid("r"), v1)), "forged"},
		{"another clientState", "", body(strings.Replace(rich, "my state", "your state", 1), own(v1)), "forged"},
		{"no clientState", "", body(strings.Replace(rich, "clientState", "state", 1), own(v1)), "forged"},
		{"one of two without clientState", "", body(rich+","+strings.Replace(rich, "clientState", "state", 1), own(v1)), "forged"},
		{"no notification", "", body("", own(v1)), "malformed"},
		{"not JSON", "", "{", "malformed"},
	})
	r := request("")
	r.Body = []byte(body(plain, own(v1)))
	if d, err := make().Receive(r); err != nil || d.Key != 1 || d.Events[0].ID != "n1" || d.Events[0].Type != "created" || d.Proof != transport.ProofBearer {
		t.Errorf("got %+v and error %v, want the notification", d, err)
	}
	r = &provider.Request{Method: "POST", URL: "https://example.com/?validationToken=Validation%3A+Testing", Header: http.Header{}, Body: []byte{}}
	if d, err := make().Receive(r); err != nil || d.Answer == nil || string(d.Answer.Body) != "Validation: Testing" {
		t.Errorf("the handshake: got %+v and error %v, want its answer", d, err)
	}
}

const secret = "a secret that is quite long, 0123456789"

func hs(c claims) string { return token("HS256", []byte(secret), nil, c) }

func TestVonage(t *testing.T) {
	const body = `{"message_uuid":"m1","status":"delivered"}`
	c := claims{"iat": at.Unix(), "jti": "c5ba8f24-1a14-4c10-bfdf-3fbe8ce511b5", "iss": "Vonage", "payload_hash": hexHash(body), "api_key": "a1b2c3d", "application_id": "aaaa"}
	make := func() *provider.Provider { return jwt.Vonage("another secret", secret) }
	try(t, make, "Authorization", []attempt{
		{"a good one", "Bearer " + hs(c), body, ""},
		{"another body", "Bearer " + hs(c), body + " ", "forged"},
		{"no hash", "Bearer " + hs(c.with("payload_hash", nil)), body, "forged"},
		{"no hash and no body", "Bearer " + hs(c.with("payload_hash", nil)), "-", "forged"},
		{"the body removed", "Bearer " + hs(c), " ", "forged"},
		{"the hash of nothing", "Bearer " + hs(c.with("payload_hash", "")), body, "forged"},
		{"a cut hash", "Bearer " + hs(c.with("payload_hash", hexHash(body)[:32])), body, "forged"},
		{"another secret", "Bearer " + token("HS256", []byte(strings.Repeat("x", 32)), nil, c), body, "forged"},
		{"another issuer", "Bearer " + hs(c.with("iss", "Evil")), body, "forged"},
		{"a day old", "Bearer " + hs(c.with("iat", at.Unix()-25*3600-60)), body, ""},
		{"older", "Bearer " + hs(c.with("iat", at.Unix()-25*3600-61)), body, "forged"},
		{"no time", "Bearer " + hs(c.with("iat", nil)), body, "forged"},
		{"signed with RSA", "Bearer " + token("RS256", rsaKey(), nil, c), body, "forged"},
		{"unsigned", "", body, "malformed"},
	})
	r := request("")
	r.Header.Set("Authorization", "Bearer "+hs(c))
	r.Body = []byte(body)
	p := make()
	if d, err := p.Receive(r); err != nil || d.Key != 1 || d.Proof != transport.ProofBody || !d.Signed || d.Events[0].ID != "m1" || d.Events[0].Type != "delivered" {
		t.Errorf("got %+v and error %v, want a signed body", d, err)
	}
	if p.Answers.Malformed.Status != 503 {
		t.Error("an unsigned request is not answered with 503")
	}
}

// Deliveries from the tests of MessageBird's Go library, signature_jwt/testdata/reference.json.
func TestMessageBirdVectors(t *testing.T) {
	var list []struct {
		Name, Method, Secret, URL, Payload, Timestamp, Token string
		Valid                                                bool
	}
	if err := json.Unmarshal(must(os.ReadFile("testdata/messagebird.json")), &list); err != nil || len(list) == 0 {
		t.Fatal(err)
	}
	for _, v := range list {
		for _, header := range []string{"MessageBird-Signature-JWT", "messagebird-signature-jwt"} {
			p := valid(t, jwt.MessageBird("another secret", v.Secret))
			r := &provider.Request{Method: v.Method, URL: v.URL, Header: http.Header{}, Body: []byte(v.Payload), Time: must(time.Parse(time.RFC3339, v.Timestamp))}
			r.Header.Set(header, v.Token)
			d, err := p.Receive(r)
			if (err == nil) != v.Valid || err != nil && !forged(err) || err == nil && d.Key != 1 {
				t.Errorf("%s: got %+v and error %v, want success %t", v.Name, d, err, v.Valid)
			}
		}
	}
	p := jwt.MessageBird(secret)
	if !p.SignsURL() {
		t.Error("got SignsURL false, want true")
	}
}

func TestLiveKit(t *testing.T) {
	const body = `{"event":"room_started","id":"EV_1"}`
	sum := sha256.Sum256([]byte(body))
	c := claims{"iss": "APIkey", "exp": at.Unix() + 300, "nbf": at.Unix(), "sha256": base64.StdEncoding.EncodeToString(sum[:])}
	make := func() *provider.Provider { return jwt.LiveKit("APIkey", secret) }
	try(t, make, "Authorization", []attempt{
		{"a good one", hs(c), body, ""},
		{"another body", hs(c), "{}", "forged"},
		{"another key", hs(c.with("iss", "APIother")), body, "forged"},
		{"a hash in the other Base64", hs(c.with("sha256", base64.RawURLEncoding.EncodeToString(sum[:]))), body, "forged"},
	})
}

func TestMonday(t *testing.T) {
	c := claims{"accountId": 1825529, "userId": 4012689, "aud": "https://www.yourserver.com/endpoint", "exp": at.Unix() + 300, "iat": at.Unix(), "shortLivedToken": "x"}
	body := `{"event":{"type":"update_column_value","triggerUuid":"u1"}}`
	make := func() *provider.Provider { return jwt.Monday("https://www.yourserver.com/endpoint", secret) }
	try(t, make, "Authorization", []attempt{
		{"a good one", hs(c), body, ""},
		{"another endpoint", hs(c.with("aud", "https://www.yourserver.com/other")), body, "forged"},
		{"expired", hs(c.with("exp", at.Unix()-60)), body, "forged"},
		{"another secret", token("HS256", []byte(strings.Repeat("x", 32)), nil, c), body, "forged"},
		{"no token", "", body, "malformed"},
	})
	if err := receive(jwt.Monday("", secret), func() *provider.Request {
		r := request("")
		r.Header.Set("Authorization", hs(c))
		return r
	}()); err != nil {
		t.Errorf("without an audience: %v", err)
	}
	for body, want := range map[string]string{
		`{"challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}`: `{"challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}`,
		`{"challenge":"<script>"}`:           "400",
		`{"challenge":"a","event":{}}`:       "refused",
		`{"challenge":"a","event":"b"}`:      "refused",
		`{"challenge":""}`:                   "refused",
		`{}`:                                 "refused",
		`{"event":{"type":"create_update"}}`: "refused",
	} {
		r := &provider.Request{Method: "POST", URL: "https://example.com/", Header: http.Header{}, Time: at}
		p := make()
		if err := p.Precheck(r); err != nil {
			t.Errorf("Precheck of an unsigned POST: %v", err)
		}
		r.Body = []byte(body)
		got := "refused"
		if d, err := p.Receive(r); err == nil && d.Answer != nil {
			if got = string(d.Answer.Body); got == "" {
				got = fmt.Sprint(d.Answer.Status)
			}
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
	}
}

const plaidURL = "https://production.plaid.com/webhook_verification_key/get"

func plaidKey(id, expired string) string {
	var key map[string]any
	json.Unmarshal(jwk(id, "ES256", "sig", &ecKey().PublicKey), &key)
	key["created_at"] = 1560466150
	key["expired_at"] = json.RawMessage(expired)
	return `{"key":` + string(must(json.Marshal(key))) + `,"request_id":"RZ6Omi1bzzwDaLo"}`
}

func TestPlaid(t *testing.T) {
	const body = "{\n  \"webhook_type\": \"ITEM\",\n  \"webhook_code\": \"ERROR\"\n}"
	c := claims{"iat": at.Unix(), "request_body_sha256": hexHash(body)}
	const id = "bfbd5111-8e33-4643-8ced-b2e642a72f3c"
	own := func(c claims) string { return token("ES256", ecKey(), kid(id), c) }
	make := func(page string, status int) (*provider.Provider, *web) {
		w := &web{pages: map[string]string{plaidURL: page}, status: status}
		return jwt.Plaid(&jwt.PlaidKeys{ClientID: "my client", Secret: "hush-hush", Client: w.client()}), w
	}
	good := plaidKey(id, "null")
	try(t, func() *provider.Provider { p, _ := make(good, 0); return p }, "Plaid-Verification", []attempt{
		{"a good one", own(c), body, ""},
		{"another body", own(c), strings.Replace(body, " ", "", 1), "forged"},
		{"no hash", own(c.with("request_body_sha256", nil)), body, "forged"},
		{"five minutes old", own(c.with("iat", at.Unix()-360)), body, ""},
		{"older", own(c.with("iat", at.Unix()-361)), body, "forged"},
		{"no time", own(c.with("iat", nil)), body, "forged"},
		{"RSA", token("RS256", rsaKey(), kid(id), c), body, "forged"},
		{"HMAC", token("HS256", []byte(good), kid(id), c), body, "forged"},
		{"a path as its key id", token("ES256", ecKey(), kid("../a"), c), body, "forged"},
		{"no key id", token("ES256", ecKey(), nil, c), body, "forged"},
	})
	for _, a := range []struct {
		name, page string
		status     int
		want       string
	}{
		{"an expired key", plaidKey(id, "1560466150"), 0, "forged"},
		{"another key than asked for", plaidKey("other", "null"), 0, "busy"},
		{"an unknown key", `{"error_type":"INVALID_INPUT","error_code":"INVALID_WEBHOOK_VERIFICATION_KEY_ID"}`, 400, "forged"},
		{"wrong credentials", `{"error_type":"INVALID_INPUT","error_code":"INVALID_API_KEYS"}`, 400, "busy"},
		{"a failure", good, 500, "busy"},
		{"a page", "<html>", 0, "busy"},
		{"no key", "{}", 0, "busy"},
	} {
		p, w := make(a.page, a.status)
		var err error
		for range 3 {
			r := request("")
			r.Header = http.Header{"Plaid-Verification": {own(c)}}
			r.Body = []byte(body)
			err = receive(p, r)
		}
		if kindOf(err) != a.want || w.count() != 1 {
			t.Errorf("%s: got error %v after %d fetches, want %q after 1", a.name, err, w.count(), a.want)
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: got error %v, want it without the credentials", a.name, err)
		}
		if want := `{"client_id":"my client","key_id":"` + id + `","secret":"hush-hush"}`; w.bodies[0] != want {
			t.Errorf("%s: sent %s, want %s", a.name, w.bodies[0], want)
		}
	}
	p, w := make(good, 0)
	k := p.Scheme.(jwt.Scheme).Keys.(*jwt.PlaidKeys)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("a", "k", k)
	if text := fmt.Sprintf("%v %+v %#v %s", k, k, k, &log); strings.Contains(text, "hush") {
		t.Errorf("got %s, want it without the secret", text)
	}
	synctest.Test(t, func(t *testing.T) { // made-up key ids
		for i := range 100 {
			r := request("")
			r.Header = http.Header{"Plaid-Verification": {token("ES256", ecKey(), kid(fmt.Sprint(i)), c)}}
			if err := receive(p, r); !busy(err) {
				t.Fatalf("got error %v, want Busy", err)
			}
		}
		if n := w.count(); n != 20 {
			t.Errorf("got %d fetches, want 20", n)
		}
	})
}

// Sign makes a delivery that Receive accepts, for tests of a consumer.
func TestSign(t *testing.T) {
	state := func(p *provider.Provider) *provider.Provider { return p.WithSecrets(privatePEM(rsaKey())) }
	query := scheme(issuer())
	query.Prefix, query.Query = "", "t"
	inBody := scheme(issuer())
	inBody.Prefix, inBody.Path = "", "tokens"
	ed := scheme(issuer())
	for _, p := range []*provider.Provider{
		state(provide(scheme(issuer()))), state(provide(query)), state(provide(inBody)),
		provide(ed).WithSecrets(privatePEM(edKey)), provide(ed).WithSecrets(privatePEM(ecKey()), publicPEM(&rsaKey().PublicKey)),
		state(jwt.GooglePubSub("a", "e@example.com")), state(jwt.GoogleChat("123")),
		jwt.Vonage(secret), jwt.Vonage("short"), jwt.MessageBird(secret), jwt.LiveKit("k", secret), jwt.Monday("", secret), jwt.Monday("a", secret),
		jwt.Plaid(&jwt.PlaidKeys{ClientID: "c", Secret: "s"}).WithSecrets(privatePEM(ecKey())),
	} {
		r := &provider.Request{URL: "https://example.com/hook?a=b", Body: []byte(`{"a":1}`), Time: at}
		if err := p.Sign(r, "id1"); err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		if d, err := p.Receive(r); err != nil || d.Key != 0 {
			t.Errorf("%s: got %+v and error %v, want key 0", p.Name, d, err)
		}
		r.Time = at.Add(26 * time.Hour)
		if _, err := p.Receive(r); !forged(err) {
			t.Errorf("%s, a day later: got error %v, want Forged", p.Name, err)
		}
	}
	for _, p := range []*provider.Provider{
		provide(scheme(issuer())), provide(scheme(issuer())).WithSecrets(publicPEM(&rsaKey().PublicKey)),
		jwt.Plaid(&jwt.PlaidKeys{ClientID: "c", Secret: "s"}).WithSecrets(privatePEM(rsaKey())),
		jwt.AppStoreNotifications(jwt.AppStore{BundleID: "a", Sandbox: true}),
	} {
		if err := p.Sign(&provider.Request{Body: []byte("{}")}, ""); err == nil {
			t.Errorf("%s: Sign: got no error, want one", p.Name)
		}
	}
}

// A Check that fails refuses the request, without its text.
func TestCheck(t *testing.T) {
	s := scheme(issuer())
	s.Check = func(r *provider.Request, tokens []*jwt.Token) error {
		if tokens[0].Claim("sub") != "s" || tokens[0].Claim("none") != "" || tokens[0].Claim("exp") != fmt.Sprint(at.Unix()+300) || tokens[0].Key == nil {
			t.Errorf("got the claims %v", tokens[0].Claims)
		}
		return errors.New("hush")
	}
	err := receive(provide(s), request(token("RS256", rsaKey(), kid("r"), good())))
	if !forged(err) || strings.Contains(err.Error(), "hush") {
		t.Errorf("got error %v, want Forged without the text", err)
	}
}

func TestSchemeOfAPresetCanBeCopied(t *testing.T) {
	for _, p := range []*provider.Provider{
		jwt.AzureEventGrid("tenant", "audience"), jwt.BotFramework("app"), jwt.GoogleChat("audience"),
		jwt.GooglePubSub("audience", "email"), jwt.LiveKit("key", secret), jwt.MessageBird(secret),
		jwt.Monday("audience", secret), jwt.Plaid(&jwt.PlaidKeys{}), jwt.Vonage(secret),
	} {
		if _, ok := p.Scheme.(jwt.Scheme); !ok {
			t.Errorf("%s: the Scheme is a %T, want a Scheme, as the package documentation promises", p.Name, p.Scheme)
		}
	}
}
