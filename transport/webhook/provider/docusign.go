package provider

import (
	"fmt"
	"time"
)

// DocuSign returns the Provider for DocuSign Connect. A secret is one of the HMAC keys of the
// account, as DocuSign shows it. DocuSign signs with every key of the account; the first 16
// signatures are tried.
//
// DocuSign repeats a delivery for 15 days. The count of the retries is in the body, so it differs
// each time; it is left out of the delivery id, which is the hash of the body.
// (https://developers.docusign.com/platform/webhooks/connect/validate/)
func DocuSign(secrets ...string) *Provider {
	p := &Provider{
		Name: "docusign", Deadline: 90 * time.Second,
		Retry:   Retry{Count: path("retryCount")},
		Scheme:  Signature{Header: "X-Docusign-Signature-1", More: docuSignHeaders(), Encoding: EncodingBase64},
		ID:      hashBut("retryCount"),
		Payload: Payload{Type: path("event")},
	}
	return p.with(secrets)
}

func docuSignHeaders() (names []string) {
	for n := 2; n <= maxSignatures; n++ {
		names = append(names, fmt.Sprintf("X-Docusign-Signature-%d", n))
	}
	return names
}
