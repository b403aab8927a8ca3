package main

import (
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reason matches the text of the library for a refused request.
var reason = regexp.MustCompile(`(?m)(refused:).*$`)

func TestStory(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatalf("%v, after\n%s", err, &out)
	}
	const want = `POST /slack: 200 OK 3eZbrw1aBm2rZgRNFdxV
   github sent push, 72d3162e
POST /github: 204 No Content
   stripe sent charge.succeeded, evt_1
POST /stripe: 204 No Content
   refused: ...
POST /stripe: 401 Unauthorized
   slack sent message, Ev1
POST /slack: 200 OK
   standardwebhooks sent response.completed, wh_1
POST /openai: 204 No Content
`
	if got := reason.ReplaceAllString(out.String(), "$1 ..."); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
