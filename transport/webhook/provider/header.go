package provider

import (
	"net/http"
	"strings"
)

// Limits on one header. An HMAC signature costs one comparison, a public-key signature about a
// tenth of a millisecond.
const (
	maxSignatures = 16
	maxPublic     = 4
	maxEntries    = 32 // of a list, including those that are not signatures
)

// first is Header.Get, without canonicalizing a name that is found as it is.
func first(h http.Header, name string) string {
	if lines := h[name]; len(lines) > 0 {
		return lines[0]
	}
	return h.Get(name)
}

// one returns the value of a header that a verification depends on. The header must occur
// exactly once: of two lines, even equal ones, another program may read the other. name is in
// canonical form.
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

// entries parses a signature header into w's signatures, and returns the timestamp if the list
// has one. Entries with neither prefix are skipped, because senders extend their lists that
// way. A header without any signature is refused.
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
