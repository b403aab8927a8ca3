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

// Meta takes webhooks of Facebook, Instagram and WhatsApp, an event for each change: its Data
// is the entry with that change alone, and its type is what has changed, such as "page.feed"
// or "whatsapp_business_account.messages". Of Messenger it is an event for each messaging,
// of the type "page.messaging". A secret is the app secret. verifyToken is what the app's
// settings say, for the challenge of a subscription; if it is empty, every challenge is
// refused. (https://developers.facebook.com/docs/graph-api/webhooks/getting-started)
func Meta(verifyToken string, secrets ...string) *Provider {
	p := &Provider{
		Name: "meta", Deadline: 4500 * time.Millisecond,
		Answers: answer200(),
		Scheme:  Signature{Header: "X-Hub-Signature-256", Prefix: "sha256="},
		ID:      Source{Hash: true},
		Payload: Payload{split: metaEvents},
	}
	p.Greeting = func(r *Request) (*Answer, bool) { return metaGreeting(r, verifyToken) }
	return p.with(secrets)
}

func metaGreeting(r *Request, verifyToken string) (*Answer, bool) {
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

// metaLists are what an entry may have a list of, each of which is an event.
var metaLists = [...]string{"changes", "messaging"}

// metaEvents makes an event of each change in each entry.
func metaEvents(_ *Request, payload []byte, events []Event) ([]Event, bool) {
	object := decode.Field("object")(payload)
	add := func(entry []byte) bool {
		events = append(events, Event{Type: metaType(object, decode.Check(entry)), Data: entry})
		return true
	}
	ok := elements(payload, "entry", func(entry []byte) bool {
		before := len(events)
		checked := decode.Check(entry)
		for _, list := range metaLists {
			if n := checked.Field(list + ".#"); n != "" && n != "0" && n != "1" {
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

// metaType names a change by the object, which is beside the entries, and the field in it.
func metaType(object string, entry decode.Checked) string {
	field := entry.Field("changes.0.field")
	if n := entry.Field("messaging.#"); field == "" && n != "" && n != "0" {
		field = "messaging"
	}
	if object == "" || field == "" {
		return object + field
	}
	return object + "." + field
}

// alone calls yield with object once for each element of the array that its member list is,
// with no other element in it. It is not ok if there is no such array.
func alone(object []byte, list string, yield func([]byte) bool) (ok bool) {
	from, to := member(object, list)
	return from < to && each(decode.JSONArray{}, object[from:to], func(element []byte) bool {
		return yield(slices.Concat(object[:from], []byte{'['}, element, []byte{']'}, object[to:]))
	})
}

// member returns where in an object the value of a member is. It is nowhere if there is none.
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
