package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

func circleCISample() sample {
	return sample{
		name: "circleci", make: provider.CircleCI, wantID: "c1", signed: true, events: "c1 workflow-completed",
		header:  map[string]string{"Circleci-Event-Type": "workflow-completed"},
		body:    `{"id":"c1","type":"workflow-completed","happened_at":"2021-09-01T22:49:34.317Z"}`,
		sign:    onHeader("Circleci-Signature", "v1=", hexMAC),
		vectors: []string{"circleci-hello", "circleci-versions"},
	}
}
