package provider_test

import (
	"net/url"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

const mandrillEvents = `[{"event":"open","_id":"m1","ts":1384954004},{"event":"click","_id":"m1","ts":1384954005,"url":"http://a"}]`

// Mandrill publishes no vector. The sample follows the code in
// mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks.
func mandrillSample() sample {
	const at = "https://example.com/hook?a=b"
	body := "mandrill_events=" + url.QueryEscape(mandrillEvents)
	return sample{
		name: "mandrill", make: provider.Mandrill, url: at, body: body, wantID: hashOf(body), signed: true,
		header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
		events: "m1:open:1384954004: open\nm1:click:1384954005:http://a click",
		sign: func(body string) map[string]string {
			form, _ := url.ParseQuery(body)
			return map[string]string{"X-Mandrill-Signature": b64SHA1(at + "mandrill_events" + form.Get("mandrill_events"))}
		},
	}
}

// The check of a URL is signed with a key that is public: it has no events.
func TestMandrillHandshake(t *testing.T) {
	testHEAD(t, provider.Mandrill(key))
	check := func(body string) *provider.Request {
		h := header("X-Mandrill-Signature", b64SHA1("with another key"))
		h.Set("Content-Type", "application/x-www-form-urlencoded")
		return &provider.Request{URL: "https://example.com/" + body, Header: h, Body: []byte(body), Time: at}
	}
	testUnsignedHandshake(t, provider.Mandrill(key), []handshakeCase{
		{check("mandrill_events=%5B%5D"), 200, ""},
		{check("mandrill_events=" + url.QueryEscape(mandrillEvents)), 0, ""},
		{check("mandrill_events=%5B%5D&a=b"), 0, ""},
		{check("mandrill_events=%zz"), 0, ""},
		{check("a=%5B%5D"), 0, ""},
	})
}

// The signed text has no delimiters. A form that only splits it in another way is refused.
func TestMandrillForms(t *testing.T) {
	p := provider.Mandrill(key)
	const at = "https://example.com/"
	for body, ok := range map[string]bool{
		"mandrill_events=" + url.QueryEscape(mandrillEvents):                                                       true,
		"mandrill_even=ts" + url.QueryEscape(mandrillEvents):                                                       false,
		"mandrill_events=" + url.QueryEscape(mandrillEvents[:5]) + "&" + url.QueryEscape(mandrillEvents[5:]) + "=": false,
	} {
		h := header("X-Mandrill-Signature", b64SHA1(at+"mandrill_events"+mandrillEvents))
		h.Set("Content-Type", "application/x-www-form-urlencoded")
		_, err := p.Receive(&provider.Request{Method: "POST", URL: at, Header: h, Body: []byte(body)})
		if (err == nil) != ok {
			t.Errorf("%s: got error %v, want success %t", body, err, ok)
		}
	}
}
