package mock

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock/internal/wait"
)

// lineEnds replaces the line ends of server-sent events with LF.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

func appendSSE(b []byte, s Step) ([]byte, error) {
	if s.act == garbles {
		return append(b, s.raw...), nil
	}
	f := s.onWire()
	if strings.ContainsAny(f.ID+f.Type, "\r\n\x00") {
		return nil, fmt.Errorf("mock: event %q of type %q cannot be sent over SSE: its id or type contains a line end or NUL", f.ID, f.Type)
	}
	switch f.Kind {
	case decode.KindData:
		if f.Type != "" && f.Type != "message" {
			b = append(append(append(b, "event: "...), f.Type...), '\n')
		}
		if f.ID != "" {
			b = append(append(append(b, "id: "...), f.ID...), '\n')
		}
		b = appendLines(b, "data: ", f.Data)
	case decode.KindComment:
		return appendLines(b, ":", f.Data), nil
	case decode.KindKeepalive:
		return append(b, ":\n"...), nil
	case decode.KindPosition:
		b = append(append(append(b, "id: "...), f.ID...), '\n')
	case decode.KindRetry:
		ms := (f.Delay + time.Millisecond - 1) / time.Millisecond
		b = strconv.AppendInt(append(b, "retry: "...), int64(ms), 10)
		b = append(b, '\n')
	default:
		return nil, fmt.Errorf("mock: a frame of kind %d cannot be sent over SSE", f.Kind)
	}
	return append(b, '\n'), nil
}

func appendLines(b []byte, field string, text []byte) []byte {
	for line := range strings.SplitSeq(lineEnds.Replace(string(text)), "\n") {
		b = append(append(append(b, field...), line...), '\n')
	}
	return b
}

// An envelope carries an event that is not itself a JSON object.
type envelope struct {
	ID   string  `json:"id,omitempty"`
	Type string  `json:"type,omitempty"`
	Data *string `json:"data,omitempty"` // nil: a position
}

func appendNDJSON(b []byte, s Step) ([]byte, error) {
	return appendJSON(b, s, func(b, text []byte) []byte {
		return append(append(b, text...), '\n')
	})
}

func appendLengthPrefixed(b []byte, s Step) ([]byte, error) {
	return appendJSON(b, s, func(b, text []byte) []byte {
		if len(text) > 0 {
			b = strconv.AppendInt(b, int64(len(text)+len("\r\n")), 10)
			b = append(b, "\r\n"...)
		}
		return append(append(b, text...), "\r\n"...)
	})
}

func appendJSONSeq(b []byte, s Step) ([]byte, error) {
	return appendJSON(b, s, func(b, text []byte) []byte {
		if len(text) > 0 {
			b = append(b, recordSeparator)
		}
		return append(append(b, text...), '\n')
	})
}

// recordSeparator comes before each text of a JSON text sequence.
const recordSeparator = 0x1e

// appendJSON appends a step's JSON text, as framed by frame. The text is empty for a keepalive.
func appendJSON(b []byte, s Step, frame func(b, text []byte) []byte) ([]byte, error) {
	if s.act == garbles {
		return append(b, s.raw...), nil
	}
	text, err := jsonOf(s.onWire())
	if err != nil {
		return nil, err
	}
	return frame(b, text), nil
}

// jsonOf returns f as a JSON object on one line, or nothing if it is neither an event nor a
// position.
func jsonOf(f decode.Frame) ([]byte, error) {
	e := envelope{ID: f.ID, Type: f.Type}
	switch f.Kind {
	case decode.KindData:
		if line, ok := object(f.Data); ok {
			return line, nil
		}
		text := string(f.Data)
		e.Data = &text
	case decode.KindPosition:
	case decode.KindComment, decode.KindKeepalive, decode.KindRetry:
		return nil, nil
	default:
		return nil, fmt.Errorf("mock: a frame of kind %d cannot be sent as JSON", f.Kind)
	}
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false) // keep the text readable
	err := enc.Encode(e)
	return bytes.TrimSuffix(line.Bytes(), []byte("\n")), err
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

// pieces is the maximum number of writes for a step that is sent slowly.
const pieces = 256

// transmit passes b, the wire form of the step, to write: whole or in part, at once or slowly.
// It returns the error of write or the cause of ctx.
func (s Step) transmit(ctx context.Context, b []byte, write func([]byte) error) error {
	if s.part {
		b = s.partOf(b)
	}
	if s.slow <= 0 {
		return write(b)
	}
	end := time.Now().Add(s.slow)
	n := min(max(len(b), 1), pieces)
	for i := range n {
		wait.Until(ctx, end.Add(-s.slow/time.Duration(n)*time.Duration(n-1-i)), nil)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := write(b[len(b)*i/n : len(b)*(i+1)/n]); err != nil {
			return err
		}
	}
	return nil
}

// partOf returns the beginning of a frame. It always omits the last byte that is not a line
// end: a decoder that does not need the line ends would take the frame for whole.
func (s Step) partOf(b []byte) []byte {
	n := s.kept
	if n < 0 {
		n += len(b)
	}
	most := len(bytes.TrimRight(b, "\r\n")) - 1
	return b[:max(0, min(n, most))]
}
