package provider

import "net/http"

// An Answer is a response. Its body is constant or built from verified values, except that a
// handshake may echo a token, which is checked.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Answers are the responses to a sender, one for each outcome. The zero value of each means
// its default.
type Answers struct {
	Accepted  Answer // settled, or queued. Default: 204.
	Queued    Answer // queued and not yet settled. Default: Accepted.
	Duplicate Answer // settled before. Default: the answer to a new delivery.
	Late      Answer // not settled within Deadline. Default: 503 with Retry-After.
	Busy      Answer // no space, draining, not subscribed, not verified in time, or refused by the consumer. Default: 503 with Retry-After.
	Forged    Answer // the signature or token does not match. Default: 401.
	Unknown   Answer // the tenant is unknown. Default: Forged, so that an answer does not reveal which tenants exist.
	Malformed Answer // a header or the body is malformed. Default: 400.
}

// answer200 is for senders whose documentation asks for 200, not for any 2xx.
func answer200() Answers { return Answers{Accepted: Answer{Status: http.StatusOK}} }

// unavailable is the answer to a delivery that cannot be verified, for a sender that drops it after
// 401 or 400: a rotation of the secret may be in progress.
func unavailable() Answer { return Answer{Status: http.StatusServiceUnavailable} }

// maxToken is the maximum length of a token that an answer echoes.
const maxToken = 512

// base64Chars are the characters of Base64 other than letters and digits.
const base64Chars = "+/="

// plain echoes a token from a request as text/plain, which no browser renders as a page, or
// answers 400 if the token is not harmless.
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

// harmless reports whether token has 1 to maxToken characters, each a letter, a digit, one of
// ._~- or one of more.
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
