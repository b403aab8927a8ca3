package provider

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/steadfeed/steadfeed/decode"
)

// A Source is where a value of a delivery or of an event is found. At most one of its
// fields is set; a value that is not there is empty.
type Source struct {
	Header string   // of the request; or
	Path   []string // gjson paths in the payload, of which the first that leads to something counts; or
	Form   []string // fields of a form body, likewise; or
	Hash   bool     // the SHA-256 of the body, for a sender that gives no id and never means two things by one body

	joined bool           // the value is of all of Path, with a colon between them, if the first is there
	orHash bool           // Hash, if Path leads to nothing
	except *regexp.Regexp // what Hash passes over, for it is another one when a delivery is repeated; nil: nothing
}

// content is a payload, or a part of one, that was verified.
type content struct {
	data    []byte
	checked decode.Checked
	looked  bool // at whether it is valid
}

// field returns "" if the payload is not valid JSON, which is seen to once, when it is first
// asked for a field.
func (c *content) field(path string) string {
	if !c.looked {
		c.checked, c.looked = decode.Check(c.data), true
	}
	return c.checked.Field(path)
}

// in returns the value of a request with the given payload.
func (s *Source) in(r *Request, payload *content) string {
	switch {
	case s.Header != "":
		return first(r.Header, s.Header)
	case len(s.Form) > 0:
		return s.inForm(payload.data)
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

// isSet reports whether s leads anywhere.
func (s *Source) isSet() bool {
	return s.Header != "" || len(s.Path) > 0 || len(s.Form) > 0 || s.Hash || s.orHash
}

// same tells whether two sources are, so that one look is enough.
func (s *Source) same(t *Source) bool {
	return s.Header == t.Header && s.Hash == t.Hash && s.orHash == t.orHash && s.joined == t.joined && slices.Equal(s.Path, t.Path) && slices.Equal(s.Form, t.Form)
}

func (s *Source) hash(body []byte) string {
	if s.except != nil {
		body = s.except.ReplaceAll(body, nil)
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// hashBut is Hash without a number in JSON that is another one each time.
func hashBut(name string) Source {
	return Source{Hash: true, except: regexp.MustCompile(`"` + name + `"\s*:\s*[0-9]+`)}
}

func (s *Source) inForm(payload []byte) string {
	form, err := url.ParseQuery(string(payload))
	if err != nil {
		return ""
	}
	for _, name := range s.Form {
		if v := form.Get(name); v != "" {
			return v
		}
	}
	return ""
}
