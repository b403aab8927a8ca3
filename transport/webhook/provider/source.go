package provider

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"github.com/steadfeed/steadfeed/decode"
)

// A Source describes where a value of a delivery or an event is found. At most one field is
// set. A missing value is the empty string.
type Source struct {
	Header   string   // a header of the request; or
	Wildcard string   // a wildcard of the path, see Request.PathValue; or
	Query    string   // a parameter of the URL; or
	Path     []string // gjson paths in the payload; the first with a value counts; or
	Form     []string // fields of a form, URL-encoded or multipart; the first with a value counts; or
	Hash     bool     // the SHA-256 of the body, for a sender without ids whose equal bodies are the same delivery

	joined bool           // the values of all of Path, joined with colons, if the first has one
	orHash bool           // Hash, if no Path has a value
	except *regexp.Regexp // what Hash omits, because it changes when a delivery is repeated; nil: nothing
}

func path(paths ...string) Source { return Source{Path: paths} }

// all joins the values of several paths with colons. Without the first one, it is empty.
func all(paths ...string) Source { return Source{Path: paths, joined: true} }

// hashBut is Hash without a JSON number that changes with each attempt.
func hashBut(name string) Source {
	return Source{Hash: true, except: regexp.MustCompile(`"` + name + `"\s*:\s*[0-9]+`)}
}

// isSet reports whether a field of s is set.
func (s *Source) isSet() bool {
	return s.places() > 0 || s.orHash
}

// places returns how many fields of s are set.
func (s *Source) places() (n int) {
	for _, set := range [...]bool{s.Header != "", s.Wildcard != "", s.Query != "", len(s.Path) > 0, len(s.Form) > 0, s.Hash} {
		if set {
			n++
		}
	}
	return n
}

// same reports whether s and t name the same value, so that one lookup is enough.
func (s *Source) same(t *Source) bool {
	return s.Header == t.Header && s.Wildcard == t.Wildcard && s.Query == t.Query && s.Hash == t.Hash && s.orHash == t.orHash && s.joined == t.joined && slices.Equal(s.Path, t.Path) && slices.Equal(s.Form, t.Form)
}

// value returns the value that s names in a request with the given payload.
func (s *Source) value(r *Request, payload *content) string {
	switch {
	case s.Header != "":
		return firstHeader(r.Header, s.Header)
	case s.Wildcard != "":
		return r.PathValue(s.Wildcard)
	case s.Query != "":
		return query(r).Get(s.Query)
	case len(s.Form) > 0:
		return s.inForm(r, payload.data)
	case s.Hash:
		return s.hash(r.Body)
	}
	if s.joined {
		return s.inAll(payload)
	}
	for _, path := range s.Path {
		if v := payload.field(path); v != "" {
			return v
		}
	}
	if s.orHash {
		return s.hash(r.Body)
	}
	return ""
}

func (s *Source) inAll(payload *content) string {
	values := make([]string, len(s.Path))
	for i, path := range s.Path {
		values[i] = payload.field(path)
	}
	if values[0] == "" {
		return ""
	}
	return strings.Join(values, ":")
}

func (s *Source) inForm(r *Request, form []byte) string {
	fields, ok := formFields(r, form, s.Form...)
	for i := 0; ok && i < len(fields); i++ {
		if fields[i].value != "" {
			return fields[i].value
		}
	}
	return ""
}

func (s *Source) hash(body []byte) string {
	if s.except != nil {
		body = s.except.ReplaceAll(body, nil)
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// content is a verified payload, or a part of one.
type content struct {
	data  []byte
	value func(path string) string // of data; nil: not validated
	early bool                     // JSON after the value is not validated
}

// field returns the value at path, or "" if the payload is not valid JSON. Only the first call
// validates it.
func (c *content) field(path string) string {
	if c.early && c.value == nil {
		if v, ok := earlyField(c.data, path); ok {
			return v
		}
	}
	if c.value == nil {
		c.value = decode.Fields(c.data)
	}
	return c.value(path)
}
