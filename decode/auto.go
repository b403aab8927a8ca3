package decode

import (
	"slices"
	"strings"
)

// formats returns the formats that a media type identifies.
func formats() []Format { return []Format{SSE{}, NDJSON, JSONSeq, anyJSON{}} }

// Auto returns the framing that a Content-Type identifies. It ignores parameters, even malformed
// ones: servers send a charset that has no meaning. Types with the suffix +json-seq (RFC 8091) mean
// JSONSeq. application/json does not identify a framing: if the first byte of a stream that is not
// white space is '[', it is JSONArray, and otherwise ConcatJSON, which includes NDJSON. For a feed
// whose values are arrays, use ConcatJSON itself.
func Auto(contentType string) (f Format, ok bool) {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	if strings.HasSuffix(media, "+json-seq") {
		return JSONSeq, true
	}
	for _, f := range formats() {
		if slices.Contains(f.MediaTypes(), media) {
			return f, true
		}
	}
	return nil, false
}

// MediaTypes returns the media types that Auto knows, for an Accept header. text/event-stream has
// the highest weight, and application/json, which does not identify a framing, the lowest. tRPC
// answers a subscription with 400 if application/jsonl has no weight.
func MediaTypes() (types []string) {
	for _, f := range formats() {
		for _, t := range f.MediaTypes() {
			switch f.(type) {
			case SSE:
			case anyJSON:
				t += ";q=0.8"
			default:
				t += ";q=0.9"
			}
			types = append(types, t)
		}
	}
	return types
}

// anyJSON is the Format of application/json: JSONArray or ConcatJSON.
type anyJSON struct{}

func (anyJSON) MediaTypes() []string { return []string{"application/json"} }

func (anyJSON) NewSplitter(maxFrame int) Splitter { return &anySplitter{limit: maxFrame} }

type anySplitter struct {
	start
	limit int
	jsonSpace
	chosen Splitter
}

func (s *anySplitter) Split(f *Frame, buf []byte, atEOF bool) (n int, ok bool, err error) {
	if !s.begun {
		if n, wait := s.mark(buf, atEOF); n > 0 || wait {
			return n, false, nil
		}
	}
	if s.chosen == nil {
		n, beat := s.skipSpace(buf)
		if beat {
			f.Kind = KindKeepalive
		}
		if beat || n == len(buf) {
			return n, beat, nil
		}
		value := jsonValue{format: "ConcatJSON", limit: s.limit}
		s.chosen = &concatSplitter{start: s.start, jsonValue: value}
		if buf[n] == '[' {
			value.format = "JSONArray"
			s.chosen = &arraySplitter{start: s.start, jsonValue: value}
		}
		if n > 0 {
			return n, false, nil
		}
	}
	return s.chosen.Split(f, buf, atEOF)
}
