package provider_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// Trello publishes no vector. The sample follows the code in
// developer.atlassian.com/cloud/trello/guides/rest-api/webhooks.
func trelloSample() sample {
	const at = "https://example.com/trelloCallbacks/?memberID=14&mainModel=true"
	return sample{
		name: "trello", make: provider.Trello, url: at, wantID: "51f9424b", signed: true, events: "51f9424b voteOnCard",
		body: `{"action":{"id":"51f9424b","type":"voteOnCard"},"model":{"id":"4d5ea62f"}}`,
		sign: func(body string) map[string]string {
			return map[string]string{"X-Trello-Webhook": b64SHA1(body + at)}
		},
	}
}

func TestTrelloHEAD(t *testing.T) { testHEAD(t, provider.Trello(key)) }
