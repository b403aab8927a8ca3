package decode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tidwall/gjson"
)

// Field returns a function that takes the value at a gjson path from a JSON payload: the
// text of a string, the JSON of anything else. It returns "" when the payload is not
// valid JSON or has nothing, or null, at that path. Of a name that occurs twice, the first
// counts. A byte order mark at the beginning is skipped (RFC 8259, section 8.1).
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

// Checked is a payload that was checked to be valid JSON, once for all that is taken from
// it. The zero value is one that is not valid. The bytes must not change any more.
type Checked struct{ data []byte }

// Check looks at a payload from its beginning to its end.
func Check(data []byte) Checked {
	data = bytes.TrimPrefix(data, bom)
	if !valid(data) { // gjson itself takes what it finds, valid or not
		return Checked{}
	}
	return Checked{data}
}

// Field returns the value at a gjson path, as the function Field does.
func (c Checked) Field(path string) string {
	value := gjson.GetBytes(c.data, path)
	if value.Type == gjson.Number && value.Raw != "" {
		return value.Raw // String would round it
	}
	return value.String()
}

// JSON decodes a payload. A byte order mark at the beginning is skipped.
func JSON[T any](data []byte) (T, error) {
	var v T
	if err := json.Unmarshal(bytes.TrimPrefix(data, bom), &v); err != nil {
		return v, fmt.Errorf("decode: %w", err)
	}
	return v, nil
}

// Switch returns a function that hands a JSON payload to the case named by the value at a
// gjson path, as Field takes it: so a payload is decoded once, into the type that it is of.
// The case "" is for payloads with nothing there and for those that no other case is for;
// without it they are an error, as a payload that is not valid JSON always is. The cases
// must not change any more.
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
