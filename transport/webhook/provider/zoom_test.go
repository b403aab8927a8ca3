package provider_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func zoomSample() sample {
	return sample{
		name: "zoom", make: provider.Zoom, body: `{"event":"meeting.started"}`, wantID: hashOf(`{"event":"meeting.started"}`), signed: true, events: " meeting.started",
		sign: func(body string) map[string]string {
			return map[string]string{"x-zm-request-timestamp": seconds, "x-zm-signature": "v0=" + hexMAC("v0:"+seconds+":"+body)}
		},
	}
}

func TestZoomRespond(t *testing.T) {
	const token = "qgg8vlvZRS6UYooatFL8Aw"
	testRespond(t, provider.Zoom(key), []responseCase{
		{"validation", nil, `{"payload":{"plainToken":"` + token + `"},"event":"endpoint.url_validation"}`, 200,
			`{"plainToken":"` + token + `","encryptedToken":"` + hexMAC(token) + `"}`, 0},
		{"quotes", nil, `{"payload":{"plainToken":"\""},"event":"endpoint.url_validation"}`, 400, "", 0},
	})
}
