package provider_test

import (
	"cmp"
	"net/http"
	"testing"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// A failure that may be temporary, such as a secret in rotation or a busy receiver, is not
// answered with a status after which the sender drops the event or disables the receiver.
func TestAnswersAreNotFinal(t *testing.T) {
	for _, s := range samples() {
		p := s.provider()
		if p.Retry.Final == nil {
			continue
		}
		for name, a := range map[string]provider.Answer{
			"Forged": p.Answers.Forged, "Late": p.Answers.Late, "Busy": p.Answers.Busy,
		} {
			a.Status = cmp.Or(a.Status, map[string]int{"Forged": http.StatusUnauthorized}[name], http.StatusServiceUnavailable)
			final := p.Retry.Final(a)
			if s.name == "bitbucket" && name == "Forged" {
				if !final {
					t.Error("bitbucket: got 401 as not final, want final")
				}
				continue
			}
			if final {
				t.Errorf("%s: Answers.%s: got %d, want a status after which the event is not lost", s.name, name, a.Status)
			}
		}
		if p.Retry.Final(provider.Answer{Status: http.StatusInternalServerError}) && s.name != "zendesk" {
			t.Errorf("%s: got 500 as final, want not final", s.name)
		}
	}
}

// Final agrees with the documentation of each sender.
func TestFinalStatuses(t *testing.T) {
	for _, c := range []struct {
		p      *provider.Provider
		final  []int
		repeat []int
	}{
		{provider.AzureEventGrid(nil, key), []int{400, 401, 403, 413}, []int{404, 408, 429, 500, 503, 504}},
		{provider.CloudEvents(nil, key), []int{400, 401, 403, 410, 413, 415}, []int{404, 408, 409, 429, 500, 503}},
		{provider.Alertmanager(key), []int{400, 401, 404, 429}, []int{500, 502, 503}},
		{provider.Zendesk(key), []int{400, 401, 404, 413, 500}, []int{409, 429, 503}},
		{provider.AmazonSNS(nil, topic), []int{400, 401, 403, 404}, []int{429, 500, 503}},
		{provider.Bitbucket(key), []int{400, 401, 404}, []int{500, 503}},
		{provider.Mailgun(key), []int{406}, []int{400, 401, 500, 503}},
		{provider.Typeform(key), []int{404, 410}, []int{401, 429, 503}},
		{provider.StandardWebhooks("whsec_" + key), []int{410}, []int{400, 401, 404, 429, 503}},
		{provider.WebSub(nil, key), []int{410}, []int{401, 503}},
		{provider.Slack(key), nil, []int{400, 401, 503}},
		{provider.Jira(key), []int{400, 401, 404, 410, 413}, []int{408, 409, 425, 429, 500, 503}},
		{provider.Okta(key), []int{400, 401, 404, 429}, []int{500, 503}},
		{provider.Trello(key), []int{410}, []int{401, 503}},
	} {
		for _, status := range c.final {
			if !c.p.Retry.Final(provider.Answer{Status: status}) {
				t.Errorf("%s: got %d as not final, want final", c.p.Name, status)
			}
		}
		for _, status := range c.repeat {
			if c.p.Retry.Final(provider.Answer{Status: status}) {
				t.Errorf("%s: got %d as final, want not final", c.p.Name, status)
			}
		}
	}
}

func TestAttempt(t *testing.T) {
	for _, c := range []struct {
		p             *provider.Provider
		header, value string
		body          string
		want          int
	}{
		{provider.Slack(key), "X-Slack-Retry-Num", "", `{}`, 0},
		{provider.Slack(key), "X-Slack-Retry-Num", "1", `{}`, 2},
		{provider.Slack(key), "X-Slack-Retry-Num", "-1", `{}`, 0},
		{provider.Slack(key), "X-Slack-Retry-Num", "99999999999999999999", `{}`, 0},
		{provider.Slack(key), "X-Slack-Retry-Num", "9223372036854775807", `{}`, 0},
		{provider.Bitbucket(key), "X-Attempt-Number", "1", `{}`, 1},
		{provider.Bitbucket(key), "X-Attempt-Number", "0", `{}`, 0},
		{provider.Bitbucket(key), "X-Attempt-Number", "3", `{}`, 3},
		{provider.Square(key), "Square-Retry-Number", "1", `{}`, 2},
		{provider.AzureEventGrid(nil, key), "Aeg-Delivery-Count", "0", `[{"id":"1"}]`, 1},
		{provider.AzureEventGrid(nil, key), "Aeg-Delivery-Count", "2", `[{"id":"1"}]`, 3},
		{provider.HubSpot(key), "", "", `[{"eventId":1,"attemptNumber":0}]`, 1},
		{provider.HubSpot(key), "", "", `[{"eventId":1,"attemptNumber":4}]`, 5},
		{provider.GitHub(key), "X-Attempt-Number", "3", `{}`, 0},
		{provider.DocuSign(key), "", "", `{"retryCount":0}`, 1},
		{provider.DocuSign(key), "", "", `{"retryCount":3}`, 4},
		{provider.Jira(key), "X-Atlassian-Webhook-Retry", "", `{}`, 0},
		{provider.Jira(key), "X-Atlassian-Webhook-Retry", "1", `{}`, 2},
		{provider.Notion(nil, key), "", "", `{"attempt_number":1}`, 1},
		{provider.Notion(nil, key), "", "", `{"attempt_number":8}`, 8},
		{provider.Intercom(key), "", "", `{"delivery_attempts":1}`, 1},
		{provider.Intercom(key), "", "", `{"delivery_attempts":2}`, 2},
	} {
		r := &provider.Request{Method: "POST", URL: "https://example.com/", Header: header(), Body: []byte(c.body), Time: at}
		if c.value != "" {
			r.Header.Set(c.header, c.value)
		}
		if err := c.p.Sign(r, "d1"); err != nil {
			t.Fatal(err)
		}
		d, err := c.p.Receive(r)
		if err != nil || d.Attempt != c.want {
			t.Errorf("%s, %q: got %+v and error %v, want attempt %d", c.p.Name, c.value, d, err, c.want)
		}
	}
}
