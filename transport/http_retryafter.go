package transport

import (
	"math"
	"net/http"
	"strings"
	"time"
)

// RetryAfter returns how long the server asks to wait before the next attempt, counted from its
// response, or zero if it does not ask. The value is not limited: the caller limits it.
//
// The first of these that applies counts:
//
//   - Retry-After (RFC 9110, section 10.2.3), in seconds or as a date. A date is compared with the
//     response's own Date, so that the clocks need not agree, or without one with the local clock.
//   - RateLimit (draft-ietf-httpapi-ratelimit-headers), of the limits that are used up.
//   - A pair of Remaining and Reset with the prefix RateLimit- (older drafts), X-RateLimit- or
//     X-Rate-Limit- (X). A Reset that is nearer to the time of the response than to zero is a
//     UNIX time; any other is a number of seconds.
//
// Fractions, which Sentry and Shopify send, are rounded up to the next second. Unreadable
// values are ignored.
func (e *StatusError) RetryAfter() time.Duration {
	if d, ok := retryAfter(e.Header); ok {
		return d
	}
	if d, ok := rateLimit(e.Header); ok {
		return d
	}
	limited := e.Code == http.StatusTooManyRequests || e.Code == statusEnhanceYourCalm
	for _, prefix := range []string{"RateLimit-", "X-RateLimit-", "X-Rate-Limit-"} {
		if d, ok := rateReset(e.Header, prefix, limited); ok {
			return d
		}
	}
	return 0
}

func retryAfter(h http.Header) (time.Duration, bool) {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if n, ok := parseSeconds(v); ok {
		return seconds(n), true
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(t.Sub(sent(h)), 0), true
	}
	return 0, false
}

// rateLimit parses `RateLimit: "name";r=0;t=30`, a list. If several limits are used up, the
// longest wait counts.
func rateLimit(h http.Header) (longest time.Duration, ok bool) {
	for _, limit := range splitQuoted(strings.Join(h.Values("RateLimit"), ","), ',') {
		var left, wait int64 = -1, -1
		for _, param := range splitQuoted(limit, ';')[1:] {
			key, value, _ := strings.Cut(strings.TrimSpace(param), "=")
			n, isCount := parseSeconds(value)
			switch {
			case !isCount:
			case key == "r":
				left = n
			case key == "t":
				wait = n
			}
		}
		if left == 0 && wait >= 0 {
			longest, ok = max(longest, seconds(wait)), true
		}
	}
	return longest, ok
}

// rateReset parses a pair of headers, Remaining and Reset. Without Remaining, the status can
// mean that the limit is used up.
func rateReset(h http.Header, prefix string, limited bool) (time.Duration, bool) {
	left, known := parseSeconds(h.Get(prefix + "Remaining"))
	reset, ok := parseSeconds(h.Get(prefix + "Reset"))
	if !ok || known && left > 0 || !known && !limited {
		return 0, false
	}
	const year9999 = 253_402_300_799
	now := sent(h)
	if reset <= now.Unix()/2 {
		return seconds(reset), true
	}
	return max(time.Unix(min(reset, year9999), 0).Sub(now), 0), true
}

// sent returns when the response was created, by the server's clock if it has a Date.
func sent(h http.Header) time.Time {
	if t, err := http.ParseTime(h.Get("Date")); err == nil {
		return t
	}
	return time.Now()
}

// parseSeconds parses a decimal number, such as 1.5, and rounds it up.
func parseSeconds(s string) (n int64, ok bool) {
	whole, fraction, hasFraction := strings.Cut(strings.TrimSpace(s), ".")
	n, ok = parseCount(whole)
	if !hasFraction || !ok {
		return n, ok
	}
	if _, ok = parseCount(fraction); ok && strings.Trim(fraction, "0") != "" && n < math.MaxInt64 {
		n++
	}
	return n, ok
}

// parseCount parses ASCII digits. A number that is too large becomes the largest.
func parseCount(s string) (n int64, ok bool) {
	s = strings.TrimSpace(s)
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n > (math.MaxInt64-9)/10 {
			n = math.MaxInt64
			continue
		}
		n = n*10 + int64(c-'0')
	}
	return n, s != ""
}

func seconds(n int64) time.Duration {
	if n > math.MaxInt64/int64(time.Second) {
		return math.MaxInt64
	}
	return time.Duration(n) * time.Second
}

// splitQuoted splits s at each sep outside of quoted strings (RFC 9651, section 3.3.3).
func splitQuoted(s string, sep byte) (parts []string) {
	quoted, start := false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}
