package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

func microsoftGraphSample() sample {
	return sample{
		name: "graph", make: provider.MicrosoftGraph, proof: provider.ProofBearer,
		body:   `{"value":[{"clientState":"` + key + `","changeType":"created"},{"clientState":"` + key + `","lifecycleEvent":"missed","id":"n2"}]}`,
		events: " created\nn2 missed",
	}
}
