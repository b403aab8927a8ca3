package provider

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// Adyen returns the Provider for Adyen's standard webhooks of payments, with an event for each
// item. A secret is the key in hex, as the Customer Area shows it. Adyen's other webhooks sign
// the body: use a Signature with the header HmacSignature, whose Key is EncodingHex and whose
// Encoding is EncodingBase64.
//
// # Security
//
// Each item has its own signature, which covers only its references, merchant account, amount,
// event code and success. The rest of the body is not protected.
// (https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures)
func Adyen(secrets ...string) *Provider {
	p := &Provider{
		Name: "adyen", Deadline: 9 * time.Second,
		Answers: Answers{Accepted: Answer{
			Status: http.StatusOK, Header: safeHeader("text/plain; charset=utf-8"), Body: []byte("[accepted]"),
		}},
		Scheme:  adyen{},
		Payload: Payload{split: adyenEvents},
	}
	return p.with(secrets)
}

const adyenSignature = "additionalData.hmacSignature"

// adyenFields returns the paths of the signed fields, in their order.
func adyenFields() [8]string {
	return [...]string{
		"pspReference", "originalReference", "merchantAccountCode", "merchantReference",
		"amount.value", "amount.currency", "eventCode", "success",
	}
}

type adyen struct{}

type adyenVerifier struct{ *signatureVerifier }

func (adyen) traits() traits { return traits{} }

func (adyen) newVerifier(secrets []secret) (verifier, error) {
	s, err := textSignature(Signature{Key: EncodingHex, Encoding: EncodingBase64, form: secretForm{size: 32}}, secrets)
	return adyenVerifier{s}, err
}

func (v adyenVerifier) precheck(*Request) error { return nil }

func (v adyenVerifier) verify(r *Request) (match, error) {
	m := match{proof: transport.ProofMetadata}
	err := malformed("no item in the body")
	adyenItems(r.Body, func(item []byte) bool {
		signature := decode.Field(item, adyenSignature)
		if signature == "" {
			err = malformed("no %s in an item", adyenSignature)
			return false
		}
		m.key, err = v.verifyText(r, adyenText(item), signature)
		return err == nil
	})
	if err != nil {
		return match{}, err
	}
	return m, unambiguous(r.Body)
}

// adyenItems calls yield with the item of each element of a body, empty if there is none,
// until yield returns false.
func adyenItems(body []byte, yield func(item []byte) bool) {
	elements(body, "notificationItems", func(wrapped []byte) bool {
		return yield(within(wrapped, decode.Field(wrapped, "NotificationRequestItem")))
	})
}

// adyenText joins the signed fields with colons. Adyen escapes nothing, so a field may itself
// contain a colon.
func adyenText(item []byte) string {
	var fields []string
	field := decode.Fields(item)
	for _, path := range adyenFields() {
		fields = append(fields, field(path))
	}
	return strings.Join(fields, ":")
}

// adyenEvents appends an event for each item, with an ID that is the same in every attempt.
func adyenEvents(_ *Request, payload []byte, events []Event) (_ []Event, ok bool) {
	adyenItems(payload, func(item []byte) bool {
		field := decode.Fields(item)
		kind := field("eventCode")
		id := field("pspReference") + ":" + kind + ":" + field("success")
		events = append(events, Event{ID: id, Type: kind, Data: item})
		return true
	})
	return events, true
}

func (v adyenVerifier) sign(r *Request, _ string) error {
	body, err := object(r.Body)
	if err != nil {
		return err
	}
	list, _ := body["notificationItems"].([]any)
	for _, wrapped := range list {
		outer, _ := wrapped.(map[string]any)
		item, ok := outer["NotificationRequestItem"].(map[string]any)
		if !ok {
			return malformed("the body to sign has no NotificationRequestItem")
		}
		raw, err := json.Marshal(item)
		if err != nil {
			return err
		}
		more, ok := item["additionalData"].(map[string]any)
		if !ok {
			more = map[string]any{}
			item["additionalData"] = more
		}
		if more["hmacSignature"], err = v.signText(adyenText(raw)); err != nil {
			return err
		}
	}
	r.Body, err = json.Marshal(body)
	return err
}
