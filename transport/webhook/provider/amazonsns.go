package provider

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// AmazonSNS returns the Provider for the Amazon SNS topics with the given ARNs. It confirms
// subscriptions to these topics and refuses messages of any other. An event is the whole
// envelope, of type Notification or UnsubscribeConfirmation. A topic must use signature
// version 2, because version 1 is SHA-1.
//
// client fetches certificates, as [Keys] describes, and confirms subscriptions. Each request
// goes to the host of SNS in the region of the topic, follows no redirect and ends after 5 s. If
// client is nil, it is that of a [Fetcher]. If secrets are set with
// SetSecrets, no certificate is fetched: a secret is a certificate in PEM, or a private key in
// PEM, with which Sign works.
//
// # Limits
//
// The time of a message is when it was published, and may be a day off: SNS repeats a message
// for up to an hour, in addition to the time for which it was throttled. SNS does not repeat a
// message after a 4xx other than 429. Therefore the answer to a message that does not match is
// 503.
//
// # Security
//
// MessageAttributes and UnsubscribeURL are not signed. A request chooses the file name of its
// certificate, but not the host.
// (https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html,
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html)
func AmazonSNS(client *http.Client, topics ...string) *Provider {
	fetcher := &Fetcher{Client: client}
	s := sns{topics: topics, fetcher: fetcher, certificates: newCertificates(fetcher, nil)}
	return &Provider{
		Name: "sns", Deadline: 13 * time.Second,
		Answers: Answers{Forged: unavailable()},
		Retry: Retry{
			Waits:    slices.Repeat([]time.Duration{20 * time.Second}, 3),
			Verbatim: true,
			Final: func(a Answer) bool {
				return a.Status >= 400 && a.Status < 500 && a.Status != http.StatusTooManyRequests
			},
		},
		Scheme:  s,
		Payload: Payload{ID: Source{Path: []string{"MessageId"}}, Type: Source{Path: []string{"Type"}}},
		Respond: s.confirm,
	}
}

const (
	snsTypeHeader = "X-Amz-Sns-Message-Type"
	snsTolerance  = day
)

var snsPath = regexp.MustCompile(`^/SimpleNotificationService-[0-9a-f]{1,64}\.pem$`)

type sns struct {
	topics       []string
	fetcher      *Fetcher
	certificates *Keys[*rsa.PublicKey]
}

type snsVerifier struct {
	sns
	pinned []*rsa.PublicKey
	at     []int
	signer *rsa.PrivateKey // nil if there is none
	slots  slots
}

func (sns) traits() traits {
	return traits{causes: "unlisted topic, message modified in transit, or message older than a day"}
}

func (s sns) newVerifier(secrets []secret) (verifier, error) {
	if len(s.topics) == 0 {
		return nil, errors.New("no topic: name the ARNs of the subscribed topics")
	}
	for _, arn := range s.topics {
		if snsHost(arn) == "" {
			return nil, errors.New("a topic does not have the form arn:aws:sns:REGION:ACCOUNT:NAME")
		}
	}
	v := &snsVerifier{sns: s, slots: newSlots()}
	for i, text := range secrets {
		public, private, err := rsaKey(text.text)
		if err != nil {
			return nil, text.wrap(err)
		}
		if i == 0 {
			v.signer = private
		}
		v.pinned, v.at = append(v.pinned, public), append(v.at, text.at)
	}
	return v, nil
}

func (v *snsVerifier) precheck(r *Request) error {
	_, err := singleHeader(r.Header, snsTypeHeader)
	return err
}

