package provider_test

import (
	"net/http"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func twitchSample() sample {
	return sample{
		name: "twitch", make: provider.Twitch, id: "tw", wantID: "tw", signed: true, events: " stream.online",
		header: map[string]string{"Twitch-Eventsub-Message-Type": "notification"},
		body:   `{"subscription":{"type":"stream.online"},"event":{}}`,
		sign: func(body string) map[string]string {
			return map[string]string{
				"Twitch-Eventsub-Message-Id": "tw", "Twitch-Eventsub-Message-Timestamp": rfc3339,
				"Twitch-Eventsub-Message-Signature": "sha256=" + hexMAC("tw"+rfc3339+body),
			}
		},
	}
}

func TestTwitchRespond(t *testing.T) {
	kind := func(value string) http.Header { return http.Header{"Twitch-Eventsub-Message-Type": {value}} }
	testRespond(t, provider.Twitch(key), []responseCase{
		{"verification", kind("webhook_callback_verification"), `{"challenge":"pogchamp-kappa-360noscope"}`, 200, "pogchamp-kappa-360noscope", 0},
		{"revocation", kind("revocation"), `{"subscription":{"type":"a"}}`, 0, "revocation", 1},
		{"an event with a forged type", kind("revocation"), `{"subscription":{"type":"a"},"event":{}}`, 0, "a", 1},
	})
}
