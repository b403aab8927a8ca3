package provider_test

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func twilioSamples() []sample {
	return []sample{
		{
			name: "twilio form", make: provider.Twilio, id: "tw1", wantID: "tw1", url: "https://example.com/hook?a=b",
			header: map[string]string{"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8", "I-Twilio-Idempotency-Token": "tw1"},
			body:   "To=%2B1&CallStatus=busy&Digit=2&Digit=1&Digit=2", events: " busy",
			sign: func(string) map[string]string {
				text := "https://example.com/hook?a=bCallStatusbusyDigit1Digit2To+1"
				return map[string]string{"X-Twilio-Signature": base64.StdEncoding.EncodeToString(mac(sha1.New, key, text))}
			},
			vectors: []string{"twilio-form", "twilio-json-bodysha256"},
		},
		{
			name: "twilio json", make: provider.Twilio, url: "https://example.com/hook?bodySHA256=" + fmt.Sprintf("%x", sha256.Sum256([]byte("{}"))),
			body: "{}", events: " ",
			sign: func(string) map[string]string {
				text := "https://example.com:443/hook?bodySHA256=" + fmt.Sprintf("%x", sha256.Sum256([]byte("{}")))
				return map[string]string{"X-Twilio-Signature": base64.StdEncoding.EncodeToString(mac(sha1.New, key, text))}
			},
		},
	}
}

// The vectors are signed by Twilio's library: getExpectedTwilioSignature of the npm package
// twilio, version 6.3.1, with each algorithm and for each way in which its servers may write
// the URL.
func TestTwilioAcceptsEveryFormOfItsURL(t *testing.T) {
	var list []struct{ Name, URL, Login, Secret, Body, Signature string }
	data, err := os.ReadFile("testdata/twilio.json")
	if err == nil {
		err = json.Unmarshal(data, &list)
	}
	if err != nil || len(list) == 0 {
		t.Fatal(err)
	}
	for _, c := range list {
		t.Run(c.Name, func(t *testing.T) {
			r := &provider.Request{Method: "POST", URL: c.URL, Header: header(), Body: []byte(c.Body), Time: at}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
			r.Header.Set("X-Twilio-Signature", c.Signature)
			if c.Login != "" {
				r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.Login)))
			}
			d, err := provider.Twilio("another secret", c.Secret).Receive(r)
			if err != nil {
				t.Fatal(err)
			}
			if d.Key != 1 || d.Events[0].Type != "sent" {
				t.Errorf("got key %d and events %+v, want key 1 and type sent", d.Key, d.Events)
			}
			for _, url := range []string{c.URL + "?", "https://other.example.com/sms"} {
				r.URL = url
				if _, err := provider.Twilio(c.Secret).Receive(r); !forged(err) {
					t.Errorf("at %s: got error %v, want Forged", url, err)
				}
			}
		})
	}
}
