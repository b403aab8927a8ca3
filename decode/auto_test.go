package decode_test

import (
	"testing"

	"github.com/steadfeed/steadfeed/decode"
)

func TestAuto(t *testing.T) {
	for contentType, want := range map[string]decode.Format{
		"text/event-stream":                       decode.SSE{},
		"Text/Event-Stream; charset=windows-1252": decode.SSE{},
		"text/event-stream;;; =broken":            decode.SSE{},
		"application/x-ndjson":                    decode.NDJSON{},
		" application/jsonl ;charset=utf-8":       decode.NDJSON{},
		"application/json":                        nil,
		"text/html":                               nil,
		"":                                        nil,
	} {
		got, ok := decode.Auto(contentType)
		if got != want || ok != (want != nil) {
			t.Errorf("%q: %T", contentType, got)
		}
	}
}
