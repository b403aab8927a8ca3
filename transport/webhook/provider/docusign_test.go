package provider_test

import (
	"slices"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// DocuSign publishes no vector. The sample follows the code in
// developers.docusign.com/platform/webhooks/connect/validate.
func docuSignSample() sample {
	return sample{
		name: "docusign", make: provider.DocuSign, signed: true, events: " envelope-completed",
		body:   `{"event":"envelope-completed","retryCount":2,"data":{"envelopeId":"e1"}}`,
		wantID: hashOf(`{"event":"envelope-completed",,"data":{"envelopeId":"e1"}}`),
		sign:   onHeader("X-DocuSign-Signature-1", "", b64MAC),
	}
}

// One of the signatures that matches is enough.
func TestDocuSignHeaders(t *testing.T) {
	good, wrong := b64MAC(body), b64MAC("other")
	testHeaders(t, provider.DocuSign(key), []headerCase{
		{"the first", header("X-DocuSign-Signature-1", good), accepted},
		{"the second", header("X-DocuSign-Signature-1", wrong, "X-DocuSign-Signature-2", good), accepted},
		{"only the last", header("X-DocuSign-Signature-16", good), accepted},
		{"one too many", header("X-DocuSign-Signature-17", good), malformedEarly},
		{"all wrong", header("X-DocuSign-Signature-1", wrong, "X-DocuSign-Signature-2", wrong), forgedLate},
		{"twice", header("X-DocuSign-Signature-1", good, "X-DocuSign-Signature-1", good), malformedEarly},
		{"none", header(), malformedEarly},
	})
	names := provider.DocuSign(key).CredentialHeaders()
	if len(names) != 16 || !slices.Contains(names, "X-Docusign-Signature-16") {
		t.Errorf("got credential headers %q, want all 16", names)
	}
}
