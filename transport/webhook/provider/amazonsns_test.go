package provider_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/transport"
	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

const topic = "arn:aws:sns:us-east-1:123456789012:orders"

func amazonSNSSample() sample {
	text := "Message\nhello\nMessageId\nm-1\nTimestamp\n2025-03-04T05:06:07.000Z\nTopicArn\n" + topic + "\nType\nNotification\n"
	sum := sha256.Sum256([]byte(text))
	signature := base64.StdEncoding.EncodeToString(must(rsa.SignPKCS1v15(rand.Reader, rsaKey(), crypto.SHA256, sum[:])))
	return sample{
		name: "sns", secret: privatePEM(rsaKey()), id: "m-1", proof: transport.ProofMetadata,
		make: func(secrets ...string) *provider.Provider {
			p := provider.AmazonSNS(nil, topic)
			if err := p.SetSecrets(secrets...); err != nil {
				panic(err)
			}
			return p
		},
		header: map[string]string{"x-amz-sns-message-type": "Notification", "Content-Type": "text/plain; charset=UTF-8"},
		body: `{"Type":"Notification","MessageId":"m-1","TopicArn":"` + topic + `","Message":"hello",` +
			`"Timestamp":"2025-03-04T05:06:07.000Z","SignatureVersion":"2","Signature":"` + signature + `"}`,
		wantID: "m-1", signed: true, events: "m-1 Notification",
	}
}

// aws serves pages for any host, without a network.
type aws struct {
	t       *testing.T
	pages   map[string]string // by URL
	fetched []string
}

func (a *aws) RoundTrip(r *http.Request) (*http.Response, error) {
	a.fetched = append(a.fetched, r.URL.String())
	page, ok := a.pages[r.URL.String()]
	resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(page)), Request: r}
	switch {
	case !ok:
		return nil, errors.New("no such page: " + r.URL.String())
	case strings.HasPrefix(page, "http"):
		resp.StatusCode = http.StatusFound
		resp.Header.Set("Location", page)
	}
	return resp, nil
}

const (
	certificateURL = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123abcd.pem"
	confirmURL     = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=t0ken&" +
		"TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A123456789012%3Aorders&Version=2010-03-31"
)

func certificate(until time.Time) string {
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: until}
	der := must(x509.CreateCertificate(rand.Reader, c, c, &rsaKey().PublicKey, rsaKey()))
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// message returns a message of SNS with the address of a certificate. change, if any, changes
// it after it was signed.
func message(t *testing.T, change func(map[string]any), fields map[string]any) *provider.Request {
	t.Helper()
	return messageOf(t, topic, change, fields)
}

func messageOf(t *testing.T, topic string, change func(map[string]any), fields map[string]any) *provider.Request {
	t.Helper()
	body := map[string]any{"Message": "hello"}
	for name, value := range fields {
		body[name] = value
	}
	r := &provider.Request{Method: "POST", Header: header(), Time: at, Body: must(json.Marshal(body))}
	by := provider.AmazonSNS(nil, topic)
	if err := errors.Join(by.SetSecrets(privatePEM(rsaKey())), by.Sign(r, "m-1")); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(r.Body, &body); err != nil {
		t.Fatal(err)
	}
	body["SigningCertURL"] = certificateURL
	if change != nil {
		change(body)
	}
	r.Body = must(json.Marshal(body))
	return r
}

func set(name string, value any) func(map[string]any) {
	return func(body map[string]any) { body[name] = value }
}

// The certificate is fetched from the host of SNS, and nothing else is.
func TestAmazonSNSFetchesCertificates(t *testing.T) {
	good := map[string]string{certificateURL: certificate(time.Now().Add(time.Hour))}
	for _, c := range []struct {
		name    string
		pages   map[string]string
		change  func(map[string]any)
		fields  map[string]any
		status  int // 503: SNS must send it again
		fetched int
		ok      bool
	}{
		{"a notification", good, nil, nil, 0, 1, true},
		{"with a subject", good, nil, map[string]any{"Subject": "s"}, 0, 1, true},
		{"the end of a subscription", good, nil, map[string]any{"Type": "UnsubscribeConfirmation", "Token": "t0ken"}, 0, 1, true},
		{"another message", good, set("Message", "hallo"), nil, 0, 1, false},
		{"an added subject", good, set("Subject", "hallo"), nil, 0, 1, false},
		{"another type", good, set("Type", "UnsubscribeConfirmation"), nil, 0, 0, false},
		{"an unknown type", good, set("Type", "Other"), nil, 0, 0, false},
		{"another topic", good, set("TopicArn", topic+"2"), nil, 0, 0, false},
		{"SHA-1", good, set("SignatureVersion", "1"), nil, 0, 0, false},
		{"not Base64", good, set("Signature", "%"), nil, 0, 0, false},
		{"another host", good, set("SigningCertURL", "https://evil.example/SimpleNotificationService-0123abcd.pem"), nil, 0, 0, false},
		{"a host of S3", good, set("SigningCertURL", "https://sns.s3.amazonaws.com/SimpleNotificationService-0123abcd.pem"), nil, 0, 0, false},
		{"another region", good, set("SigningCertURL", "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123abcd.pem"), nil, 0, 0, false},
		{"no TLS", good, set("SigningCertURL", "http"+certificateURL[5:]), nil, 0, 0, false},
		{"a port", good, set("SigningCertURL", strings.Replace(certificateURL, ".com", ".com:8443", 1)), nil, 0, 0, false},
		{"a user", good, set("SigningCertURL", strings.Replace(certificateURL, "sns", "evil@sns", 1)), nil, 0, 0, false},
		{"another path", good, set("SigningCertURL", strings.Replace(certificateURL, "/Simple", "/a/../Simple", 1)), nil, 0, 0, false},
		{"a query", good, set("SigningCertURL", certificateURL+"?a"), nil, 0, 0, false},
		{"no certificate", map[string]string{certificateURL: "<html>"}, nil, nil, 503, 1, false},
		{"too large", map[string]string{certificateURL: good[certificateURL] + strings.Repeat("\n", 64<<10)}, nil, nil, 503, 1, false},
		{"an expired certificate", map[string]string{certificateURL: certificate(time.Now().Add(-time.Hour))}, nil, nil, 503, 1, false},
		{"a redirect", map[string]string{certificateURL: "https://evil.example/"}, nil, nil, 503, 1, false},
		{"no answer", nil, nil, nil, 503, 1, false},
	} {
		service := &aws{t: t, pages: c.pages}
		p := provider.AmazonSNS(&http.Client{Transport: service}, topic)
		d, err := p.Receive(message(t, c.change, c.fields))
		if (err == nil) != c.ok || len(service.fetched) != c.fetched {
			t.Errorf("%s: got error %v after fetching %q, want success %t after %d", c.name, err, service.fetched, c.ok, c.fetched)
			continue
		}
		if err == nil && (c.status == 0) != (len(d.Events) == 1) {
			t.Errorf("%s: got %+v, want one event", c.name, d)
		}
		if busy(err) != (c.status == 503) {
			t.Errorf("%s: got error %v, want Busy %t", c.name, err, c.status == 503)
		}
	}
}

