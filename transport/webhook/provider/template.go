package provider

import (
	"errors"
	"fmt"
	"strings"
)

// message holds the values that a signature may cover.
type message struct {
	id, stamp, method, url string
	body                   []byte
}

// template is the order in which the parts of a message are signed, before and after the body.
type template struct{ before, after []part }

// part is a literal text or the name of a field.
type part struct{ text, field string }

func parseTemplate(s string) (t template, err error) {
	parts := &t.before
	bodies := 0
	for s != "" {
		text, rest, found := strings.Cut(s, "{")
		if text != "" {
			*parts = append(*parts, part{text: text})
		}
		if !found {
			break
		}
		name, rest, closed := strings.Cut(rest, "}")
		switch {
		case !closed:
			return t, errors.New("Signature.Signed has an unclosed brace")
		case name == "body":
			parts = &t.after
			bodies++
		case name == "id" || name == "ts" || name == "method" || name == "url":
			*parts = append(*parts, part{field: name})
		default:
			return t, fmt.Errorf("Signature.Signed has the unknown field {%s}", name)
		}
		s = rest
	}
	if bodies != 1 {
		return t, errors.New("Signature.Signed needs {body} exactly once")
	}
	return t, nil
}

// covers reports whether a field is signed.
func (t *template) covers(field string) bool {
	for _, parts := range [][]part{t.before, t.after} {
		for _, p := range parts {
			if p.field == field {
				return true
			}
		}
	}
	return false
}

// ambiguous reports whether id contains the text that follows it in the template: "a" then
// ".b", and "a." then "b", would have the same signature.
func (t *template) ambiguous(id string) bool {
	for _, parts := range [][]part{t.before, t.after} {
		for i, p := range parts {
			if p.field == "id" && i+1 < len(parts) && parts[i+1].text != "" {
				return strings.Contains(id, parts[i+1].text)
			}
		}
	}
	return false
}

func (m *message) append(buf []byte, parts []part) []byte {
	for _, p := range parts {
		switch p.field {
		case "id":
			buf = append(buf, m.id...)
		case "ts":
			buf = append(buf, m.stamp...)
		case "method":
			buf = append(buf, m.method...)
		case "url":
			buf = append(buf, m.url...)
		default:
			buf = append(buf, p.text...)
		}
	}
	return buf
}
