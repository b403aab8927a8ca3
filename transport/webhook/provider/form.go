package provider

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"strings"
)

const (
	multipartType = "multipart/form-data"
	maxParts      = 1000     // of a multipart form
	maxFormValue  = 64 << 10 // of a field in a multipart form, in bytes
)

// A formField is a field of a form, with its first value and the number of its values.
type formField struct {
	name, value string
	n           int
}

// formFields finds fields in a form, which is multipart if the header of r says so. It builds
// no table of all fields: the form may be unverified. ok is false if the form is malformed.
func formFields(r *Request, form []byte, names ...string) (fields []formField, ok bool) {
	fields = make([]formField, len(names))
	for i, name := range names {
		fields[i].name = name
	}
	if media := firstHeader(r.Header, "Content-Type"); !r.isQuery() && isMultipart(media) {
		return fields, multipartFields(media, form, fields)
	}
	return fields, urlencodedFields(string(form), fields)
}

// isForm reports whether the body of r is a form.
func isForm(r *Request) bool {
	return mediaType(r) == formType || isMultipart(firstHeader(r.Header, "Content-Type"))
}

func isMultipart(media string) bool {
	_, ok := cutFold(strings.TrimLeft(media, " \t"), multipartType)
	return ok
}

func urlencodedFields(form string, fields []formField) (ok bool) {
	for form != "" {
		var pair string
		pair, form, _ = strings.Cut(form, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil || strings.Contains(pair, ";") {
			return false
		}
		f := fieldOf(fields, name)
		if f == nil {
			continue
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return false
		}
		f.add(value)
	}
	return true
}

func multipartFields(media string, form []byte, fields []formField) (ok bool) {
	_, params, err := mime.ParseMediaType(media)
	if err != nil || params["boundary"] == "" {
		return false
	}
	parts := multipart.NewReader(bytes.NewReader(form), params["boundary"])
	for range maxParts {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return true
		}
		if err != nil {
			return false
		}
		f := fieldOf(fields, part.FormName())
		if f == nil || part.FileName() != "" {
			continue
		}
		value, err := io.ReadAll(io.LimitReader(part, maxFormValue+1))
		if err != nil || len(value) > maxFormValue {
			return false
		}
		f.add(string(value))
	}
	return false
}

func fieldOf(fields []formField, name string) *formField {
	for i := range fields {
		if fields[i].name == name {
			return &fields[i]
		}
	}
	return nil
}

func (f *formField) add(value string) {
	if f.n++; f.n == 1 {
		f.value = value
	}
}

// singleField returns the value of a field on which a verification depends. The field must occur
// exactly once: of two, another program may read the other.
func singleField(r *Request, form []byte, name string) (string, error) {
	fields, ok := formFields(r, form, name)
	switch f := fields[0]; {
	case !ok:
		return "", malformed("the form is malformed")
	case f.n > 1:
		return "", malformed("the field %s occurs more than once", name)
	case f.value == "":
		return "", malformed("the field %s is missing or empty", name)
	}
	return fields[0].value, nil
}

// signForm adds fields to a URL-encoded form.
func signForm(r *Request, fields ...formField) error {
	form, err := url.ParseQuery(string(r.Body))
	if err != nil || isMultipart(firstHeader(r.Header, "Content-Type")) {
		return malformed("the body to sign is not a URL-encoded form")
	}
	for _, f := range fields {
		form.Set(f.name, f.value)
	}
	r.Header.Set("Content-Type", formType)
	r.Body = []byte(form.Encode())
	return nil
}
