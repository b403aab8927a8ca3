package provider_test

import (
	"crypto/sha512"
	"encoding/hex"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// HashiCorp publishes no vector. The sample follows
// developer.hashicorp.com/terraform/cloud-docs/api-docs/notification-configurations.
func terraformCloudSample() sample {
	const body = `{"payload_version":1,"run_id":"run-FwnENkvDnrpyFC7M","notifications":[{"message":"Run Canceled","trigger":"run:errored","run_status":"canceled"}]}`
	return sample{
		name: "terraformcloud", make: provider.TerraformCloud, body: body, wantID: hashOf(body), signed: true, events: " run:errored",
		sign: onHeader("X-TFE-Notification-Signature", "", func(text string) string {
			return hex.EncodeToString(mac(sha512.New, key, text))
		}),
	}
}

func TestTerraformCloudRespond(t *testing.T) {
	testRespond(t, provider.TerraformCloud(key), []responseCase{
		{"verification", nil, `{"payload_version":1,"run_id":null,"notifications":[{"message":"Verification of a","trigger":"verification"}]}`, 0, "", 0},
		{"an assessment", nil, `{"payload_version":"2","trigger_scope":"assessment","trigger":"assessment:drifted"}`, 0, "assessment:drifted", 1},
	})
}
