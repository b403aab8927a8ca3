package provider

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// Encoding is how bytes are written as text.
type Encoding uint8

const (
	Text   Encoding = iota // the bytes are the text itself
	Hex                    // RFC 4648, section 8; either case, but not both in one text
	Base64                 // RFC 4648, section 4
)

// maxSignature is the most bytes that a signature may have; ECDSA over P-256 in DER has 72.
const maxSignature = 128

// decode writes the bytes of text to dst. There is exactly one text for each sequence of
// bytes, letter case aside: line ends, stray bits and mixed case are refused.
func (e Encoding) decode(dst []byte, text string) (n int, ok bool) {
	switch {
	case e == Base64:
		if base64.StdEncoding.DecodedLen(len(text)) > len(dst) || strings.ContainsAny(text, "\r\n") {
			return 0, false
		}
		n, err := base64.StdEncoding.Strict().Decode(dst, []byte(text))
		return n, err == nil
	case len(text) > 2*len(dst) || mixedCase(text):
		return 0, false
	}
	n, err := hex.Decode(dst, []byte(text))
	return n, err == nil
}

func mixedCase(s string) bool {
	var lower, upper bool
	for i := 0; i < len(s); i++ {
		lower = lower || s[i] >= 'a'
		upper = upper || s[i] >= 'A' && s[i] < 'a'
	}
	return lower && upper
}

func (e Encoding) encode(raw []byte) string {
	if e == Base64 {
		return base64.StdEncoding.EncodeToString(raw)
	}
	return hex.EncodeToString(raw)
}

var errEncoding = errors.New("is not in the encoding that the scheme asks for")

// key returns the bytes of a secret. Padding of Base64 is often lost on the way from a
// sender's page into a configuration.
func (e Encoding) key(text string) ([]byte, error) {
	var raw []byte
	var err error
	switch e {
	case Text:
		return []byte(text), nil
	case Hex:
		raw, err = hex.DecodeString(text)
	default:
		raw, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	}
	if err != nil {
		return nil, errEncoding // err would quote the secret
	}
	return raw, nil
}
