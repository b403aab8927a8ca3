package provider_test

import (
	"net/http"
	"testing"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func azureEventGridSample() sample {
	return sample{
		name: "eventgrid", make: func(s ...string) *provider.Provider { return provider.AzureEventGrid(nil, s...) },
		proof: transport.ProofBearer, url: "https://example.com/?code=" + key,
		body: `[{"id":"1","eventType":"A"},{"id":"2","eventType":"B"}]`, events: "1 A\n2 B",
	}
}

func TestAzureEventGridRespond(t *testing.T) {
	validation := http.Header{"Aeg-Event-Type": {"SubscriptionValidation"}}
	testRespond(t, provider.AzureEventGrid(nil, key), []responseCase{
		{"validation", validation, `[{"id":"1","data":{"validationCode":"512d38b6-c7b8","validationUrl":"https://evil.example/"},"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent"}]`, 200, `{"validationResponse":"512d38b6-c7b8"}`, 0},
		{"quotes", validation, `[{"data":{"validationCode":"\"}"}}]`, 400, "", 0},
		{"an event", nil, `[{"data":{"validationCode":"512d38b6-c7b8"}}]`, 0, "", 1},
	})
}
