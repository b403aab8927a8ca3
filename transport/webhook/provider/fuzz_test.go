package provider_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// FuzzSignatureHeader reads any text as a signature. Nothing panics, Receive refuses what
// Precheck refuses, and a request is accepted only with the right signature.
func FuzzSignatureHeader(f *testing.F) {
	for _, s := range samples() {
		for _, value := range s.sign(s.body) {
			f.Add(value, "m1", seconds)
			f.Add(value+" "+value, "m.1", millis)
			f.Add(value+","+value, "", rfc3339)
		}
	}
	for _, n := range []int{43, 86, 88, 171, 172, 173, 256, 257} {
		f.Add("v1a,"+strings.Repeat("A", n), "m1", seconds)
		f.Add(strings.Repeat("A", n), "m1", seconds)
	}
	type receiver struct {
		*provider.Provider
		right func(id, stamp string) string
	}
	receivers := []receiver{
		{provider.StandardWebhooks("whsec_" + key), func(id, stamp string) string { return standardMAC(id + "." + stamp + "." + body) }},
		{provider.Svix("whsec_" + key), func(id, stamp string) string { return standardMAC(id + "." + stamp + "." + body) }},
		{provider.Stripe(stripeKey), nil},
		{provider.Paddle(key), nil},
		{provider.PagerDuty(key), func(string, string) string { return hexMAC(body) }},
		{provider.GitHub(key), func(string, string) string { return hexMAC(body) }},
		{provider.Typeform(key), func(string, string) string { return b64MAC(body) }},
		{provider.Slack(key), func(_, stamp string) string { return hexMAC("v0:" + stamp + ":" + body) }},
		{provider.Zendesk(key), func(_, stamp string) string { return b64MAC(stamp + body) }},
		{provider.Box(key), func(_, stamp string) string { return b64MAC(body + stamp) }},
		{provider.Buildkite(key), nil},
		{provider.DocuSign(key), func(string, string) string { return b64MAC(body) }},
		{provider.Discord(privatePEM(edKey)), nil},
		{provider.SendGrid(privatePEM(ecKey())), nil},
		{provider.Alertmanager(key, "me:"+key), nil},
		{provider.GitLab(key, "whsec_"+key), nil},
	}
	names := []string{
		"Webhook-Signature", "Svix-Signature", "Stripe-Signature", "Paddle-Signature", "X-Pagerduty-Signature",
		"X-Hub-Signature-256", "Typeform-Signature", "X-Slack-Signature", "X-Zendesk-Webhook-Signature",
		"X-Signature-Ed25519", "X-Twilio-Email-Event-Webhook-Signature", "Authorization", "X-Gitlab-Token",
		"Box-Signature-Secondary", "X-Buildkite-Signature", "X-Docusign-Signature-7",
	}
	f.Fuzz(func(t *testing.T, line, id, stamp string) {
		h := http.Header{}
		for _, name := range names {
			h.Set(name, line)
		}
		for _, name := range []string{
			"Webhook-Timestamp", "Svix-Timestamp", "X-Slack-Request-Timestamp", "X-Zendesk-Webhook-Signature-Timestamp",
			"X-Signature-Timestamp", "Box-Delivery-Timestamp", "X-Twilio-Email-Event-Webhook-Timestamp",
		} {
			h.Set(name, stamp)
		}
		h.Set("Webhook-Id", id)
		h.Set("Svix-Id", id)
		for _, p := range receivers {
			r := &provider.Request{Method: "POST", URL: "https://example.com/?" + line, Header: h, Body: []byte(body), Time: at}
			early := p.Precheck(r)
			_, err := p.Receive(r)
			if early != nil && err == nil {
				t.Errorf("%s: got a Delivery, want an error as from Precheck: %v", p.Name, early)
			}
			if err == nil && p.right != nil && !strings.Contains(strings.ToLower(line), strings.ToLower(p.right(id, stamp))) {
				t.Errorf("%s: got a Delivery for the signature %q, want an error", p.Name, line)
			}
		}
	})
}

