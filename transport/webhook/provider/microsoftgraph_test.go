package provider_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func microsoftGraphSample() sample {
	return sample{
		name: "graph", make: provider.MicrosoftGraph, proof: transport.ProofBearer,
		body:   `{"value":[{"clientState":"` + key + `","changeType":"created"},{"clientState":"` + key + `","lifecycleEvent":"missed","id":"n2"}]}`,
		events: " created\nn2 missed",
	}
}

func TestMicrosoftGraphHandshake(t *testing.T) {
	testUnsignedHandshake(t, provider.MicrosoftGraph(key), []handshakeCase{
		{get("validationToken=Validation%3A+Testing+client"), 200, "Validation: Testing client"},
		{get("validationToken=%3Cscript%3E"), 400, ""},
		{get("validationToken=a&validationToken=b"), 0, ""},
		{get(""), 0, ""},
	})
}
