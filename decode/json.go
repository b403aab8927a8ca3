package decode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tidwall/gjson"
)

// Field returns a function that returns the value at a gjson path of a JSON payload: the text of a
// string, or the JSON of any other value. It returns "" if the payload is not valid JSON or has
// nothing, or null, at that path. If a name occurs twice, the first one counts. A byte order mark at
// the start is skipped (RFC 8259, section 8.1).
func Field(path string) func(data []byte) string {
	return func(data []byte) string {
		value, _ := field(data, path)
		return value
	}
}

var (
	errInvalid = errors.New("the payload is not JSON")
	errNotJSON = fmt.Errorf("decode: %w", errInvalid)
)

func field(data []byte, path string) (string, error) {
	c := Check(data)
	if c.data == nil {
		return "", errNotJSON
	}
	return c.Field(path), nil
}

// A Checked is a payload that was checked once to be valid JSON, so that several fields can be taken
// from it. The zero value stands for a payload that is not valid. The bytes of the payload must not
// change after Check.
type Checked struct{ data []byte }

// Check checks whether a payload is valid JSON. If it is not, Field returns "" for every path.
func Check(data []byte) Checked {
	data = bytes.TrimPrefix(data, bom)
	if !valid(data) { // gjson does not validate
		return Checked{}
	}
	return Checked{data}
}

// Field returns the value at a gjson path, like the function Field.
func (c Checked) Field(path string) string {
	value := gjson.GetBytes(c.data, path)
	if value.Type == gjson.Number && value.Raw != "" {
		return value.Raw // String would round it
	}
	return value.String()
}

// JSON decodes a payload with encoding/json. A byte order mark at the start is skipped.
func JSON[T any](data []byte) (T, error) {
	var v T
	if err := json.Unmarshal(bytes.TrimPrefix(data, bom), &v); err != nil {
		return v, fmt.Errorf("decode: %w", err)
	}
	return v, nil
}

// Switch returns a function that passes a JSON payload to the case named by the value at a gjson
// path, as Field returns it. Each payload is thus decoded once, into its own type. The case "" is
// for payloads without a value at path and for those that no other case matches; without it, they
// are an error. A payload that is not valid JSON is always an error. The map must not be changed
// afterwards.
func Switch[T any](path string, cases map[string]func(data []byte) (T, error)) func(data []byte) (T, error) {
	return func(data []byte) (v T, err error) {
		name, err := field(data, path)
		if err != nil {
			return v, err
		}
		decode, ok := cases[name]
		if !ok {
			decode, ok = cases[""]
		}
		if !ok {
			return v, fmt.Errorf("decode: no case for %s %.40q", path, name)
		}
		return decode(data)
	}
}
