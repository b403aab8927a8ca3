package provider_test

import (
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// Auth0 documents a header and no signature.
func auth0Samples() []sample {
	bearer := func(string) map[string]string { return map[string]string{"Authorization": "Bearer " + key} }
	log := `{"log_id":"90020","data":{"date":"2020-01-29T17:26:50.193Z","type":"s"}}`
	more := `{"log_id":"90021","data":{"type":"fp"}}`
	base := sample{make: provider.Auth0, secret: "Bearer " + key, proof: transport.ProofBearer, sign: bearer}
	events, array, lines := base, base, base
	events.name, events.body = "auth0 event stream", `{"id":"evt_1","source":"urn:auth0:example","specversion":"1.0","type":"user.created","data":{"type":"another","object":{}}}`
	events.wantID, events.events = "evt_1", "evt_1 user.created"
	array.name, array.body, array.events = "auth0 array", "["+log+","+more+"]", "90020 s\n90021 fp"
	lines.name, lines.body, lines.events = "auth0 lines", log+"\n"+more, "90020 s\n90021 fp"
	return []sample{events, array, lines}
}
