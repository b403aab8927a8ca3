package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

func twitchSample() sample {
	return sample{
		name: "twitch", make: provider.Twitch, id: "tw", wantID: "tw", signed: true, events: " stream.online",
		header: map[string]string{"Twitch-Eventsub-Message-Type": "notification"},
		body:   `{"subscription":{"type":"stream.online"},"event":{}}`,
		sign: func(body string) map[string]string {
			return map[string]string{
				"Twitch-Eventsub-Message-Id": "tw", "Twitch-Eventsub-Message-Timestamp": rfc3339,
				"Twitch-Eventsub-Message-Signature": "sha256=" + hexMAC("tw"+rfc3339+body),
			}
		},
	}
}
