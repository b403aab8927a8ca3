//go:build integration

package webhook_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

// need fails the test with an installation hint if a program is missing.
func need(t *testing.T, program, install string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not installed: %s", program, install)
	}
	return path
}

// TestAlertmanager has Prometheus Alertmanager deliver an alert to a receiver without a
// subscription, and then to a consumer that refuses it once.
func TestAlertmanager(t *testing.T) {
	program := need(t, "prometheus-alertmanager", "apt-get install prometheus-alertmanager")
	refused := make(chan int, 100)
	w := &webhook.Receiver{
		Provider:   provider.Alertmanager("alertmanager:a password"),
		OnRejected: func(e *webhook.RejectedError) { refused <- e.Status },
	}
	srv := httptest.NewServer(w)
	defer srv.Close()
	api := startAlertmanager(t, program, srv.URL+"/alerts")
	postAlert(t, api)
	if status := <-refused; status != 503 {
		t.Fatalf("without a subscription: got status %d, want 503", status)
	}

	sub, err := client.Subscribe(t.Context(), w, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	for _, failure := range []error{errors.New("not now"), nil} {
		ev := nextEvent(t, sub)
		var body struct {
			Status string
			Alerts []struct{ Labels map[string]string }
		}
		if err := json.Unmarshal(ev.Data, &body); err != nil || len(body.Alerts) != 1 || body.Alerts[0].Labels["alertname"] != "Test" {
			t.Fatalf("event %s: got %v, want one alert named Test", ev.Data, err)
		}
		if ev.Type != "firing" || ev.Delivery.Header.Get("Authorization") != "" || ev.Delivery.Proof != transport.ProofBearer {
			t.Errorf("got type %q, header %v, want firing without credentials", ev.Type, ev.Delivery.Header)
		}
		if failure != nil {
			ev.Nack(failure)
		} else {
			ev.Ack()
		}
	}
	// A 204 ends the delivery: there is no further attempt.
	waitForMetric(t, api, `alertmanager_notifications_total{integration="webhook"} 1`)
	waitForMetric(t, api, `alertmanager_notifications_failed_total{integration="webhook",reason="other"} 0`,
		`alertmanager_notifications_failed_total{integration="webhook"} 0`)
}

func nextEvent(t *testing.T, sub *client.Subscription) client.Event {
	t.Helper()
	ev, err := sub.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

// startAlertmanager starts an Alertmanager that notifies hook, and returns its URL.
func startAlertmanager(t *testing.T, program, hook string) string {
	dir := t.TempDir()
	config := fmt.Sprintf(`
route: {receiver: hook, group_wait: 10ms, group_interval: 1m}
receivers:
- name: hook
  webhook_configs:
  - url: %s
    http_config: {basic_auth: {username: alertmanager, password: a password}}
`, hook)
	file := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	var output bytes.Buffer
	cmd := exec.Command(program, "--config.file="+file, "--storage.path="+dir,
		"--web.listen-address="+addr, "--cluster.listen-address=")
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("output of alertmanager:\n%s", &output)
		}
	})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	api := "http://" + addr
	eventually(t, "alertmanager answers", func() bool {
		a, err := http.Get(api + "/-/ready")
		if err != nil {
			return false
		}
		a.Body.Close()
		return a.StatusCode == 200
	})
	return api
}

func postAlert(t *testing.T, api string) {
	t.Helper()
	a, err := http.Post(api+"/api/v2/alerts", "application/json", strings.NewReader(`[{"labels":{"alertname":"Test"}}]`))
	if err != nil {
		t.Fatal(err)
	}
	a.Body.Close()
	if a.StatusCode != 200 {
		t.Fatalf("the alert: got %s, want 200", a.Status)
	}
}

// waitForMetric waits until Alertmanager has one of these lines among its metrics.
func waitForMetric(t *testing.T, api string, lines ...string) {
	t.Helper()
	eventually(t, lines[0], func() bool {
		a, err := http.Get(api + "/metrics")
		if err != nil {
			return false
		}
		defer a.Body.Close()
		var text bytes.Buffer
		text.ReadFrom(a.Body)
		for _, line := range lines {
			if strings.Contains(text.String(), line+"\n") {
				return true
			}
		}
		return false
	})
}

