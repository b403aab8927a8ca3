package decode

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/tidwall/gjson"
)

// Field returns the value at a gjson path of a JSON payload: the text of a string, or the JSON of any
// other value. It returns "" if the payload is not valid JSON or has nothing, or null, at that path.
// If a name occurs twice, the first one counts. A byte order mark at the start is skipped (RFC 8259,
// section 8.1).
func Field(data []byte, path string) string {
	s, ok := newSearch(path)
	if !ok {
		return validated(data).field(path)
	}
	data = bytes.TrimPrefix(data, bom)
	i := spaceEnd(data, 0)
	if i == len(data) || data[i] != '{' || !check(data, i, &s) {
		return ""
	}
	return s.value(data)
}

// Fields returns a function like Field for the paths of one payload, which it validates only once.
// The bytes of the payload must not change afterwards.
func Fields(data []byte) func(path string) string { return validated(data).field }

// A payload is valid JSON without a byte order mark, or nil. As a method value it costs no
// allocation where the compiler inlines Fields, which a closure would be too large for.
type payload []byte

func validated(data []byte) payload {
	data = bytes.TrimPrefix(data, bom)
	if !valid(data) { // gjson does not validate
		return nil
	}
	return data
}

func (p payload) field(path string) string {
	v := gjson.GetBytes(p, path)
	if v.Type == gjson.Number && v.Raw != "" {
		return v.Raw // String would round it
	}
	return v.String()
}

// JSON decodes a payload with encoding/json, but skips a byte order mark at the start, which
// json.Unmarshal rejects.
func JSON[T any](data []byte) (T, error) {
	var v T
	if err := json.Unmarshal(bytes.TrimPrefix(data, bom), &v); err != nil {
		return v, fmt.Errorf("decode: %w", err)
	}
	return v, nil
}
