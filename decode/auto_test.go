package decode_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
)

func TestAuto(t *testing.T) {
	for contentType, want := range map[string]decode.Format{
		"text/event-stream":                       decode.SSE{},
		"Text/Event-Stream; charset=windows-1252": decode.SSE{},
		"text/event-stream;;; =broken":            decode.SSE{},
		"application/x-ndjson":                    decode.NDJSON,
		" application/jsonl ;charset=utf-8":       decode.NDJSON,
		"application/jsonlines":                   decode.NDJSON,
		"application/stream+json":                 decode.NDJSON,
		"application/json-seq":                    decode.JSONSeq,
		"application/geo+json-seq":                decode.JSONSeq,
		"Application/Geo+JSON-Seq; x=y":           decode.JSONSeq,
		"application/geo+json":                    nil,
		"text/html":                               nil,
		"text/plain":                              nil,
		"":                                        nil,
	} {
		got, ok := decode.Auto(contentType)
		if got != want || ok != (want != nil) {
			t.Errorf("Auto(%q) = %T, want %T", contentType, got, want)
		}
	}
}

func TestAutoJSON(t *testing.T) {
	f, ok := decode.Auto("application/json;charset=UTF-8")
	if !ok {
		t.Fatal("Auto(application/json): got no framing, want one")
	}
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"\n{\"a\":1}\n[2]\n\n", []string{"keepalive", `"{\"a\":1}"`, `"[2]"`, "keepalive"}},
		{" \n [{},\n[2]]\n", []string{"keepalive", `"{}"`, `"[2]"`}},
		{"{}\r\n\r\n\r\n[]\r\n", []string{`"{}"`, "keepalive", "keepalive", `"[]"`}},
		{" 42 ", []string{`"42"`}},
		{" <html>", []string{"1 final: invalid character '<' looking for beginning of value"}},
		{" [1,2,3456789]", []string{`"1"`, `"2"`, "6 too large"}},
		{" 3456789 1", []string{"1 too large", `"1" truncated`}},
		{" \r ", nil},
		{"", nil},
	} {
		checkBad(t, f, 6+strings.Count(c.in, "a"), c.in, c.want)
	}
}

// TestMediaTypes checks that Auto knows each media type of an Accept header.
func TestMediaTypes(t *testing.T) {
	types := decode.MediaTypes()
	for _, media := range types {
		if _, ok := decode.Auto(media); !ok {
			t.Errorf("Auto(%q): got no framing, want one", media)
		}
	}
	if len(types) == 0 || types[0] != "text/event-stream" || types[len(types)-1] != "application/json;q=0.8" {
		t.Errorf("MediaTypes = %q, want text/event-stream first and application/json;q=0.8 last", types)
	}
	// @trpc/server 11, getAcceptHeader: accept.split(",").some((t) => t.trim() === "application/jsonl"),
	// and then a subscription is answered with 400.
	if slices.Contains(types, "application/jsonl") {
		t.Error("MediaTypes: got application/jsonl without a weight, want it with one")
	}
}
