package provider_test

import (
	"encoding/base64"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func alertmanagerSamples() []sample {
	return []sample{
		{
			name: "alertmanager basic", make: provider.Alertmanager, secret: "me:" + key, proof: provider.ProofBearer,
			body: `{"status":"firing"}`, events: " firing",
			sign: onHeader("Authorization", "Basic ", func(string) string { return base64.StdEncoding.EncodeToString([]byte("me:" + key)) }),
		},
		{
			name: "alertmanager", make: provider.Alertmanager, proof: provider.ProofBearer, body: `{"status":"firing"}`, events: " firing",
			sign: onHeader("Authorization", "Bearer ", func(string) string { return key }),
		},
	}
}
