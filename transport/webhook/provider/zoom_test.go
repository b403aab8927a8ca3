package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

func zoomSample() sample {
	return sample{
		name: "zoom", make: provider.Zoom, body: `{"event":"meeting.started"}`, wantID: hashOf(`{"event":"meeting.started"}`), signed: true, events: " meeting.started",
		sign: func(body string) map[string]string {
			return map[string]string{"x-zm-request-timestamp": seconds, "x-zm-signature": "v0=" + hexMAC("v0:"+seconds+":"+body)}
		},
	}
}
