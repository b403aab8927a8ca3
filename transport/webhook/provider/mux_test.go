package provider_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func muxSample() sample {
	return sample{
		name: "mux", make: provider.Mux, wantID: "x1", signed: true, events: "x1 video.asset.ready",
		body: `{"type":"video.asset.ready","id":"x1","attempts":[]}`,
		sign: func(body string) map[string]string {
			return map[string]string{"Mux-Signature": "t=" + seconds + ",v1=" + hexMAC(seconds+"."+body)}
		},
		vectors: []string{"mux-v1", "mux-times"},
	}
}

// The cases are those of muxinc/mux-node-sdk, tests/api-resources/webhooks.test.ts.
func TestMuxHeaders(t *testing.T) {
	good := hexMAC(seconds + "." + body)
	testHeaders(t, provider.Mux(key), []headerCase{
		{"two signatures", header("Mux-Signature", "t="+seconds+",v1="+hexMAC("other")+",v1="+good), accepted},
		{"another version", header("Mux-Signature", "t="+seconds+",v2="+good), malformedEarly},
		{"two versions", header("Mux-Signature", "t="+seconds+",v2="+good+",v1="+good), accepted},
		{"no time", header("Mux-Signature", good), malformedEarly},
		{"an old time", header("Mux-Signature", "t=1741060000,v1="+good), forgedEarly},
	})
}
