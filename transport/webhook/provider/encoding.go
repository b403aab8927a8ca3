package provider

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// Encoding is how bytes are written as text. The zero value is the default of each field.
type Encoding uint8

const (
	encodingText      Encoding = iota // the text itself
	EncodingHex                       // RFC 4648, section 8; either case, but not both in one text
	EncodingBase64                    // RFC 4648, section 4
	EncodingBase64URL                 // RFC 4648, section 5, with or without padding
)

// Maximum length of a signature in bytes: of an HMAC, of ECDSA over P-256 in DER, which has 72,
// and of RSA with 4096 bits.
const (
	maxSignature       = 128
	maxPublicSignature = maxSignatures * maxSignature / maxPublic
)

// decode writes the bytes of text to dst. Apart from letter case and the padding of
// EncodingBase64URL, exactly one text is accepted for each byte sequence: line ends, stray bits and
// mixed case are refused.
func (e Encoding) decode(dst []byte, text string) (n int, ok bool) {
	switch {
	case e == EncodingBase64URL:
		if len(text)%4 == 0 {
			text = strings.TrimSuffix(strings.TrimSuffix(text, "="), "=")
		}
		if base64.RawURLEncoding.DecodedLen(len(text)) > len(dst) || strings.ContainsAny(text, "\r\n") {
			return 0, false
		}
		n, err := strictBase64URL.Decode(dst, []byte(text))
		return n, err == nil
	case e == EncodingBase64:
		if base64.RawStdEncoding.DecodedLen(len(strings.TrimRight(text, "="))) > len(dst) || strings.ContainsAny(text, "\r\n") {
			return 0, false
		}
		n, err := strictBase64.Decode(dst, []byte(text))
		return n, err == nil
	case len(text) > 2*len(dst) || len(text)%2 > 0:
		return 0, false
	}
	some, all := byte(0), byte(digit)
	for i := 0; i < len(text); i += 2 {
		high, low := digits[text[i]], digits[text[i+1]]
		dst[i/2] = high<<4 | low&15
		some |= high | low
		all &= high & low
	}
	return len(text) / 2, all == digit && some&mixedCase != mixedCase
}

var (
	strictBase64    = base64.StdEncoding.Strict()
	strictBase64URL = base64.RawURLEncoding.Strict()
)

// digits holds the value and the letter case of each hexadecimal digit.
var digits = [256]byte{
	'0': digit, '1': digit | 1, '2': digit | 2, '3': digit | 3, '4': digit | 4,
	'5': digit | 5, '6': digit | 6, '7': digit | 7, '8': digit | 8, '9': digit | 9,
	'a': lower | 10, 'b': lower | 11, 'c': lower | 12, 'd': lower | 13, 'e': lower | 14, 'f': lower | 15,
	'A': upper | 10, 'B': upper | 11, 'C': upper | 12, 'D': upper | 13, 'E': upper | 14, 'F': upper | 15,
}

const (
	digit     = 0x80
	lower     = digit | 0x10
	upper     = digit | 0x20
	mixedCase = 0x30
)

func (e Encoding) encode(raw []byte) string {
	switch e {
	case EncodingBase64:
		return base64.StdEncoding.EncodeToString(raw)
	case EncodingBase64URL:
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	return hex.EncodeToString(raw)
}

var (
	errHex    = errors.New("is not valid hex, which the scheme requires")
	errBase64 = errors.New("is not valid Base64, which the scheme requires")
)

// key returns the bytes of a secret. Base64 may lack its padding, which is easily lost when a
// secret is copied. The errors of key do not quote the secret.
func (e Encoding) key(text string) ([]byte, error) {
	switch e {
	case encodingText:
		return []byte(text), nil
	case EncodingHex:
		raw, err := hex.DecodeString(text)
		if err != nil {
			return nil, errHex
		}
		return raw, nil
	}
	encoding := base64.RawStdEncoding
	if e == EncodingBase64URL {
		encoding = base64.RawURLEncoding
	}
	raw, err := encoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, errBase64
	}
	return raw, nil
}
