package main

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStory(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatalf("%v, after\n%s", err, &out)
	}
	const want = `   push delivery-1: {"ref":"refs/heads/main"}
a push: 204 No Content
the same push again: 204 No Content
a push that is forged: 401 Unauthorized
   push delivery-3: {"ref":"refs/heads/main"}
a push whose work fails: 503 Service Unavailable
   push delivery-3: {"ref":"refs/heads/main"}
the failed push, redelivered: 204 No Content
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
}
