package provider

import (
	"net/http"

	"github.com/steadfeed/steadfeed/decode"
)

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

// kind returns the type of the only event, or "" if there is not exactly one.
func (d *Delivery) kind() string {
	if len(d.Events) != 1 {
		return ""
	}
	return d.Events[0].Type
}

func slackChallenge(_ *Request, d *Delivery) *Answer {
	if d.kind() != "url_verification" {
		return nil
	}
	data := d.Events[0].Data
	d.Events = nil
	return plain(decode.Field("challenge")(data), "")
}

// discordAck returns a 204 with a Content-Type, which Discord requires.
// (https://docs.discord.com/developers/events/webhook-events)
func discordAck() *Answer {
	return &Answer{Status: http.StatusNoContent, Header: safeHeader("application/json")}
}

// discordChallenge answers pings and defers interactions. A webhook event has a member
// "event", an interaction does not.
func discordChallenge(r *Request, d *Delivery) *Answer {
	field := decode.Check(r.Body).Field
	if field("event") != "" {
		return nil
	}
	switch kind := field("type"); {
	case kind == "0": // PING of webhook events
		d.Events = nil
		return discordAck()
	case kind == "1": // PING of interactions
		d.Events = nil
		return jsonAnswer(`{"type":1}`)
	case field("token") == "":
		return nil
	case kind == "3": // MESSAGE_COMPONENT: leave the message unchanged
		return jsonAnswer(`{"type":6}`)
	case kind == "4": // APPLICATION_COMMAND_AUTOCOMPLETE: no suggestions
		return jsonAnswer(`{"type":8,"data":{"choices":[]}}`)
	}
	return jsonAnswer(`{"type":5}`)
}

func (p *Provider) zoomChallenge(r *Request, d *Delivery) *Answer {
	if d.kind() != "endpoint.url_validation" {
		return nil
	}
	d.Events = nil
	token, secret := decode.Field("payload.plainToken")(r.Body), p.secret(d.Key)
	if !harmless(token, base64Chars) || secret == "" {
		return &Answer{Status: http.StatusBadRequest}
	}
	return jsonAnswer(`{"plainToken":"` + token + `","encryptedToken":"` + Hex.encode(macOf(secret, token)) + `"}`)
}

// bitbucketGreeting answers the connection test, which is not signed.
func bitbucketGreeting(r *Request) (*Answer, bool) {
	if r.Header.Get("X-Event-Key") != "diagnostics:ping" || r.Header.Get("X-Hub-Signature") != "" {
		return nil, false
	}
	return &Answer{Status: http.StatusOK}, true
}
