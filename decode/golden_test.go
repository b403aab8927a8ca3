package decode_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
)

// framings returns the framings of the streams in testdata, by extension.
func framings(t *testing.T) map[string]decode.Format {
	byType, ok := decode.Auto("application/json;stream=watch")
	if !ok {
		t.Fatal("Auto(application/json): got no framing, want one")
	}
	return map[string]decode.Format{
		".sse": decode.SSE{}, ".ndjson": decode.NDJSON, ".crlf": decode.CRLFJSON,
		".length": decode.LengthPrefixed, ".json": byType,
	}
}

// TestGolden reads streams as well-known feeds send them.
func TestGolden(t *testing.T) {
	all, err := filepath.Glob("testdata/streams/*.frames")
	if err != nil || len(all) < 9 {
		t.Fatalf("got %d streams, error %v, want at least 9", len(all), err)
	}
	for _, expected := range all {
		name := strings.TrimSuffix(expected, ".frames")
		t.Run(filepath.Base(name), func(t *testing.T) {
			want := golden(t, expected)
			for ext, format := range framings(t) {
				stream, err := os.ReadFile(name + ext)
				if err != nil {
					continue
				}
				check(t, format, 0, string(stream), want)
				return
			}
			t.Error("got no file with the stream of these frames, want one")
		})
	}
}

// golden reads the expected frames of a stream.
func golden(t *testing.T, file string) (want []string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var f struct{ Kind, Data, Type, ID string }
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		frame := decode.Frame{Data: []byte(f.Data), Type: f.Type, ID: f.ID}
		if f.Kind == "keepalive" {
			frame.Kind = decode.KindKeepalive
		}
		want = append(want, show(frame))
	}
	return want
}

// TestGoldenCut ends each stream at every byte. The end must not change the frames before it, nor add
// a frame that the whole stream does not have.
func TestGoldenCut(t *testing.T) {
	for ext, format := range framings(t) {
		streams, _ := filepath.Glob("testdata/streams/*" + ext)
		if len(streams) == 0 {
			t.Errorf("got no streams of %s, want some", ext)
		}
		for _, name := range streams {
			stream, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			whole := frames(strings.NewReader(string(stream)), format, 0)
			for end := range stream {
				got := frames(strings.NewReader(string(stream[:end])), format, 0)
				if n := len(got); n > 0 && (got[n-1] == "cut" || strings.HasSuffix(got[n-1], " truncated")) {
					got = got[:n-1]
				}
				if len(got) > len(whole) || !slices.Equal(got, whole[:len(got)]) {
					t.Fatalf("%s cut at byte %d: got %q, want a prefix of %q", name, end, got, whole)
				}
			}
		}
	}
}
