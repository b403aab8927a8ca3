package provider

import "strings"

// Alertmanager returns the Provider for Prometheus Alertmanager with http_config. A secret
// "name:password" is basic_auth; any other is a bearer token. The body is not protected.
//
// After a 4xx, Alertmanager drops the notification until it sends the group again. Therefore
// the answer to one with missing or wrong credentials is 503.
// (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config)
func Alertmanager(secrets ...string) *Provider {
	p := &Provider{
		Name:    "alertmanager",
		Answers: Answers{Forged: again(), Malformed: again()},
		Retry:   Retry{Final: func(a Answer) bool { return a.Status < 500 }},
		Scheme: choice{
			schemes: []Scheme{Basic{}, Token{Header: "Authorization", Prefix: "Bearer "}},
			of:      alertmanagerSecret,
		},
		Payload: Payload{Type: path("status")},
	}
	return p.with(secrets)
}

// alertmanagerSecret distinguishes name:password from a bearer token, which cannot contain a
// colon (RFC 6750).
func alertmanagerSecret(text string) (int, string, error) {
	if strings.Contains(text, ":") {
		return 0, text, nil
	}
	return 1, text, nil
}
