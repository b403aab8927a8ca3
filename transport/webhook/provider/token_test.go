package provider_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// The token must occur exactly once in the URL.
func TestTokenInQuery(t *testing.T) {
	p := provider.AzureEventGrid(nil, key)
	for query, ok := range map[string]bool{
		"?code=" + key: true, "?a=b&code=" + key + "#code=x": true, "": false, "?code=": false, "?code=" + key + "0": false,
		"?code=" + key + "&code=" + key: false, "?code=%zz&code=" + key: false, "#?code=" + key + "0": false,
	} {
		_, err := p.Receive(&provider.Request{Method: "POST", URL: "https://example.com/" + query, Header: header(), Body: []byte("[]"), Time: at})
		if (err == nil) != ok {
			t.Errorf("%q: got error %v, want success %t", query, err, ok)
		}
	}
}
