package provider

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Some senders put the signature into the body, which then is parsed before it is known
// to be theirs. A name that occurs twice there is refused: of two, the verification takes
// one, and the consumer's decoder may take the other.

// inner is the Signature of a text that is put together from a body.
func inner(s Signature, secrets []secret) (*signer, error) {
	s.Header = "-"
	return s.signer(secrets)
}

// made returns the place of the secret that has signed text, which is of r.
func (s *signer) made(r *Request, text, signature string) (int, error) {
	w := s.works.Get().(*work)
	defer s.put(w)
	w.n = 0
	if !s.add(w, signature) {
		return -1, malformed("the signature is malformed")
	}
	w.body = []byte(text)
	i, err := s.match(w, r)
	if err != nil {
		return -1, err
	}
	return s.at[i], nil
}

// make signs text with the first key.
func (s *signer) make(text string) (string, error) {
	w := s.works.Get().(*work)
	defer s.put(w)
	w.body = []byte(text)
	raw, err := s.keys[0].sign(w, &s.template)
	return s.Encoding.encode(raw), err
}

// maxNesting is far more than any of these senders needs.
const maxNesting = 64

// unambiguous refuses a body, which is one JSON value, if an object in it names something
// twice, in whatever case: encoding/json takes one for the other.
func unambiguous(body []byte) error {
	d := json.NewDecoder(bytes.NewReader(withoutBOM(body)))
	d.UseNumber()
	var open []map[string]bool // names of the objects around, innermost last; nil is an array
	named := true              // a value is next, and not a name
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

// fold makes names alike that encoding/json takes for each other.
func fold(name string) string { return strings.ToLower(strings.ToUpper(name)) }

// object decodes a JSON object for Sign, whose fields are written back in order of name.
func object(body []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(withoutBOM(body)))
	d.UseNumber()
	var o map[string]any
	if d.Decode(&o) != nil || o == nil {
		return nil, malformed("the body to sign is not a JSON object")
	}
	return o, nil
}
