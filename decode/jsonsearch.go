package decode

import (
	"bytes"
	"strings"

	"github.com/tidwall/gjson"
)

// A search is for the first value at a path of names, while check looks at the whole payload. The
// zero search finds nothing.
type search struct {
	path    string
	name    string // to look for
	depth   int    // where: in an object that is at this depth; 0: the search is over
	found   int    // index of the value or of white space before it; 0: none
	escaped bool   // a name has an escape and may be the one
}

// newSearch returns a search for path. ok is false if it is not a path of plain names.
func newSearch(path string) (s search, ok bool) {
	s = search{path: path, depth: 1}
	s.name = s.nameAt(1)
	return s, isPlainPath(path)
}

// isPlainPath reports whether path consists of names with dots between them that have no other
// meaning for gjson: neither a pattern nor an index.
func isPlainPath(path string) bool {
	first := true
	for i := range len(path) {
		switch c := path[i]; {
		case c|0x20-'a' <= 'z'-'a', c == '_':
			first = false
		case (c-'0' <= 9 || c == '-') && !first:
		case c == '.' && !first:
			first = true
		default:
			return false
		}
	}
	return !first
}

// nameAt returns the name at a depth from 1.
func (s *search) nameAt(depth int) string {
	rest := s.path
	for ; depth > 1; depth-- {
		_, rest, _ = strings.Cut(rest, ".")
	}
	name, _, _ := strings.Cut(rest, ".")
	return name
}

// member is called with each member at s.depth, whose name starts at data[from] and whose value
// starts at data[to] or follows white space there.
func (s *search) member(data []byte, from, to int) {
	name := data[from:]
	name = name[:bytes.IndexByte(name, '"')]
	if string(name) != s.name {
		s.escaped = s.escaped || bytes.IndexByte(name, '\\') >= 0
		return
	}
	if s.depth == strings.Count(s.path, ".")+1 {
		s.found, s.depth = to, 0
		return
	}
	if i := spaceEnd(data, to); i < len(data) && data[i] == '{' {
		s.depth++
		s.name = s.nameAt(s.depth)
	}
}

// leave is called at the end of the object at s.depth. Another one with the same name may follow.
func (s *search) leave() {
	if s.depth > 1 {
		s.depth--
		s.name = s.nameAt(s.depth)
	}
}

// value returns the value found, after check has returned true.
func (s *search) value(data []byte) string {
	if s.escaped {
		return payload(data).field(s.path)
	}
	if s.found == 0 {
		return ""
	}
	data = data[spaceEnd(data, s.found):]
	switch kindOf[data[0]] {
	case quote:
		if end := textEnd(data, 1); data[end] == '"' {
			return string(data[1:end])
		}
	case scalar:
		if data[0] == 'n' {
			return ""
		}
		if end, ok := scalarEnd(data, 0); ok {
			return string(data[:end])
		}
	}
	var scan valueScanner
	end, _, _ := scan.next(data, 0)
	if data[0] == '"' {
		return gjson.ParseBytes(data[:end]).String() // it has an escape
	}
	return string(data[:end])
}
