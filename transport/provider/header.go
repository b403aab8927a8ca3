package provider

import (
	"net/http"
	"strings"
)

// What one header can ask for. A signature costs a comparison, unless it is one of a public
// key: then, a tenth of a millisecond.
const (
	maxSignatures = 16
	maxPublic     = 4
	maxEntries    = 32 // with what else there is in a list
)

// first is Header.Get, without the search for the canonical form of what is in it already.
func first(h http.Header, name string) string {
	if lines := h[name]; len(lines) > 0 {
		return lines[0]
	}
	return h.Get(name)
}

// one returns the value of a header that decides about a request. It must be there, and
// on one line: of two lines, even if they say the same, another program may take the other.
// name is in canonical form.
func one(h http.Header, name string) (string, error) {
	lines := h[name]
	if len(lines) > 1 {
		return "", malformed("header %s occurs more than once", name)
	}
	if len(lines) == 0 || lines[0] == "" {
		return "", malformed("header %s is missing or empty", name)
	}
	return lines[0], nil
}

// entries cuts the line of a signature header into w's signatures, and the timestamp if
// it is among them. What begins with neither prefix is passed over in a list, for that is
// how senders add to it, and refused if it is all there is.
func (s *signer) entries(line string, w *work) (stamp string, err error) {
	w.n = 0
	for n := 0; ; n++ {
		entry, rest, more := line, "", false
		if s.Separator != "" {
			entry, rest, more = strings.Cut(line, s.Separator)
		}
		if at, ok := s.cutStamp(entry); ok {
			if stamp != "" || at == "" {
				return "", malformed("%s has an empty timestamp or more than one", s.Header)
			}
			stamp = at
		} else if text, ok := strings.CutPrefix(entry, s.Prefix); ok {
			if !s.add(w, text) {
				return "", malformed("%s is malformed", s.Header)
			}
		}
		if !more {
			break
		}
		if n == maxEntries {
			return "", malformed("%s has too many entries", s.Header)
		}
		line = rest
	}
	if w.n == 0 {
		if s.Prefix != "" {
			return "", malformed("no signature with the prefix %q in %s", s.Prefix, s.Header)
		}
		return "", malformed("no signature in %s", s.Header)
	}
	return stamp, nil
}

func (s *signer) cutStamp(entry string) (string, bool) {
	if s.Timestamp.Prefix == "" {
		return "", false
	}
	return strings.CutPrefix(entry, s.Timestamp.Prefix)
}