func (v *snsVerifier) verify(r *Request) (m match, err error) {
	kind, err := singleHeader(r.Header, snsTypeHeader)
	if err != nil {
		return m, err
	}
	field := decode.Fields(r.Body)
	names := snsFields(kind)
	if names == nil || field("Type") != kind {
		return m, malformed("not an SNS message")
	}
	if field("SignatureVersion") != "2" {
		return m, malformed("SignatureVersion is not 2")
	}
	if !v.subscribed(field("TopicArn")) {
		return m, forged()
	}
	stamp := Timestamp{Layout: time.RFC3339, Tolerance: snsTolerance}
	if err = stamp.check(field("Timestamp"), r.now()); err != nil {
		return m, err
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(field("Signature"))
	if err != nil {
		return m, malformed("the signature is malformed")
	}
	key, err := v.check(r, snsText(field, names), signature, field)
	if err != nil {
		return m, err
	}
	return match{key: key, proof: transport.ProofMetadata, id: field("MessageId")}, unambiguous(r.Body)
}

// check returns the index of the secret that made the signature, or -1 if the fetched
// certificate did.
func (v *snsVerifier) check(r *Request, text string, signature []byte, field func(string) string) (int, error) {
	keys, at := v.pinned, v.at
	if len(keys) == 0 {
		address := certificateURL(field("SigningCertURL"), snsHost(field("TopicArn")), snsPath)
		if address == "" {
			return -1, forged()
		}
		key, err := v.certificates.Key(r, address)
		if err != nil {
			return -1, err
		}
		keys, at = []*rsa.PublicKey{key}, []int{-1}
	}
	if err := v.slots.take(r); err != nil {
		return -1, err
	}
	defer v.slots.leave()
	sum := sha256.Sum256([]byte(text))
	for i, key := range keys {
		if rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil {
			return at[i], nil
		}
	}
	return -1, forged()
}

func (s sns) subscribed(topic string) bool {
	for _, t := range s.topics {
		if t == topic {
			return true
		}
	}
	return false
}

// snsFields returns the names of the signed fields, in their order, or nil for an unknown
// type.
func snsFields(kind string) []string {
	switch kind {
	case "Notification":
		return []string{"Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"}
	case "SubscriptionConfirmation", "UnsubscribeConfirmation":
		return []string{"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"}
	}
	return nil
}

func snsText(field func(string) string, names []string) string {
	var b strings.Builder
	for _, name := range names {
		if value := field(name); value != "" || name != "Subject" {
			b.WriteString(name + "\n" + value + "\n")
		}
	}
	return b.String()
}

// snsHost returns the host of SNS in the region of a topic, or "" if arn is not a topic.
func snsHost(arn string) string {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "sns" || !harmless(parts[3], "") || strings.Contains(parts[3], ".") {
		return ""
	}
	switch parts[1] {
	case "aws", "aws-us-gov":
		return "sns." + parts[3] + ".amazonaws.com"
	case "aws-cn":
		return "sns." + parts[3] + ".amazonaws.com.cn"
	case "aws-eusc":
		return "sns." + parts[3] + ".amazonaws.eu"
	}
	return ""
}

// confirm confirms the subscription in a verified message. If that fails, it asks SNS to send
// the message again.
func (s sns) confirm(r *Request, d *Delivery) *Answer {
	if d.kind() != "SubscriptionConfirmation" {
		return nil
	}
	field := decode.Fields(r.Body)
	d.Events = nil
	confirm := url.URL{Scheme: "https", Host: snsHost(field("TopicArn")), Path: "/", RawQuery: url.Values{
		"Action": {"ConfirmSubscription"}, "TopicArn": {field("TopicArn")}, "Token": {field("Token")},
		"Version": {"2010-03-31"},
	}.Encode()}
	if _, err := s.fetcher.get(context.Background(), confirm.String()); err != nil {
		return later()
	}
	return &Answer{Status: http.StatusOK}
}

// later returns the answer that asks the sender to send a request again.
func later() *Answer {
	return &Answer{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"20"}}}
}

func (v *snsVerifier) sign(r *Request, id string) error {
	if v.signer == nil {
		return errNotSigner
	}
	body, err := object(r.Body)
	if err != nil {
		return err
	}
	kind, _ := body["Type"].(string)
	if kind == "" {
		kind = "Notification"
	}
	body["Type"], body["MessageId"], body["SignatureVersion"] = kind, id, "2"
	body["Timestamp"] = r.now().UTC().Format("2006-01-02T15:04:05.000Z")
	if body["TopicArn"] == nil {
		body["TopicArn"] = v.topics[0]
	}
	field := func(name string) string { text, _ := body[name].(string); return text }
	sum := sha256.Sum256([]byte(snsText(field, snsFields(kind))))
	signature, err := rsa.SignPKCS1v15(rand.Reader, v.signer, crypto.SHA256, sum[:])
	if err != nil {
		return err
	}
	body["Signature"] = base64.StdEncoding.EncodeToString(signature)
	r.Header.Set(snsTypeHeader, kind)
	r.Body, err = json.Marshal(body)
	return err
}