// FuzzBody reads any body, unverified and verified.
func FuzzBody(f *testing.F) {
	for _, s := range samples() {
		f.Add([]byte(s.body), s.header["Content-Type"])
	}
	f.Add([]byte("[[[{\"a\":[]},1"), "application/x-ndjson")
	var inside, after []*provider.Provider
	for _, s := range samples() {
		inside = append(inside, s.provider())
		p := s.provider()
		p.Scheme, p.Name = provider.Unsigned{}, s.name
		p = &provider.Provider{Name: s.name, Scheme: provider.Unsigned{}, ID: p.ID, Payload: p.Payload, Respond: p.Respond}
		after = append(after, p)
	}
	f.Fuzz(func(t *testing.T, data []byte, contentType string) {
		h := http.Header{"Content-Type": {contentType}, "X-Amz-Sns-Message-Type": {"Notification"}, "X-Twilio-Signature": {strings.Repeat("A", 27) + "="}}
		for _, p := range inside {
			r := &provider.Request{Method: "POST", Header: h, Body: data, Time: at}
			if d, err := p.Receive(r); err == nil && d.Proof == transport.ProofBody {
				t.Errorf("%s: got a Delivery for the unsigned body %q, want an error", p.Name, data)
			}
		}
		for _, p := range after {
			if p.Name == "sns" {
				continue // Respond uses the network
			}
			d, err := p.Receive(&provider.Request{Method: "POST", Header: h, Body: data, Time: at})
			if err != nil {
				t.Errorf("%s: %v", p.Name, err)
				continue
			}
			for _, e := range d.Events {
				if len(e.Data) > len(data) {
					t.Errorf("%s: got an event of %d bytes from a body of %d, want at most that", p.Name, len(e.Data), len(data))
				}
			}
		}
	})
}

// FuzzHandshake reads any query and any Link header. An answer contains no markup.
func FuzzHandshake(f *testing.F) {
	f.Add("hub.mode=subscribe&hub.topic=a&hub.challenge=b&hub.lease_seconds=9&hub.verify_token=t", `<a>; rel="self"`)
	f.Add("challenge=%3Cb%3E", "<a>;rel=hub,<b>; title=\",\"; rel=self")
	f.Add("webhook_id=1", "")
	f.Add("mandrill_events=[]", "")
	f.Add(`{"verification_token":"secret_a"}`, "")
	f.Add("crc_token=a&validationToken=a%20b", "<")
	all := []*provider.Provider{
		provider.Meta("t", key), provider.Dropbox(key), provider.X(key), provider.MicrosoftGraph(key),
		provider.WebSub(func(string, string, time.Duration) bool { return true }, key), provider.HubSpot(key), provider.Twilio(key),
		provider.Okta(key), provider.Trello(key), provider.Mandrill(key), provider.Intercom(key), provider.WooCommerce(key),
	}
	plain := provider.WebSub(nil)
	plain.Scheme = provider.Unsigned{}
	f.Fuzz(func(t *testing.T, query, link string) {
		yes := func(string) bool { return true }
		for _, p := range append(all[:len(all):len(all)], provider.Notion(yes, key), provider.Asana(yes)) {
			for _, method := range []string{"GET", "HEAD", "POST"} {
				r := get(query)
				r.Method, r.Body = method, []byte(query)
				r.Header.Set("X-Okta-Verification-Challenge", query)
				r.Header.Set("X-Hook-Secret", query)
				a, ok := handshake(p, r)
				if ok && (strings.ContainsAny(string(a.Body), "<>&'\"") && a.Header.Get("Content-Type") != "application/json" || len(a.Body) > 600) {
					t.Errorf("%s: got the answer %q, want no markup and at most 600 bytes", p.Name, a.Body)
				}
				if ok && strings.ContainsAny(a.Header.Get("X-Hook-Secret"), " \r\n<>") {
					t.Errorf("%s: got the header %q, want no white space or markup", p.Name, a.Header)
				}
				p.Sign(r, "1")
				p.Receive(r)
			}
		}
		if _, err := plain.Receive(&provider.Request{Header: header("Link", link)}); err != nil {
			t.Error(err)
		}
	})
}