// eventually waits for a condition that another process changes.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// senders are deliveries that the senders' own libraries sign; see testdata/senders.
var senders = map[string]struct {
	provider      *provider.Provider
	secret, other string
	id            string // of the delivery as it is sent
	eventID       string // as it is received
	eventType     string
	body          string
	data          string // of the event; body
}{
	"adyen": { // a payment from the tests of Adyen's libraries, colon_webhook.json
		provider.Adyen("74F490DD33F7327BAECC88B2947C011FC02D014A473AAA33A8EC93E4DC069174"),
		"74F490DD33F7327BAECC88B2947C011FC02D014A473AAA33A8EC93E4DC069174", strings.Repeat("0a", 32),
		"", "M8NB66SBZSGLNK82:AUTHORISATION:true", "AUTHORISATION", adyenItem + "}",
		adyenItem + `,"additionalData":{"hmacSignature":"2EQYm7YJpKO4EtHSPu55SQTyWf8dkW5u2nD1tJFpViA="}}`,
	},
	"twilio": {
		provider.Twilio("f9b7f0e6a6c4d2e8b1a3c5d7e9f0a1b2"), "f9b7f0e6a6c4d2e8b1a3c5d7e9f0a1b2", "another secret",
		"", "t1", "sent", "Body=it%27s+me&MessageStatus=sent", "",
	},
	"twilio with a SharedKey": {
		provider.Twilio("f9b7f0e6a6c4d2e8b1a3c5d7e9f0a1b2"), "f9b7f0e6a6c4d2e8b1a3c5d7e9f0a1b2", "another secret",
		"t2", "t2", "sent", "Body=it%27s+me&MessageStatus=sent", "",
	},
	"github": {
		provider.GitHub("It's a Secret to Everybody"), "It's a Secret to Everybody", "another secret",
		"72d3162e-cc78-11e3-81ab-4c9367dc0958", "72d3162e-cc78-11e3-81ab-4c9367dc0958", "push",
		`{"ref":"refs/heads/main","pusher":{"name":"Zoë"}}`, "",
	},
	"notion": {
		provider.Notion(nil, "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"), "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl",
		"secret_another", "", "367cba44-b6f3-4c92-81e7-6a2e9659efd4", "page.created",
		`{"id":"367cba44-b6f3-4c92-81e7-6a2e9659efd4","type":"page.created", "attempt_number":1,"data":{"name":"Zoë"}}`, "",
	},
	"stripe": {
		provider.Stripe("whsec_test_secret"), "whsec_test_secret", "whsec_another_secret",
		"", "evt_1", "charge.succeeded", `{"id":"evt_1", "type":"charge.succeeded", "amount":1.0}`, "",
	},
	"svix": {
		provider.Svix("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
		"msg_p5jXN8AQM9LWM0D4loKWxJek", "msg_p5jXN8AQM9LWM0D4loKWxJek", "user.created",
		`{"type":"user.created","data":{"name":"Zoë"}}`, "",
	},
}

const adyenItem = `{"amount":{"currency":"EUR","value":1000},"eventCode":"AUTHORISATION",` +
	`"merchantAccountCode":"AntoniStroinski","merchantReference":":slashes are fun",` +
	`"pspReference":"M8NB66SBZSGLNK82","success":"true"`

// sendSigned runs the sender and returns the status of the answer.
func sendSigned(t *testing.T, node, sender, url, secret, id, body string) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), node, "send.js", sender, url, secret, id)
	cmd.Dir = filepath.Join("testdata", "senders")
	cmd.Stdin = strings.NewReader(body)
	var output, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &errors
	if err := cmd.Run(); err != nil {
		t.Fatalf("send.js: %v\n%s", err, &errors)
	}
	var answer struct {
		Status     int
		RetryAfter string
	}
	if err := json.Unmarshal(output.Bytes(), &answer); err != nil {
		t.Fatalf("send.js printed %q: %v", &output, err)
	}
	if answer.Status == 503 && answer.RetryAfter == "" {
		t.Error("503: got no Retry-After, want one")
	}
	return answer.Status
}

func TestSendersLibraries(t *testing.T) {
	node := need(t, "node", "Node.js 20 or newer")
	if _, err := os.Stat("testdata/senders/node_modules"); err != nil {
		t.Fatal("the libraries are not installed: run npm ci in transport/webhook/testdata/senders")
	}
	for name, s := range senders {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			name, _, _ := strings.Cut(name, " ")
			w := &webhook.Receiver{
				Providers: map[string]*provider.Provider{"/in/" + name: s.provider},
				URL:       "http://" + l.Addr().String(), Listener: l,
			}
			sub, err := client.Subscribe(t.Context(), w, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer sub.Close()
			url := "http://" + l.Addr().String() + "/in/" + name

			if status := sendSigned(t, node, name, url, s.other, s.id, s.body); status != 401 {
				t.Errorf("signed with another secret: got status %d, want 401", status)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				ev, err := sub.Next(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if string(ev.Data) != cmp.Or(s.data, s.body) || ev.Type != s.eventType || ev.ID != s.eventID {
					t.Errorf("got event %q of type %q with %s, want %q, %q, %s", ev.ID, ev.Type, ev.Data, s.eventID, s.eventType, cmp.Or(s.data, s.body))
				}
				ev.Ack()
			}()
			for _, attempt := range []string{"the first time", "again"} {
				if status := sendSigned(t, node, name, url, s.secret, s.id, s.body); status/100 != 2 {
					t.Errorf("%s: got status %d, want a 2xx", attempt, status)
				}
			}
			<-done
			if n := sub.Stats().Received; n != 1 {
				t.Errorf("got %d events, want 1", n)
			}
		})
	}
}
