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
				t.Errorf("%q: got error %v, want one that names the record", data, err)
			}
			return
		}
		if r.Epoch == 0 || r.Owner == "" {
			t.Errorf("%q: got a record without an owner, want an error", data)
		}
		again, err := parseRecord(r.encode())
		if err != nil || !again.Saved.Equal(r.Saved) || !again.Taken.Equal(r.Taken) {
			t.Fatalf("%q: parsing the encoded record: got %+v, %v, want %+v", data, again, err, r)
		}
		again.Saved, again.Taken = r.Saved, r.Taken
		if string(again.encode()) != string(r.encode()) || again.Token != r.Token {
			t.Errorf("%q: got %+v after encoding, want %+v", data, again, r)
		}
	})
}
