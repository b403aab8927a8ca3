package provider

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"

	"github.com/steadfeed/steadfeed/decode"
)

// maxNesting is far above the nesting of any of these bodies.
const maxNesting = 64

// unambiguous refuses a JSON body if an object in it has two names that are equal or differ
// only in case, which encoding/json does not distinguish. Where the signature or token is
// inside the body, the verification reads one of the two fields, and the consumer's decoder
// may read the other.
func unambiguous(body []byte) error {
	d := json.NewDecoder(bytes.NewReader(withoutBOM(body)))
	d.UseNumber()
	var open []map[string]bool // names of the enclosing objects, innermost last; nil: an array
	named := true              // whether the next string is a value, not a name
	for {
		t, err := d.Token()
		if err != nil || len(open) > maxNesting {
			return malformed("the body is not valid JSON, or is nested too deeply")
		}
		switch {
		case t == json.Delim('{'):
			open = append(open, map[string]bool{})
		case t == json.Delim('['):
			open = append(open, nil)
		case t == json.Delim('}') || t == json.Delim(']'):
			open = open[:len(open)-1]
		case !named:
			names, name := open[len(open)-1], fold(t.(string))
			if names[name] {
				return malformed("an object in the body has a duplicate name")
			}
			names[name], named = true, true
			continue
		}
		if len(open) == 0 {
			return nil
		}
		named = open[len(open)-1] == nil
	}
}

// fold maps names that encoding/json does not distinguish to one text.
func fold(name string) string { return strings.ToLower(strings.ToUpper(name)) }

// object decodes a JSON object for Sign, which writes its fields back sorted by name.
func object(body []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(withoutBOM(body)))
	d.UseNumber()
	var o map[string]any
	if d.Decode(&o) != nil || o == nil {
		return nil, malformed("the body to sign is not a JSON object")
	}
	return o, nil
}

// withoutBOM returns data without a leading byte order mark (RFC 8259, section 8.1).
func withoutBOM(data []byte) []byte { return bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) }

// elements calls yield with each element of the array at path until yield returns false. ok is
// false if there is no array.
func elements(payload []byte, path string, yield func([]byte) bool) (ok bool) {
	payload = withoutBOM(payload)
	array := payload
	if path != "@this" {
		array = within(payload, decode.Field(payload, path))
	} else if decode.Field(payload, "#") == "" { // the number of elements
		return false
	}
	if array = bytes.TrimLeft(array, " \t\r\n"); len(array) == 0 || array[0] != '[' {
		return false
	}
	return each(decode.JSONArray, array, yield)
}

// within returns text as a subslice of payload, or a copy if payload does not contain it.
func within(payload []byte, text string) []byte {
	if i := bytes.Index(payload, []byte(text)); i >= 0 {
		return payload[i : i+len(text) : i+len(text)]
	}
	return []byte(text)
}

// each calls yield with the events of data, which is complete, until yield returns false. ok
// is false if data is malformed.
func each(f decode.Format, data []byte, yield func([]byte) bool) (ok bool) {
	s := f.NewSplitter(math.MaxInt)
	var frame decode.Frame
	for {
		frame = decode.Frame{}
		n, ok, err := s.Split(&frame, data, true)
		if err != nil {
			return false
		}
		if ok && frame.Kind == decode.KindData && !yield(frame.Data) {
			return true
		}
		if data = data[n:]; !ok && n == 0 {
			return len(data) == 0
		}
	}
}
