package decode

import (
	"bytes"
	"unicode/utf8"
)

// utf8Splitter is an sseSplitter that decodes UTF-8 as browsers do. It can do so frame by frame,
// because all bytes that the framing depends on are ASCII.
type utf8Splitter struct{ *sseSplitter }

func (s utf8Splitter) Split(f *Frame, buf []byte, atEOF bool) (n int, ok bool, err error) {
	n, ok, err = s.sseSplitter.Split(f, buf, atEOF)
	if ok {
		f.Data = toUTF8(f.Data)
		f.Type, f.ID = stringToUTF8(f.Type), stringToUTF8(f.ID)
	}
	return n, ok, err
}

func stringToUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string(toUTF8([]byte(s)))
}

// toUTF8 replaces invalid UTF-8 like the decoder of the Encoding standard
// (encoding.spec.whatwg.org): each longest prefix of an incomplete character, and each other invalid
// byte, becomes one U+FFFD.
func toUTF8(b []byte) []byte {
	if utf8.Valid(b) {
		return b
	}
	var out bytes.Buffer
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError {
			for n < len(b) && !utf8.FullRune(b[:n+1]) {
				n++
			}
		}
		out.WriteRune(r)
		b = b[n:]
	}
	return out.Bytes()[:out.Len():out.Len()]
}
