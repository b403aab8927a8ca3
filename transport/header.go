package transport

import (
	"net/http"
	"net/textproto"
)

// A Header holds the header fields of a request (RFC 9110, section 6.3). It is the
// receiver's own. Names are in canonical form, as [http.CanonicalHeaderKey] has it; fields
// of the same name are in the order in which they came, those of different names in any.
// It is a list and not a map, because most events are asked for one of their fields, or for
// none.
type Header []HeaderField

// A HeaderField is one field of a Header.
type HeaderField struct {
	Name, Value string
}

// Get returns the first value of a field, empty if there is none. The name may be written in
// any case.
func (h Header) Get(name string) string {
	name = textproto.CanonicalMIMEHeaderKey(name)
	for i := range h {
		if h[i].Name == name {
			return h[i].Value
		}
	}
	return ""
}

// Values returns all values of a field in a slice of their own, nil if there is none.
func (h Header) Values(name string) (values []string) {
	name = textproto.CanonicalMIMEHeaderKey(name)
	for i := range h {
		if h[i].Name == name {
			values = append(values, h[i].Value)
		}
	}
	return values
}

// HTTP returns the fields as a map of their own, for what asks for one.
func (h Header) HTTP() http.Header {
	m := make(http.Header, len(h))
	for _, f := range h {
		m[f.Name] = append(m[f.Name], f.Value)
	}
	return m
}
