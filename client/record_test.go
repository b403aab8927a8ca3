package client

import (
	"strings"
	"testing"
	"time"
)

func FuzzRecord(f *testing.F) {
	f.Add(record{Epoch: 1, Owner: "host/1/ab", Token: "7", Events: 7, Saved: time.Unix(1e9, 0).UTC()}.encode())
	f.Add([]byte(`{"format":1,"epoch":1,"owner":"o","token":"\ud800"}`))
	f.Add(record{Epoch: 1, Owner: "o", Token: "caf\xe9"}.encode())
	f.Add([]byte(`{"format":1,"epoch":-1}`))
	f.Add([]byte("{}{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRecord(data)
		if err != nil {
			if !strings.Contains(err.Error(), "record") {
				t.Errorf("%q: the error does not say what it is about: %v", data, err)
			}
			return
		}
		if r.Epoch == 0 || r.Owner == "" {
			t.Errorf("%q: taken for a record without an owner", data)
		}
		again, err := parseRecord(r.encode())
		if err != nil || !again.Saved.Equal(r.Saved) || !again.Taken.Equal(r.Taken) {
			t.Fatalf("%q: cannot be read again: %v", data, err)
		}
		again.Saved, again.Taken = r.Saved, r.Taken
		if string(again.encode()) != string(r.encode()) || again.Token != r.Token {
			t.Errorf("%q: read %+v, and again %+v", data, r, again)
		}
	})
}
