package provider_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// Okta documents a token and no signature. The body is shortened from that of
// developer.okta.com/docs/concepts/event-hooks.
func oktaSample() sample {
	return sample{
		name: "okta", make: provider.Okta, proof: transport.ProofBearer, wantID: "b5a188b9-5ece-4636-b041-482ffda96311",
		body: `{"eventType":"com.okta.event_hook","cloudEventsVersion":"0.1","eventId":"b5a188b9-5ece-4636-b041-482ffda96311",` +
			`"data":{"events":[{"uuid":"f790999f-fe87-467a-9880-6982a583986c","eventType":"user.session.start"},{"uuid":"u2","eventType":"user.session.end"}]}}`,
		events: "f790999f-fe87-467a-9880-6982a583986c user.session.start\nu2 user.session.end",
		sign:   func(string) map[string]string { return map[string]string{"Authorization": key} },
	}
}

func TestOktaHandshake(t *testing.T) {
	challenge := func(method, value string) *provider.Request {
		r := get("")
		r.Method = method
		r.Header.Set("X-Okta-Verification-Challenge", value)
		return r
	}
	testHandshake(t, provider.Okta(key), []handshakeCase{
		{challenge("GET", "bDKa_8zT-9/x+1="), 200, `{"verification":"bDKa_8zT-9/x+1="}`},
		{challenge("GET", `a"b`), 400, ""},
		{challenge("POST", "a"), 0, ""},
		{get("x-okta-verification-challenge=a"), 0, ""},
	})
}
