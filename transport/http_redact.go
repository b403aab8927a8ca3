package transport

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxRemark  = 160 // bytes of a body in an error's text
	minSecret  = 4   // shorter values hide nothing, and would hide the words around them
	minBodyTag = 16  // bytes of a word in a request's body that may be a key
	minHead    = 16  // bytes of a truncated value that are hidden nevertheless
)

// remark returns the beginning of the body of a refusal for an error's text, as one line of
// printable text. Servers echo requests, so everything that is secret in the request, or is
// part of its path, query or position, is replaced by an ellipsis. It returns "" for HTML and
// binary data.
func (a *attempt) remark(resp *http.Response, body []byte) string {
	if isHTML(mediaType(resp.Header)) || slices.Contains(body, 0) {
		return ""
	}
	text := strings.ToValidUTF8(hide(string(body), a.secrets(resp.Request), len(body) == maxErrorBody), "")
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }), " ")
	if len(text) <= maxRemark {
		return text
	}
	cut := maxRemark
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// hide replaces the secrets in text. It also replaces their beginnings where they are
// truncated: by a server that shortens what it echoes, or, with cut, at the end of text.
func hide(text string, secrets []string, cut bool) string {
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, "…")
	}
	for _, s := range secrets {
		if len(s) > minHead {
			text = hideHead(text, s[:minHead], s[minHead:])
		}
	}
	for _, s := range secrets {
		for n := min(len(s), minHead) - 1; cut && n >= minSecret; n-- {
			text = strings.TrimSuffix(text, s[:n])
		}
	}
	return text
}

// hideHead replaces each head in text, with as much of tail as follows it, by an ellipsis.
func hideHead(text, head, tail string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, head)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("…")
		n := 0
		for n < min(len(after), len(tail)) && after[n] == tail[n] {
			n++
		}
		text = after[n:]
	}
}

// secrets returns what must not be shown of a request, in the forms in which a body may echo
// it, longest first.
func (a *attempt) secrets(req *http.Request) []string {
	plain := []string{a.token, req.URL.RawQuery, req.URL.Path, req.URL.EscapedPath(), req.URL.RequestURI()}
	for _, part := range strings.Split(req.URL.Path, "/") {
		if len(part) >= minBodyTag {
			plain = append(plain, part)
		}
	}
	for _, pair := range strings.Split(req.URL.RawQuery, "&") {
		_, value, _ := strings.Cut(pair, "=")
		decoded, _ := url.QueryUnescape(value)
		plain = append(plain, pair, value, decoded)
	}
	for name, values := range req.Header {
		if !isPublic(name) {
			plain = append(plain, credentials(values)...)
		}
	}
	if user, password, ok := req.BasicAuth(); ok {
		plain = append(plain, user, password)
	}
	name := ""
	for _, word := range strings.FieldsFunc(string(a.body), isDelimiter) {
		if len(word) >= minBodyTag || namesSecret(name) {
			plain = append(plain, word)
		}
		name = word
	}
	var all []string
	for _, s := range plain {
		quoted, _ := json.Marshal(s)
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s), html.EscapeString(s), strings.ReplaceAll(s, "/", `\/`), strings.Trim(string(quoted), `"`)} {
			if len(form) >= minSecret {
				all = append(all, form)
			}
		}
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(all)
}

// credentials returns the values of a header field, and the parts of each that may be a key:
// what follows a scheme, and what follows the name of a cookie or parameter.
func credentials(values []string) (all []string) {
	for _, v := range values {
		all = append(all, v)
		if _, rest, ok := strings.Cut(v, " "); ok {
			all = append(all, rest)
		}
		for _, part := range strings.FieldsFunc(v, func(r rune) bool { return strings.ContainsRune(";,", r) }) {
			if _, value, ok := strings.Cut(part, "="); ok {
				all = append(all, strings.Trim(value, ` "`))
			}
		}
	}
	return all
}

// namesSecret reports whether the value of a field with this name is likely a secret.
func namesSecret(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"pass", "pwd", "secret", "token", "key", "auth", "credential"}, func(part string) bool {
		return strings.Contains(name, part)
	})
}

func isDelimiter(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`"'{}[],:;&=<>`, r) }

// isPublic reports whether the values of a request header are not secret, so that an error may
// show a server's text that contains them.
func isPublic(name string) bool {
	switch name {
	case "Accept", "Accept-Encoding", "Accept-Language", "Cache-Control", "Connection", "Content-Encoding",
		"Content-Type", "Upgrade", "User-Agent", "Sec-Websocket-Version", "Sec-Websocket-Protocol", "Sec-Websocket-Extensions":
		return true
	}
	return false
}
