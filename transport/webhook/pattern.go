package webhook

import (
	"go/token"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A pattern is a path of Receiver.Providers with wildcards.
type pattern struct {
	path     string // the key in Providers
	segments []string
}

// patternsOf returns the patterns in keys.
func patternsOf(keys []string) (list []pattern) {
	for _, path := range keys {
		if strings.Contains(path, "{") {
			list = append(list, pattern{path, strings.Split(path, "/")})
		}
	}
	return list
}

// wildcard returns the name in a segment such as {tenant}, "" if it is another.
func wildcard(segment string) string {
	name, ok := strings.CutPrefix(segment, "{")
	if name, closed := strings.CutSuffix(name, "}"); ok && closed && token.IsIdentifier(name) {
		return name
	}
	return ""
}

// problem returns what is wrong with p, or "".
func (p pattern) problem() string {
	var names []string
	for _, s := range p.segments {
		name := wildcard(s)
		switch {
		case name == "" && strings.ContainsAny(s, "{}"):
			return "a wildcard must be a whole segment, such as {tenant}"
		case name != "" && slices.Contains(names, name):
			return "has two wildcards of one name"
		case name != "":
			names = append(names, name)
		}
	}
	return ""
}

// overlaps reports whether a path can match both patterns.
func (p pattern) overlaps(q pattern) bool {
	return slices.EqualFunc(p.segments, q.segments, func(a, b string) bool {
		return a == b || wildcard(a) != "" || wildcard(b) != ""
	})
}

// match reports whether the path of r matches p, and sets the path values of r if it does. A
// wildcard matches one segment that is not empty.
func (p pattern) match(r *http.Request) bool {
	escaped := r.URL.EscapedPath()
	if strings.Count(escaped, "/") != len(p.segments)-1 {
		return false
	}
	values := strings.Split(escaped, "/")
	for i, s := range p.segments {
		plain, err := url.PathUnescape(values[i])
		if err != nil || wildcard(s) == "" && plain != s || plain == "" && s != "" {
			return false
		}
		values[i] = plain
	}
	for i, s := range p.segments {
		if name := wildcard(s); name != "" {
			r.SetPathValue(name, values[i])
		}
	}
	return true
}

// expand replaces the wildcards in a URL by the values in r.
func expand(rawURL string, r *http.Request) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(rawURL, "{")
		b.WriteString(before)
		name, after, closed := strings.Cut(rest, "}")
		if !found || !closed {
			return b.String()
		}
		b.WriteString(url.PathEscape(r.PathValue(name)))
		rawURL = after
	}
}
