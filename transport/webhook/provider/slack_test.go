package provider_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func slackSample() sample {
	return sample{
		name: "slack", make: provider.Slack, body: `{"type":"event_callback","event_id":"Ev1","event":{"type":"message"}}`,
		wantID: "Ev1", signed: true, events: "Ev1 message",
		sign: func(body string) map[string]string {
			return map[string]string{"X-Slack-Request-Timestamp": seconds, "X-Slack-Signature": "v0=" + hexMAC("v0:"+seconds+":"+body)}
		},
		vectors: []string{"slack-slash-command"},
	}
}

func TestSlackRespond(t *testing.T) {
	testRespond(t, provider.Slack(key), []responseCase{
		{"verification", nil, `{"type":"url_verification","challenge":"3eZbrw1aB10"}`, 200, "3eZbrw1aB10", 0},
		{"markup", nil, `{"type":"url_verification","challenge":"<b>"}`, 400, "", 0},
		{"an event", nil, `{"type":"event_callback","event":{"type":"message"}}`, 0, "", 1},
	})
}
