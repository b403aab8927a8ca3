package provider_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func adyenSample() sample {
	raw, _ := hex.DecodeString(adyenKey)
	item := func(ref string) string {
		text := ref + `::shop:a:b\c:1000:EUR:AUTHORISATION:true`
		return `{"NotificationRequestItem":{"additionalData":{"hmacSignature":"` +
			base64.StdEncoding.EncodeToString(mac(sha256.New, string(raw), text)) +
			`"},"amount":{"currency":"EUR","value":1000},"eventCode":"AUTHORISATION","merchantAccountCode":"shop",` +
			`"merchantReference":"a:b\\c","pspReference":"` + ref + `","success":"true"}}`
	}
	return sample{
		name: "adyen", vectors: []string{"adyen-payment-item", "adyen-colon", "adyen-mixed"}, make: provider.Adyen, secret: adyenKey, proof: transport.ProofMetadata,
		body:   `{"live":"false","notificationItems":[` + item("p1") + `,` + item("p2") + `]}`,
		events: "p1:AUTHORISATION:true AUTHORISATION\np2:AUTHORISATION:true AUTHORISATION",
	}
}
