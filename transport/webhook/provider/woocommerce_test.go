package provider_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// WooCommerce publishes no vector. The sample follows generate_signature in
// woocommerce/woocommerce, plugins/woocommerce/includes/class-wc-webhook.php.
func wooCommerceSample() sample {
	return sample{
		name: "woocommerce", make: provider.WooCommerce, id: "w1", wantID: "w1",
		header: map[string]string{"X-WC-Webhook-Delivery-ID": "w1", "X-WC-Webhook-Topic": "order.created"},
		body:   `{"id":1}`, events: " order.created", sign: onHeader("X-WC-Webhook-Signature", "", b64MAC),
	}
}

// The ping is deliver_ping in class-wc-webhook.php: any answer other than 200 is an error.
func TestWooCommercePing(t *testing.T) {
	ping := func(body string, pairs ...string) *provider.Request {
		h := header(pairs...)
		h.Set("Content-Type", "application/x-www-form-urlencoded")
		return &provider.Request{URL: "ping " + body, Header: h, Body: []byte(body), Time: at}
	}
	asJSON := ping("webhook_id=12")
	asJSON.Header.Set("Content-Type", "application/json")
	testUnsignedHandshake(t, provider.WooCommerce(key), []handshakeCase{
		{ping("webhook_id=12"), 200, ""},
		{ping("webhook_id="), 0, ""},
		{ping("webhook_id=12&a=b"), 0, ""},
		{ping("webhook_id=1\n"), 0, ""},
		{ping(`{"id":1}`), 0, ""},
		{ping("webhook_id=12", "X-WC-Webhook-Signature", b64MAC("other")), 0, ""},
		{asJSON, 0, ""},
	})
}
