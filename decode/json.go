package decode

import (
	"encoding/json"
	"fmt"

	"github.com/tidwall/gjson"
)

// Field returns a function that takes the value at a gjson path from a JSON payload: the
// text of a string, the JSON of anything else. It returns "" when the payload is not
// valid JSON or has nothing, or null, at that path.
func Field(path string) func(data []byte) string {
	return func(data []byte) string {
		if !valid(data) { // gjson itself takes what it finds, valid or not
			return ""
		}
		return gjson.GetBytes(data, path).String()
	}
}

// JSON decodes a payload.
func JSON[T any](data []byte) (T, error) {
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		return v, fmt.Errorf("decode: %w", err)
	}
	return v, nil
}
