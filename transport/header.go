package transport

import (
	"net/http"
	"net/textproto"
)

// A Header is the list of a request's header fields (RFC 9110, section 6.3). The receiver owns
// it. Names are in the canonical form of [http.CanonicalHeaderKey]. Fields of the same name are
// in the order of arrival; those of different names are in any order. It is a list and not a
// map because most consumers read one field of an event or none.
type Header []HeaderField

// A HeaderField is one field of a Header.
type HeaderField struct {
	Name, Value string
}

// Get returns the first value of a field, or "" if there is none. name may be in any case.
func (h Header) Get(name string) string {
	name = textproto.CanonicalMIMEHeaderKey(name)
	for i := range h {
		if h[i].Name == name {
			return h[i].Value
		}
	}
	return ""
}

// Values returns all values of a field in a new slice, or nil if there is none.
func (h Header) Values(name string) (values []string) {
	name = textproto.CanonicalMIMEHeaderKey(name)
	for i := range h {
		if h[i].Name == name {
			values = append(values, h[i].Value)
		}
	}
	return values
}

// HTTP returns the fields as a new http.Header.
func (h Header) HTTP() http.Header {
	m := make(http.Header, len(h))
	for _, f := range h {
		m[f.Name] = append(m[f.Name], f.Value)
	}
	return m
}
