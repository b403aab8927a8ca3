// Package link parses the header field Link (RFC 8288).
package link

import (
	"slices"
	"strings"
)

// Target returns the target of the first link with a relation, in lower case, or "". lines are the
// values of the header field.
func Target(lines []string, relation string) string {
	for _, line := range lines {
		for {
			var target, params string
			var ok bool
			if _, line, ok = strings.Cut(line, "<"); !ok {
				break
			}
			if target, line, ok = strings.Cut(line, ">"); !ok {
				break
			}
			params, line = cut(line, ',')
			if has(params, relation) {
				return target
			}
		}
	}
	return ""
}

// cut returns s up to the first separator outside quotes, and the rest after it.
func cut(s string, separator byte) (before, after string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == separator && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// has reports whether a relation is one of those of a link.
func has(params, relation string) bool {
	for param := ""; params != ""; {
		param, params = cut(params, ';')
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(name), "rel") {
			relations := strings.Fields(strings.Trim(strings.TrimSpace(value), `"`))
			return slices.ContainsFunc(relations, func(r string) bool { return strings.EqualFold(r, relation) })
		}
	}
	return false
}
