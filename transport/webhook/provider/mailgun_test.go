package provider_test

import (
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func mailgunSample() sample {
	return sample{
		name: "mailgun", make: provider.Mailgun, id: "tok", wantID: "tok", signed: true, proof: transport.ProofMetadata,
		body:   `{"signature":{"timestamp":"` + seconds + `","token":"tok","signature":"` + hexMAC(seconds+"tok") + `"},"event-data":{"event":"opened","id":"e1"}}`,
		events: "e1 opened",
	}
}
