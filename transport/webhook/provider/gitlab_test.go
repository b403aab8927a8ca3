package provider_test

import (
	"net/http"
	"testing"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func gitLabSamples() []sample {
	return []sample{
		{
			name: "gitlab signed", make: provider.GitLab, secret: "whsec_" + key, id: "d1",
			header: map[string]string{"X-Gitlab-Event": "Push Hook", "Idempotency-Key": "d1"},
			body:   `{"object_kind":"push"}`, wantID: "d1", signed: true, events: " Push Hook",
			sign: func(body string) map[string]string {
				return map[string]string{"webhook-id": "d1", "webhook-timestamp": seconds, "webhook-signature": "v1," + standardMAC("d1."+seconds+"."+body)}
			},
		},
		{
			name: "gitlab", make: provider.GitLab, id: "d1", proof: transport.ProofBearer,
			header: map[string]string{"X-Gitlab-Event": "Push Hook", "Idempotency-Key": "d1"},
			body:   `{"object_kind":"push"}`, wantID: "d1", events: " Push Hook",
			sign: func(string) map[string]string { return map[string]string{"X-Gitlab-Token": key} },
		},
	}
}

// The first secret signs, whichever of the two modes it is for.
func TestGitLabSignsWithTheFirstSecret(t *testing.T) {
	r := &provider.Request{}
	if err := provider.GitLab("the token", "whsec_"+key).Sign(r, "d1"); err != nil {
		t.Fatal(err)
	}
	if r.Header.Get("X-Gitlab-Token") != "the token" || r.Header.Get("Webhook-Signature") != "" {
		t.Errorf("got header %v, want the token alone", r.Header)
	}
}

func TestGitLabHeaders(t *testing.T) {
	good := "v1," + standardMAC("m1."+seconds+"."+body)
	wrong := "v1," + standardMAC("m2."+seconds+"."+body)
	testHeaders(t, provider.GitLab("whsec_"+key, "the token"), []headerCase{
		{"signed", standardHeader("m1", seconds, good), accepted},
		{"a token", header("X-Gitlab-Token", "the token"), accepted},
		{"a wrong signature and a token", func() http.Header {
			h := standardHeader("m1", seconds, wrong)
			h.Set("X-Gitlab-Token", "the token")
			return h
		}(), forgedLate},
		{"an old signature and a token", func() http.Header {
			h := standardHeader("m1", "1741000000", good)
			h.Set("X-Gitlab-Token", "the token")
			return h
		}(), forgedEarly},
		{"a malformed signature and a token", func() http.Header {
			h := standardHeader("m1", seconds, "v1,!!")
			h.Set("X-Gitlab-Token", "the token")
			return h
		}(), accepted},
		{"a wrong token", header("X-Gitlab-Token", "the"), forgedEarly},
		{"a malformed signature", standardHeader("m1", seconds, "v1,!!"), malformedEarly},
		{"nothing", header(), malformedEarly},
	})
}
