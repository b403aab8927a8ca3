package transport_test

import (
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/transport"
)

func TestRetryAfter(t *testing.T) {
	// The server's clock differs from the local one, which begins at 2000-01-01 00:00:00 UTC in a
	// bubble.
	const date = "Fri, 31 Dec 1999 22:30:00 GMT"
	tests := []struct {
		name   string
		code   int
		header map[string]string
		want   time.Duration
	}{
		{"none", 503, nil, 0},
		{"seconds", 503, map[string]string{"Retry-After": "120"}, 2 * time.Minute},
		{"zero", 503, map[string]string{"Retry-After": "0"}, 0},
		{"spaces", 503, map[string]string{"Retry-After": " 7 "}, 7 * time.Second},
		{"negative", 503, map[string]string{"Retry-After": "-1"}, 0},
		{"signed", 503, map[string]string{"Retry-After": "+1"}, 0},
		{"garbage", 503, map[string]string{"Retry-After": "soon"}, 0},
		{"empty", 503, map[string]string{"Retry-After": ""}, 0},
		{"fraction", 503, map[string]string{"Retry-After": "1.5"}, 2 * time.Second},
		{"small fraction", 503, map[string]string{"Retry-After": "0.001"}, time.Second},
		{"Shopify", 429, map[string]string{"Retry-After": "2.0"}, 2 * time.Second}, // https://shopify.dev/docs/api/usage/rate-limits
		{"half a fraction", 503, map[string]string{"Retry-After": "1."}, 0},
		{"two points", 503, map[string]string{"Retry-After": "1.5.2"}, 0},
		{"signed fraction", 503, map[string]string{"Retry-After": "1.-5"}, 0},
		{"huge fraction", 503, map[string]string{"Retry-After": "9223372036854775807.5"}, math.MaxInt64},
		{"403", 403, map[string]string{"Retry-After": "60"}, time.Minute},
		{"403, used up", 403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1704067260", "Date": "Mon, 01 Jan 2024 00:00:00 GMT"}, time.Minute}, // GitHub
		{"403, some left", 403, map[string]string{"X-RateLimit-Remaining": "12", "X-RateLimit-Reset": "1704067260", "Date": "Mon, 01 Jan 2024 00:00:00 GMT"}, 0},
		{"huge", 503, map[string]string{"Retry-After": "9999999999999999999999"}, math.MaxInt64},
		{"just too large", 503, map[string]string{"Retry-After": "9223372037"}, math.MaxInt64},
		{"largest", 503, map[string]string{"Retry-After": "9223372036"}, 9223372036 * time.Second},

		{"IMF date", 503, map[string]string{"Date": date, "Retry-After": "Fri, 31 Dec 1999 22:31:30 GMT"}, 90 * time.Second},
		{"RFC 850 date", 503, map[string]string{"Date": date, "Retry-After": "Friday, 31-Dec-99 22:31:30 GMT"}, 90 * time.Second},
		{"asctime date", 503, map[string]string{"Date": date, "Retry-After": "Fri Dec 31 22:31:30 1999"}, 90 * time.Second},
		{"date in the past", 503, map[string]string{"Date": date, "Retry-After": "Fri, 31 Dec 1999 22:00:00 GMT"}, 0},
		{"date, local clock", 503, map[string]string{"Retry-After": "Sat, 01 Jan 2000 00:00:45 GMT"}, 45 * time.Second},
		{"date, Date unreadable", 503, map[string]string{"Date": "today", "Retry-After": "Sat, 01 Jan 2000 00:00:45 GMT"}, 45 * time.Second},
		{"past, local clock", 503, map[string]string{"Retry-After": "Fri, 31 Dec 1999 23:59:00 GMT"}, 0},

		{"limit used up", 429, map[string]string{"RateLimit": `"burst";r=0;t=30`}, 30 * time.Second},
		{"limit not used up", 429, map[string]string{"RateLimit": `"burst";r=5;t=30`}, 0},
		{"limit with a fraction", 429, map[string]string{"RateLimit": `"burst";r=0;t=0.2`}, time.Second},
		{"limit with partition", 429, map[string]string{"RateLimit": `"a;b,c";pk=:c29tZQ==:;r=0; t=12`}, 12 * time.Second},
		{"longest of several", 429, map[string]string{"RateLimit": `"s";r=0;t=1, "d";r=0;t=50, "m";r=9;t=900`}, 50 * time.Second},
		{"limit negative", 429, map[string]string{"RateLimit": `"burst";r=0;t=-30`}, 0},
		{"limit without time", 429, map[string]string{"RateLimit": `"burst";r=0`}, 0},
		{"limit garbage", 429, map[string]string{"RateLimit": `"burst;r=0;t=30`}, 0},
		{"limit huge", 429, map[string]string{"RateLimit": `"b";r=0;t=99999999999999999999`}, math.MaxInt64},
		{"Retry-After wins", 429, map[string]string{"Retry-After": "5", "RateLimit": `"b";r=0;t=30`, "X-RateLimit-Reset": "60"}, 5 * time.Second},
		{"Retry-After 0 wins", 429, map[string]string{"Retry-After": "0", "RateLimit": `"b";r=0;t=30`}, 0},
		{"unreadable Retry-After does not", 429, map[string]string{"Retry-After": "x", "RateLimit": `"b";r=0;t=30`}, 30 * time.Second},

		{"older draft", 429, map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": "40"}, 40 * time.Second},
		{"GitLab, a time", 429, map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": "1704067260", "Date": "Mon, 01 Jan 2024 00:00:00 GMT"}, time.Minute}, // https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/
		{"a time in a bubble", 429, map[string]string{"X-RateLimit-Reset": "946684845"}, 45 * time.Second},
		{"a time in a bubble, past", 429, map[string]string{"X-RateLimit-Reset": "946684795"}, 0},
		{"a time with a fraction", 429, map[string]string{"X-RateLimit-Reset": "1470173023.123", "Date": "Tue, 02 Aug 2016 21:23:00 GMT"}, 44 * time.Second}, // Discord
		{"older draft, some left", 429, map[string]string{"RateLimit-Remaining": "1", "RateLimit-Reset": "40"}, 0},
		{"vendor, seconds", 429, map[string]string{"X-RateLimit-Reset": "40"}, 40 * time.Second},
		{"vendor, many seconds", 429, map[string]string{"X-RateLimit-Reset": "99999999"}, 99999999 * time.Second},
		{"vendor, first epoch, past", 429, map[string]string{"X-RateLimit-Reset": "1000000000", "Date": "Mon, 01 Jan 2024 00:00:00 GMT"}, 0},
		{"vendor, epoch", 429, map[string]string{"X-RateLimit-Reset": "1704067260", "Date": "Mon, 01 Jan 2024 00:00:00 GMT"}, time.Minute},
		{"X spelling", 429, map[string]string{"x-rate-limit-remaining": "0", "x-rate-limit-reset": "1704067260", "Date": "Mon, 01 Jan 2024 00:00:00 GMT"}, time.Minute},
		{"vendor, 420", 420, map[string]string{"X-RateLimit-Reset": "40"}, 40 * time.Second},
		{"vendor, not limited", 503, map[string]string{"X-RateLimit-Reset": "40"}, 0},
		{"vendor, used up", 503, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "40"}, 40 * time.Second},
		{"vendor, some left", 429, map[string]string{"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": "40"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &transport.StatusError{Code: tt.code, Header: http.Header{}}
				for k, v := range tt.header {
					e.Header.Set(k, v)
				}
				if got := e.RetryAfter(); got != tt.want {
					t.Errorf("RetryAfter() = %v, want %v", got, tt.want)
				}
			})
		})
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120", `"burst";r=0;t=30`, "1704067260", "Fri, 31 Dec 1999 22:30:00 GMT")
	f.Add("Fri, 31 Dec 1999 22:31:30 GMT", `"a\"";r=0;t=1,`, "-1", "")
	f.Add("", `;;=,"`, "9223372036854775808", "x")
	f.Fuzz(func(t *testing.T, after, limit, reset, date string) {
		e := &transport.StatusError{Code: 429, Header: http.Header{
			"Retry-After": {after}, "Ratelimit": {limit}, "X-Ratelimit-Reset": {reset}, "Date": {date},
		}}
		if d := e.RetryAfter(); d < 0 {
			t.Errorf("RetryAfter() = %v, want no negative delay", d)
		}
	})
}
