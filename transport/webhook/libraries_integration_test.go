//go:build integration

package webhook_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// verifiers are senders whose own library verifies deliveries; see testdata/senders.
var verifiers = map[string]struct {
	make   func(secrets ...string) *provider.Provider
	secret string
	body   string
	header string // that changes a genuine delivery; "": its body
}{
	"box": {provider.Box, "SamplePrimaryKey", `{"type":"webhook_event","id":"eb0c4e06","trigger":"FILE.UPLOADED","name":"Zoë"}`, ""},
	"clerk": {
		provider.Clerk, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", `{"type":"user.created","data":{"name":"Zoë"}}`, "",
	},
	"gocardless": {provider.GoCardless, "ED7D658C-D8EB-4941-948B-3973214F2D49", `{"events":[{"id":"EV1"}],"meta":{"webhook_id":"WB1"}}`, ""},
	"line":       {provider.LINE, "test_secret", `{"destination":"U1","events":[{"type":"message","webhookEventId":"01A"}]}`, ""},
	"mux":        {provider.Mux, "SuperSecret123", `{"type":"video.asset.ready","id":"x1"}`, ""},
	"notion": {
		func(secrets ...string) *provider.Provider { return provider.Notion(nil, secrets...) },
		"secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl", `{"id":"n1","type":"page.created"}`, "",
	},
	"razorpay": {provider.Razorpay, "123456", `{"entity":"event","event":"payment.captured"}`, ""},
	"resend": {
		provider.Resend, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", `{"type":"email.sent","data":{"subject":"Zoë"}}`, "",
	},
	"telegram": {provider.Telegram, "my_secret-token", `{"update_id":10000,"message":{"message_id":1}}`, "X-Telegram-Bot-Api-Secret-Token"},
}

// isGenuine reports whether the sender's library accepts r.
func isGenuine(t *testing.T, node, sender, secret string, r *provider.Request) bool {
	t.Helper()
	headers := map[string]string{"box-signature-version": "1", "box-signature-algorithm": "HmacSHA256"}
	for name := range r.Header {
		headers[strings.ToLower(name)] = r.Header.Get(name)
	}
	input, err := json.Marshal(map[string]any{"url": r.URL, "headers": headers, "body": string(r.Body), "secret": secret})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "verify.js", sender)
	cmd.Dir = filepath.Join("testdata", "senders")
	cmd.Stdin = bytes.NewReader(input)
	var output, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &errors
	if err := cmd.Run(); err != nil {
		t.Fatalf("verify.js: %v\n%s", err, &errors)
	}
	var answer struct {
		Genuine bool
		Reason  string
	}
	if err := json.Unmarshal(output.Bytes(), &answer); err != nil {
		t.Fatalf("verify.js printed %q: %v", &output, err)
	}
	if answer.Reason != "" {
		t.Log(answer.Reason)
	}
	return answer.Genuine
}

// What Sign makes is genuine to the sender's own library, and a change of it is not.
func TestLibrariesVerify(t *testing.T) {
	node := need(t, "node", "Node.js 20 or newer")
	for name, s := range verifiers {
		t.Run(name, func(t *testing.T) {
			p := s.make(s.secret)
			signed := func() *provider.Request {
				r := &provider.Request{
					Method: http.MethodPost, URL: "https://example.com/hooks", Header: http.Header{"Content-Type": {"application/json"}},
					Body: []byte(s.body), Time: time.Now(),
				}
				if err := p.Sign(r, "msg_1"); err != nil {
					t.Fatal(err)
				}
				return r
			}
			if !isGenuine(t, node, name, s.secret, signed()) {
				t.Error("got a delivery that the library refuses, want one that it accepts")
			}
			changed := signed()
			if s.header == "" {
				changed.Body[0] = ' '
			} else {
				changed.Header.Set(s.header, "another")
			}
			if isGenuine(t, node, name, s.secret, changed) {
				t.Error("got a changed delivery that the library accepts, want one that it refuses")
			}
		})
	}
}
