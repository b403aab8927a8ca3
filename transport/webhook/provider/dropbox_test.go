package provider_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func dropboxSample() sample {
	return sample{
		name: "dropbox", make: provider.Dropbox, body: `{"list_folder":{"accounts":["a"]}}`, events: " ",
		sign: onHeader("X-Dropbox-Signature", "", hexMAC),
	}
}

func TestDropboxHandshake(t *testing.T) {
	testHandshake(t, provider.Dropbox(key), []handshakeCase{
		{get("challenge=abc-123"), 200, "abc-123"},
		{get("challenge=%3Chtml%3E"), 400, ""},
		{get("challenge="), 0, ""},
		{get("a;b=%zz"), 0, ""},
	})
}
