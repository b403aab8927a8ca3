package provider_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func svixSample() sample {
	return sample{
		name: "svix", make: provider.Svix, secret: "whsec_" + key, id: "msg_1",
		body: `{"type":"user.created"}`, wantID: "msg_1", signed: true, events: " user.created",
		sign: func(body string) map[string]string {
			return map[string]string{"svix-id": "msg_1", "svix-timestamp": seconds, "svix-signature": "v1," + standardMAC("msg_1."+seconds+"."+body)}
		},
	}
}

func TestSvixHeaders(t *testing.T) {
	good := "v1," + standardMAC("m1."+seconds+"."+body)
	testHeaders(t, provider.Svix("whsec_"+key), []headerCase{
		{"either name", standardHeader("m1", seconds, good), accepted},
		{"both", header("svix-id", "m1", "svix-timestamp", seconds, "svix-signature", good,
			"webhook-id", "m1", "webhook-timestamp", seconds, "webhook-signature", good), accepted},
		{"both, and different", header("svix-id", "m1", "svix-timestamp", seconds, "svix-signature", good,
			"webhook-id", "m2", "webhook-timestamp", seconds, "webhook-signature", good), malformedEarly},
		{"half of one", header("svix-signature", good, "webhook-id", "m1", "webhook-timestamp", seconds), malformedEarly},
	})
}
