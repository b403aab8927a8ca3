package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

func azureEventGridSample() sample {
	return sample{
		name: "eventgrid", make: func(s ...string) *provider.Provider { return provider.AzureEventGrid(nil, s...) },
		proof: provider.ProofBearer, url: "https://example.com/?code=" + key,
		body: `[{"id":"1","eventType":"A"},{"id":"2","eventType":"B"}]`, events: "1 A\n2 B",
	}
}
