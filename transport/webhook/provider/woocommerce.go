package provider

import (
	"net/http"
	"regexp"
	"time"
)

// WooCommerce returns the Provider for WooCommerce. A secret is the text of the field Secret. The
// unsigned ping, which WooCommerce sends when a webhook is saved, is answered.
//
// WooCommerce does not repeat a delivery. After more than five failures in a row, it disables the
// webhook.
// (https://github.com/woocommerce/woocommerce/blob/trunk/plugins/woocommerce/includes/class-wc-webhook.php)
func WooCommerce(secrets ...string) *Provider {
	p := &Provider{
		Name: "woocommerce", Deadline: 54 * time.Second,
		Retry: Retry{Waits: never()},
		Scheme: Signature{
			Header: "X-Wc-Webhook-Signature", Encoding: EncodingBase64,
			form: secretForm{others: []string{"ck_", "cs_"}},
		},
		ID:        Source{Header: "X-Wc-Webhook-Delivery-Id"},
		Payload:   Payload{Type: Source{Header: "X-Wc-Webhook-Topic"}},
		Handshake: wooCommercePing,
	}
	return p.with(secrets)
}

var wooCommerceID = regexp.MustCompile(`^webhook_id=[0-9]{1,20}$`)

// wooCommercePing answers the form that is only the id of the webhook.
func wooCommercePing(r *Request) (*Answer, bool) {
	if r.Method != http.MethodPost || r.Header.Get("X-Wc-Webhook-Signature") != "" || mediaType(r) != formType {
		return nil, false
	}
	if r.Body == nil {
		return nil, true
	}
	return &Answer{Status: http.StatusOK}, wooCommerceID.Match(r.Body)
}
