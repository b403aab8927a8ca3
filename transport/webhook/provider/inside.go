package provider

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Some senders put the signature into the body, which is then parsed before it is verified.
// A duplicate name in such a body is refused: the verification reads one of the two fields,
// and the consumer's decoder may read the other.

// inner returns the signer of a text that is assembled from a body.
func inner(s Signature, secrets []secret) (*signer, error) {
	s.Header = "-"
	return s.signer(secrets)
}

// made returns the index of the secret that signed text, a text assembled from r.
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

// maxNesting is far above the nesting of any of these bodies.
const maxNesting = 64

// unambiguous refuses a JSON body if an object in it has two names that are equal or differ
// only in case: encoding/json does not distinguish them.
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
