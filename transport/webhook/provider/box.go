package provider

import (
	"fmt"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Box returns the Provider for Box's webhooks of version 2. The secrets are the primary and the
// secondary signature key, in any order. Each attempt has a new time, a new signature and another
// Box-Delivery-Id; the id in the body remains.
// (https://developer.box.com/guides/webhooks/v2/signatures-v2/)
func Box(secrets ...string) *Provider {
	p := &Provider{
		Name: "box", Deadline: 27 * time.Second,
		Scheme: boxSignature{Signature{
			Header: "Box-Signature-Primary", More: []string{"Box-Signature-Secondary"}, Encoding: EncodingBase64,
			Timestamp: Timestamp{Header: "Box-Delivery-Timestamp", Layout: time.RFC3339, Tolerance: 10 * time.Minute},
			Signed:    "{body}{ts}",
		}},
		ID:      path("id"),
		Payload: Payload{ID: path("id"), Type: path("trigger")},
	}
	return p.with(secrets)
}

// boxSignature is the scheme of Box. A body may be signed as it is, or as its library escapes it
// (box-node-sdk, jsonStringifyWithEscapedUnicode).
type boxSignature struct{ Signature }

type boxVerifier struct{ verifier }

func (s boxSignature) newVerifier(secrets []secret) (verifier, error) {
	v, err := s.Signature.newVerifier(secrets)
	return boxVerifier{v}, err
}

func (v boxVerifier) verify(r *Request) (match, error) {
	m, err := v.verifier.verify(r)
	if !isForged(err) {
		return m, err
	}
	escaped := *r
	if escaped.Body = boxEscaped(r.Body); len(escaped.Body) == len(r.Body) {
		return m, err
	}
	return v.verifier.verify(&escaped)
}

// boxEscaped escapes each character beyond ASCII with the hex of its UTF-16 code units, and each
// slash.
func boxEscaped(body []byte) []byte {
	if !utf8.Valid(body) {
		return body
	}
	var b []byte
	var before rune
	for _, c := range string(body) {
		switch {
		case c >= '\x7f':
			for _, unit := range utf16.AppendRune(nil, c) {
				b = fmt.Appendf(b, `\u%04x`, unit)
			}
		case c == '/' && before != '\\':
			b = append(b, `\/`...)
		default:
			b = append(b, byte(c))
		}
		before = c
	}
	return b
}
