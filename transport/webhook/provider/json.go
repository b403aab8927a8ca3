package provider

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
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
	if array = skipSpace(array); len(array) == 0 || array[0] != '[' {
		return false
	}
	return each(decode.JSONArray, array, yield)
}

// earlyField returns the string in a member of a JSON object. It reads the object only up to there, and
// does not validate the values that it skips. ok is false for anything else, such as a path.
func earlyField(object []byte, name string) (value string, ok bool) {
	object = bytes.Trim(object, jsonSpace)
	if last := len(object) - 1; last < 1 || object[0] != '{' || object[last] != '}' || !isName(name) {
		return "", false // not an object, or not all of it
	}
	for rest, more := object[1:], true; more; rest, more = bytes.CutPrefix(skipSpace(rest), []byte(",")) {
		var key, text []byte
		if key, rest, ok = cutString(skipSpace(rest)); !ok {
			return "", false
		}
		if rest, ok = bytes.CutPrefix(skipSpace(rest), []byte(":")); !ok {
			return "", false
		}
		rest = skipSpace(rest)
		if string(key) == name {
			text, _, ok = cutString(rest)
			return string(text), ok
		}
		end := valueEnd(rest)
		if end <= 0 {
			return "", false
		}
		rest = rest[end:]
	}
	return "", false
}

// isName reports whether path is only the name of a member.
func isName(path string) bool {
	return harmless(path, "") && !strings.ContainsAny(path, ".~")
}

const jsonSpace = " \t\r\n"

func skipSpace(data []byte) []byte { return bytes.TrimLeft(data, jsonSpace) }

// cutString returns the text of the JSON string at the start of data, and what follows. ok is false
// if there is none, or if its text is not plain.
func cutString(data []byte) (text, rest []byte, ok bool) {
	end := stringEnd(data)
	if end < 0 {
		return nil, nil, false
	}
	text = data[1 : end-1]
	return text, data[end:], !slices.ContainsFunc(text, func(c byte) bool { return c < ' ' || c == '\\' })
}

// stringEnd returns the length of the JSON string at the start of data, -1 if there is none.
func stringEnd(data []byte) int {
	if len(data) == 0 || data[0] != '"' {
		return -1
	}
	for end := 1; ; {
		n := bytes.IndexByte(data[end:], '"')
		if n < 0 {
			return -1
		}
		end += n + 1
		if text := data[1 : end-1]; (len(text)-len(bytes.TrimRight(text, `\`)))%2 == 0 {
			return end // the quotation mark is not escaped
		}
	}
}

// valueEnd returns the length of the JSON value at the start of data, which it does not validate. It
// returns -1 if the value has no end.
func valueEnd(data []byte) int {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch c := data[i]; c {
		case '"':
			n := stringEnd(data[i:])
			if n < 0 || depth == 0 {
				return n
			}
			i += n - 1
		case '{', '[':
			depth++
		case ',', '}', ']':
			if depth == 0 {
				return i
			}
			if c != ',' {
				depth--
			}
			if depth == 0 {
				return i + 1
			}
		}
	}
	return -1
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
