package provider

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

// Meta returns the Provider for webhooks of Facebook, Instagram and WhatsApp, with an event
// for each change. The Data of an event is the entry with that change alone. Its type is what
// has changed, such as "page.feed" or "whatsapp_business_account.messages". Messenger has an
// event for each element of "messaging", of type "page.messaging".
//
// A secret is the app secret. verifyToken is the one in the app's settings; it verifies the
// challenge of a subscription. If it is empty, every challenge is refused.
// (https://developers.facebook.com/docs/graph-api/webhooks/getting-started)
func Meta(verifyToken string, secrets ...string) *Provider {
	p := &Provider{
		Name: "meta", Deadline: 4500 * time.Millisecond,
		Answers: answer200(),
		Scheme:  Signature{Header: "X-Hub-Signature-256", Prefix: "sha256="},
		ID:      Source{Hash: true},
		Payload: Payload{split: metaEvents},
	}
	p.Handshake = func(r *Request) (*Answer, bool) { return metaHandshake(r, verifyToken) }
	return p.with(secrets)
}

func metaHandshake(r *Request, verifyToken string) (*Answer, bool) {
	q := query(r)
	if r.Method != http.MethodGet || q.Get("hub.mode") != "subscribe" {
		return nil, false
	}
	got, want := sha256.Sum256([]byte(q.Get("hub.verify_token"))), sha256.Sum256([]byte(verifyToken))
	if verifyToken == "" || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return &Answer{Status: http.StatusForbidden}, true
	}
	return plain(q.Get("hub.challenge"), ""), true
}

// metaLists are the members of an entry whose elements are events.
var metaLists = [...]string{"changes", "messaging"}

// metaEvents appends an event for each change in each entry.
func metaEvents(_ *Request, payload []byte, events []Event) ([]Event, bool) {
	object := decode.Field(payload, "object")
	add := func(entry []byte) bool {
		events = append(events, Event{Type: metaType(object, decode.Fields(entry)), Data: entry})
		return true
	}
	ok := elements(payload, "entry", func(entry []byte) bool {
		before := len(events)
		field := decode.Fields(entry)
		for _, list := range metaLists {
			if n := field(list + ".#"); n != "" && n != "0" && n != "1" {
				if alone(entry, list, add) {
					return true
				}
				events = events[:before]
			}
		}
		return add(entry)
	})
	return events, ok
}

// metaType returns the type of a change: the object, a sibling of the entries, and the field
// of the change.
func metaType(object string, entry func(path string) string) string {
	changed := entry("changes.0.field")
	if n := entry("messaging.#"); changed == "" && n != "" && n != "0" {
		changed = "messaging"
	}
	if object == "" || changed == "" {
		return object + changed
	}
	return object + "." + changed
}

// alone calls yield for each element of the array in member list, with a copy of object that
// has only that element in the array. ok is false if there is no such array.
func alone(object []byte, list string, yield func([]byte) bool) (ok bool) {
	from, to := member(object, list)
	return from < to && each(decode.JSONArray, object[from:to], func(element []byte) bool {
		return yield(slices.Concat(object[:from], []byte{'['}, element, []byte{']'}, object[to:]))
	})
}

// member returns the offsets of a member's value in a JSON object, or 0 and 0 if it has no
// such member.
func member(object []byte, name string) (from, to int) {
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return 0, 0
	}
	for d.More() {
		key, err := d.Token()
		var value json.RawMessage
		if err != nil || d.Decode(&value) != nil {
			return 0, 0
		}
		if key == name {
			to = int(d.InputOffset())
			return to - len(value), to
		}
	}
	return 0, 0
}
