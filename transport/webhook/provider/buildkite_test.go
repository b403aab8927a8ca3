package provider_test

import (
	"net/http"
	"testing"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func buildkiteSample() sample {
	return sample{
		name: "buildkite", make: provider.Buildkite, header: map[string]string{"X-Buildkite-Event": "build.finished"},
		body: `{"event":"build.finished","build":{}}`, events: " build.finished",
		sign: func(body string) map[string]string {
			return map[string]string{"X-Buildkite-Signature": "timestamp=" + seconds + ",signature=" + hexMAC(seconds+"."+body)}
		},
		vectors: []string{"buildkite-ping", "buildkite-token"},
	}
}

func TestBuildkiteHeaders(t *testing.T) {
	good := "timestamp=" + seconds + ",signature=" + hexMAC(seconds+"."+body)
	wrong := "timestamp=" + seconds + ",signature=" + hexMAC("other")
	both := func(signature, token string) http.Header {
		return header("X-Buildkite-Signature", signature, "X-Buildkite-Token", token)
	}
	testHeaders(t, provider.Buildkite(key), []headerCase{
		{"signed", header("X-Buildkite-Signature", good), accepted},
		{"a token", header("X-Buildkite-Token", key), accepted},
		{"a wrong token", header("X-Buildkite-Token", "other"), forgedEarly},
		{"a wrong signature and a token", both(wrong, key), forgedLate},
		{"nothing", header(), malformedEarly},
	})
	r := &provider.Request{Method: "POST", Header: header("X-Buildkite-Token", key), Body: []byte(body), Time: at}
	if d, err := provider.Buildkite(key).Receive(r); err != nil || d.Proof != transport.ProofBearer {
		t.Errorf("a token: got %+v and error %v, want ProofBearer", d, err)
	}
}
