package mock

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/decode"
)

// lineEnds are what ends a line in server-sent events.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

func appendSSE(b []byte, s Step) ([]byte, error) {
	if s.act == garbles {
		return append(b, s.raw...), nil
	}
	f := s.frame
	if strings.ContainsAny(f.ID+f.Type, "\r\n\x00") {
		return nil, fmt.Errorf("mock: event %q of type %q cannot be sent as a server-sent event", f.ID, f.Type)
	}
	switch f.Kind {
	case decode.Data:
		if f.Type != "" && f.Type != "message" {
			b = append(append(append(b, "event: "...), f.Type...), '\n')
		}
		if f.ID != "" {
			b = append(append(append(b, "id: "...), f.ID...), '\n')
		}
		b = appendLines(b, "data: ", f.Data)
	case decode.Comment:
		return appendLines(b, ":", f.Data), nil
	case decode.Keepalive:
		return append(b, ":\n"...), nil
	case decode.Position:
		b = append(append(append(b, "id: "...), f.ID...), '\n')
	case decode.Retry:
		ms := (f.Delay + time.Millisecond - 1) / time.Millisecond
		b = strconv.AppendInt(append(b, "retry: "...), int64(ms), 10)
		b = append(b, '\n')
	default:
		return nil, fmt.Errorf("mock: a frame of kind %d cannot be sent as a server-sent event", f.Kind)
	}
	return append(b, '\n'), nil
}

func appendLines(b []byte, field string, text []byte) []byte {
	for line := range strings.SplitSeq(lineEnds.Replace(string(text)), "\n") {
		b = append(append(append(b, field...), line...), '\n')
	}
	return b
}

// envelope is the line of an event that is not itself a JSON object.
type envelope struct {
	ID   string  `json:"id,omitempty"`
	Type string  `json:"type,omitempty"`
	Data *string `json:"data,omitempty"` // nil: a position
}

func appendNDJSON(b []byte, s Step) ([]byte, error) {
	if s.act == garbles {
		return append(b, s.raw...), nil
	}
	f := s.frame
	e := envelope{ID: f.ID, Type: f.Type}
	switch f.Kind {
	case decode.Data:
		if line, ok := object(f.Data); ok {
			return append(append(b, line...), '\n'), nil
		}
		text := string(f.Data)
		e.Data = &text
	case decode.Position:
	case decode.Comment, decode.Keepalive, decode.Retry:
		return append(b, '\n'), nil
	default:
		return nil, fmt.Errorf("mock: a frame of kind %d cannot be sent as a line of JSON", f.Kind)
	}
	line := bytes.NewBuffer(b)
	enc := json.NewEncoder(line)
	enc.SetEscapeHTML(false) // the text stays as readable as it was
	err := enc.Encode(e)
	return line.Bytes(), err
}

// object returns data on one line if it is a JSON object.
func object(data []byte) ([]byte, bool) {
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) || !json.Valid(data) {
		return nil, false
	}
	if !bytes.ContainsAny(data, "\r\n") {
		return data, true
	}
	var line bytes.Buffer
	json.Compact(&line, data)
	return line.Bytes(), true
}
