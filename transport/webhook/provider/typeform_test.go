package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

func typeformSample() sample {
	return sample{
		name: "typeform", make: provider.Typeform, body: `{"event_id":"f1","event_type":"form_response"}`,
		wantID: "f1", signed: true, events: "f1 form_response", sign: onHeader("Typeform-Signature", "sha256=", b64MAC),
	}
}
