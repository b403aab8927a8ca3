package client_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/client"
)

func TestStateIsTextInJSON(t *testing.T) {
	for s := client.StateConnecting; s <= client.StatePaused; s++ {
		text, err := json.Marshal(client.Stats{State: s})
		if err != nil || !strings.Contains(string(text), `"State":"`+s.String()+`"`) {
			t.Errorf("Stats in JSON: got %s, %v, want the state %q", text, err, s)
		}
		var back struct{ State client.State }
		if err := json.Unmarshal(text, &back); err != nil || back.State != s {
			t.Errorf("Unmarshal(%s): got %v, %v, want %v", text, back.State, err, s)
		}
	}
	if text, err := json.Marshal(client.State(-1)); err == nil {
		t.Errorf("Marshal of an unknown state: got %s, want an error", text)
	}
	if s := client.State(99).String(); s != "State(99)" {
		t.Errorf("String: got %q, want State(99)", s)
	}
	var s client.State
	for _, text := range []string{`"lively"`, `3`, `""`} {
		if json.Unmarshal([]byte(text), &s) == nil {
			t.Errorf("Unmarshal(%s): got %v, want an error", text, s)
		}
	}
}
