package provider_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/steadfeed/steadfeed/transport/webhook/provider"
)

func boxSample() sample {
	return sample{
		name: "box", make: provider.Box, wantID: "eb0c4e06", signed: true, events: "eb0c4e06 FILE.UPLOADED",
		body:   `{"type":"webhook_event","id":"eb0c4e06","trigger":"FILE.UPLOADED"}`,
		header: map[string]string{"Box-Delivery-Id": "673a081b"},
		sign: func(body string) map[string]string {
			return map[string]string{"Box-Delivery-Timestamp": rfc3339, "Box-Signature-Primary": b64MAC(body + rfc3339)}
		},
		vectors: []string{"box-primary", "box-secondary"},
	}
}

// One signature that matches is enough, whichever key made it.
func TestBoxHeaders(t *testing.T) {
	good, wrong := b64MAC(body+rfc3339), b64MAC("other")
	with := func(pairs ...string) []string { return append(pairs, "Box-Delivery-Timestamp", rfc3339) }
	testHeaders(t, provider.Box(key), []headerCase{
		{"the primary", header(with("Box-Signature-Primary", good)...), accepted},
		{"the secondary", header(with("Box-Signature-Secondary", good)...), accepted},
		{"another primary", header(with("Box-Signature-Primary", wrong, "Box-Signature-Secondary", good)...), accepted},
		{"both wrong", header(with("Box-Signature-Primary", wrong, "Box-Signature-Secondary", wrong)...), forgedLate},
		{"none", header(with()...), malformedEarly},
		{"two primary", header(with("Box-Signature-Primary", good, "Box-Signature-Primary", good)...), malformedEarly},
		{"two secondary", header(with("Box-Signature-Primary", good, "Box-Signature-Secondary", wrong, "Box-Signature-Secondary", good)...), malformedEarly},
		{"a list", header(with("Box-Signature-Primary", wrong+","+good)...), malformedEarly},
		{"a malformed secondary", header(with("Box-Signature-Primary", good, "Box-Signature-Secondary", "!!")...), malformedEarly},
		{"no time", header("Box-Signature-Primary", good), malformedEarly},
	})
}

// A body may be signed as jsonStringifyWithEscapedUnicode of box-node-sdk escapes it.
func TestBoxEscapedBodies(t *testing.T) {
	for body, signed := range map[string]string{
		`{"name":"Zoë 😀.txt"}`:      `{"name":"Zo\u00eb \ud83d\ude00.txt"}`,
		`{"url":"a/b\/c"}`:          `{"url":"a\/b\/c"}`,
		"{\"name\":\"\x7f\uffff\"}": `{"name":"\u007f\uffff"}`,
		`{"name":"é"}`:              `{"name":"é"}`,
	} {
		h := header("Box-Delivery-Timestamp", rfc3339, "Box-Signature-Secondary", b64MAC(signed+rfc3339))
		d, err := provider.Box(key).Receive(&provider.Request{Method: "POST", Header: h, Body: []byte(body), Time: at})
		if err != nil || string(d.Events[0].Data) != body {
			t.Errorf("%s: got %+v and error %v, want the body as it was sent", body, d, err)
		}
	}
	h := header("Box-Delivery-Timestamp", rfc3339, "Box-Signature-Primary", b64MAC(`\/`+rfc3339))
	for _, body := range []string{"\xff/", "//", ""} {
		if _, err := provider.Box(key).Receive(&provider.Request{Method: "POST", Header: h, Body: []byte(body), Time: at}); !forged(err) {
			t.Errorf("%q: got error %v, want Forged", body, err)
		}
	}
}

// FuzzBoxEscaped escapes any body. JSON keeps its meaning.
func FuzzBoxEscaped(f *testing.F) {
	f.Add([]byte(`{"name":"Zoë 😀/a\/b\\/c"}`))
	f.Add([]byte("\xff\x7f"))
	f.Fuzz(func(t *testing.T, body []byte) {
		escaped := provider.BoxEscaped(body)
		var before, after any
		if json.Unmarshal(body, &before) != nil || !utf8.Valid(body) {
			return
		}
		if err := json.Unmarshal(escaped, &after); err != nil || !reflect.DeepEqual(before, after) {
			t.Errorf("%q: got %q, error %v, want the same JSON value", body, escaped, err)
		}
	})
}
