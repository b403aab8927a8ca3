package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

func pagerDutySample() sample {
	return sample{
		name: "pagerduty", make: provider.PagerDuty, body: `{"event":{"id":"01","event_type":"incident.triggered"}}`,
		wantID: "01", signed: true, events: "01 incident.triggered", sign: onHeader("X-PagerDuty-Signature", "v1=", hexMAC),
	}
}
