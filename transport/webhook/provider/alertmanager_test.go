package provider_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"testing"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func alertmanagerSamples() []sample {
	return []sample{
		{
			name: "alertmanager basic", make: provider.Alertmanager, secret: "me:" + key, proof: transport.ProofBearer,
			body: `{"status":"firing"}`, events: " firing",
			sign: onHeader("Authorization", "Basic ", func(string) string { return base64.StdEncoding.EncodeToString([]byte("me:" + key)) }),
		},
		{
			name: "alertmanager", make: provider.Alertmanager, proof: transport.ProofBearer, body: `{"status":"firing"}`, events: " firing",
			sign: onHeader("Authorization", "Bearer ", func(string) string { return key }),
		},
	}
}

func TestAlertmanagerHeaders(t *testing.T) {
	testHeaders(t, provider.Alertmanager(key), []headerCase{
		{"a token", header("Authorization", "BEARER "+key), accepted},
		{"another", header("Authorization", "Bearer "+key+"0"), forgedEarly},
		{"part of it", header("Authorization", "Bearer "+key[1:]), forgedEarly},
		{"nothing", header("Authorization", "Bearer "), forgedEarly},
		{"another scheme", header("Authorization", "Basic "+key), malformedEarly},
		{"two", header("Authorization", "Bearer "+key, "Authorization", "Bearer "+key), malformedEarly},
	})
	testHeaders(t, provider.Alertmanager("me:secret"), []headerCase{
		{"a name and a password", header("Authorization", "Basic bWU6c2VjcmV0"), accepted},
		{"no padding", header("Authorization", "Basic bWU6c2VjcmV"), malformedEarly},
		{"another", header("Authorization", "Basic bWU6c2VjcmVx"), forgedEarly},
		{"a token", header("Authorization", "Bearer me:secret"), forgedEarly},
	})
	testHeaders(t, provider.Alertmanager(key, "me:secret"), []headerCase{
		{"a token", header("Authorization", "Bearer "+key), accepted},
		{"a name and a password", header("Authorization", "Basic bWU6c2VjcmV0"), accepted},
		{"another token", header("Authorization", "Bearer "+key+"0"), forgedEarly},
		{"another password", header("Authorization", "Basic bWU6c2VjcmVx"), forgedEarly},
		{"no padding", header("Authorization", "Basic bWU6c2VjcmV"), malformedEarly},
		{"nothing", header(), forgedEarly},
	})
}

// A request without valid credentials is asked for a name and a password, if there is a secret
// of this kind.
func TestAlertmanagerChallenge(t *testing.T) {
	for _, c := range []struct {
		p    *provider.Provider
		want bool
	}{
		{provider.Alertmanager("me:secret"), true},
		{provider.Alertmanager("me:secret", key), true},
		{provider.Alertmanager(key, "me:secret"), true},
		{provider.Alertmanager(key), false},
	} {
		for _, h := range []http.Header{header(), header("Authorization", "Bearer other")} {
			err := c.p.Precheck(&provider.Request{Header: h})
			var challenge interface{ Challenge() string }
			if !errors.As(err, &challenge) {
				t.Fatalf("got error %v without a method Challenge, want one", err)
			}
			if got := challenge.Challenge() != ""; got != c.want {
				t.Errorf("%v: got challenge %q, want one: %t", h, challenge.Challenge(), c.want)
			}
		}
	}
}