// The certificate is fetched from the partition of the topic.
// (https://docs.aws.amazon.com/general/latest/gr/sns.html, and partitions.json of the AWS SDKs)
func TestAmazonSNSPartitions(t *testing.T) {
	for arn, host := range map[string]string{
		"arn:aws:sns:us-east-1:1:a":            "sns.us-east-1.amazonaws.com",
		"arn:aws-us-gov:sns:us-gov-west-1:1:a": "sns.us-gov-west-1.amazonaws.com",
		"arn:aws-cn:sns:cn-north-1:1:a":        "sns.cn-north-1.amazonaws.com.cn",
		"arn:aws-eusc:sns:eusc-de-east-1:1:a":  "sns.eusc-de-east-1.amazonaws.eu",
	} {
		at := "https://" + host + "/SimpleNotificationService-0123abcd.pem"
		for _, url := range []string{at, certificateURL} {
			service := &aws{t: t, pages: map[string]string{at: certificate(time.Now().Add(time.Hour))}}
			r := messageOf(t, arn, set("SigningCertURL", url), nil)
			_, err := provider.AmazonSNS(&http.Client{Transport: service}, arn).Receive(r)
			if (err == nil) != (url == at) {
				t.Errorf("%s: certificate at %s: got error %v, want success %t", arn, url, err, url == at)
			}
		}
	}
	if err := provider.AmazonSNS(nil, "arn:aws-other:sns:us-east-1:1:a").Validate(); err == nil {
		t.Error("got no error for an unknown partition, want one")
	}
}

// A subscription to a listed topic is confirmed at the host of SNS, not at the address in the
// message.
func TestAmazonSNSConfirmsSubscriptions(t *testing.T) {
	pages := map[string]string{certificateURL: certificate(time.Now().Add(time.Hour)), confirmURL: "<xml/>"}
	fields := map[string]any{"Type": "SubscriptionConfirmation", "Token": "t0ken", "SubscribeURL": "https://evil.example/"}
	service := &aws{t: t, pages: pages}
	p := provider.AmazonSNS(&http.Client{Transport: service}, topic)
	for range 2 {
		d, err := p.Receive(message(t, nil, fields))
		if err != nil || len(d.Events) != 0 || d.Answer == nil || d.Answer.Status != 200 {
			t.Fatalf("got %+v and error %v, want the answer 200", d, err)
		}
	}
	want := certificateURL + "\n" + confirmURL + "\n" + confirmURL
	if got := strings.Join(service.fetched, "\n"); got != want {
		t.Errorf("fetched:\n%s\nwant:\n%s", got, want)
	}
	delete(pages, confirmURL)
	if d, err := p.Receive(message(t, nil, fields)); err != nil || d.Answer.Status != 503 {
		t.Errorf("got %+v and error %v, want the answer 503", d, err)
	}
}

func TestAmazonSNSHeaders(t *testing.T) {
	p := provider.AmazonSNS(&http.Client{Transport: &aws{t: t}}, topic)
	r := message(t, nil, nil)
	if err := p.Precheck(r); err != nil {
		t.Error(err)
	}
	r.Header.Add("X-Amz-Sns-Message-Type", "Notification")
	if p.Precheck(r) == nil {
		t.Error("Precheck of two types: got no error, want one")
	}
	if _, err := p.Receive(r); err == nil {
		t.Error("Receive of two types: got no error, want one")
	}
	r = message(t, nil, nil)
	r.Body = bytes.Replace(r.Body, []byte(`{`), []byte(`{"message":"other",`), 1)
	pinned := provider.AmazonSNS(nil, topic)
	if err := pinned.SetSecrets(certificate(at)); err != nil {
		t.Fatal(err)
	}
	if _, err := pinned.Receive(r); err == nil {
		t.Error("a name in two cases: got no error, want one")
	}
	if d, err := pinned.Receive(message(t, nil, nil)); err != nil || d.Key != 0 {
		t.Errorf("got %+v and error %v, want key 0", d, err)
	}
	if pinned.Sign(r, "m-1") == nil {
		t.Error("Sign with a certificate: got no error, want one")
	}
}
