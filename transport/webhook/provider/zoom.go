package provider

import (
	"net/http"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

// Zoom returns the Provider for Zoom's event notifications. A secret is the app's secret
// token. The validation of the endpoint, which Zoom repeats every three days, is answered.
// (https://developers.zoom.us/docs/api/webhooks/)
func Zoom(secrets ...string) *Provider {
	p := &Provider{
		Name: "zoom", Deadline: 2500 * time.Millisecond,
		Retry: Retry{
			Waits:    []time.Duration{5 * time.Minute, 20 * time.Minute, time.Hour},
			Verbatim: true, // a new signature is not documented
		},
		Scheme: Signature{
			Header: "X-Zm-Signature", Prefix: "v0=",
			Timestamp: Timestamp{Header: "X-Zm-Request-Timestamp", Tolerance: 2 * time.Hour}, Signed: "v0:{ts}:{body}",
		},
		ID:      Source{Hash: true},
		Payload: Payload{Type: path("event")},
	}
	p.Respond = p.zoomResponse
	return p.with(secrets)
}

func (p *Provider) zoomResponse(r *Request, d *Delivery) *Answer {
	if d.kind() != "endpoint.url_validation" {
		return nil
	}
	d.Events = nil
	token, secret := decode.Field(r.Body, "payload.plainToken"), p.secret(r, d.Key)
	if !harmless(token, base64Chars) || secret == "" {
		return &Answer{Status: http.StatusBadRequest}
	}
	return jsonAnswer(`{"plainToken":"` + token + `","encryptedToken":"` + EncodingHex.encode(macOf(secret, token)) + `"}`)
}
