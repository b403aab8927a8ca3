package provider

import (
	"net/http"

	"github.com/steadfeed/steadfeed/decode"
)

// maxToken is the length of a token that is sent back.
const maxToken = 512

// plain answers with a token that a request brought, if it can do no harm: it is short,
// of letters, digits and ._~- and the characters in more, and no browser takes the answer
// for a page.
func plain(token, more string) *Answer {
	if !harmless(token, more) {
		return &Answer{Status: http.StatusBadRequest}
	}
	return &Answer{Status: http.StatusOK, Header: safeHeader("text/plain; charset=utf-8"), Body: []byte(token)}
}

func safeHeader(contentType string) http.Header {
	return http.Header{
		"Content-Type":           {contentType},
		"X-Content-Type-Options": {"nosniff"},
	}
}

func jsonAnswer(body string) *Answer {
	return &Answer{Status: http.StatusOK, Header: safeHeader("application/json"), Body: []byte(body)}
}

func harmless(token, more string) bool {
	if token == "" || len(token) > maxToken {
		return false
	}
	for i := 0; i < len(token); i++ {
		c := token[i]
		switch {
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		case c == '.' || c == '_' || c == '~' || c == '-':
		default:
			if !contains(more, c) {
				return false
			}
		}
	}
	return true
}

func contains(s string, c byte) bool {
	for i := 0; i < len(s); i++ {
		if s[i] == c {
			return true
		}
	}
	return false
}

func slackChallenge(_ *Request, d *Delivery) *Answer {
	data := d.Events[0].Data
	if d.Events[0].Type != "url_verification" || decode.Field("type")(data) != "url_verification" {
		return nil
	}
	d.Events = nil
	return plain(decode.Field("challenge")(data), "")
}
