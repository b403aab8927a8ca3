package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

func svixSample() sample {
	return sample{
		name: "svix", make: provider.Svix, secret: "whsec_" + key, id: "msg_1",
		body: `{"type":"user.created"}`, wantID: "msg_1", signed: true, events: " user.created",
		sign: func(body string) map[string]string {
			return map[string]string{"svix-id": "msg_1", "svix-timestamp": seconds, "svix-signature": "v1," + standardMAC("msg_1."+seconds+"."+body)}
		},
	}
}
