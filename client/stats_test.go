package client_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/client"
)

func TestStateInJSON(t *testing.T) {
	for s := client.StateConnecting; s <= client.StateEnded; s++ {
		text, err := json.Marshal(client.Stats{State: s})
		if err != nil || !strings.Contains(string(text), `"State":"`+s.String()+`"`) {
			t.Errorf("Stats in JSON: %s, %v, want the state %q", text, err, s)
		}
		var back struct{ State client.State }
		if err := json.Unmarshal(text, &back); err != nil || back.State != s {
			t.Errorf("%s: read as %v, %v", text, back.State, err)
		}
	}
	if text, err := json.Marshal(client.State(-1)); err == nil {
		t.Errorf("no state, and yet %s", text)
	}
	if s := client.State(99).String(); s != "State(99)" {
		t.Errorf("String: %q", s)
	}
	var s client.State
	for _, text := range []string{`"lively"`, `3`, `""`} {
		if json.Unmarshal([]byte(text), &s) == nil {
			t.Errorf("%s is taken for the state %v", text, s)
		}
	}
}
