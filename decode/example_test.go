package decode_test

import (
	"fmt"
	"strings"

	"github.com/steadfeed/steadfeed/decode"
)

// The answer of a language model is one response, which needs no subscription.
func ExampleReader_Frames() {
	body := strings.NewReader(`data: {"choices":[{"delta":{"content":"Hel"}}]}

: still thinking

data: {"choices":[{"delta":{"content":"lo"}}]}

data: [DONE]

`)
	for frame, err := range decode.NewReader(body, decode.SSE{}).Frames() {
		if err != nil {
			fmt.Println("cut short:", err)
			return
		}
		if string(frame.Data) == "[DONE]" {
			break
		}
		fmt.Print(decode.Field(frame.Data, "choices.0.delta.content"))
	}
	fmt.Println()
	// Output: Hello
}

// A response that is cut off ends with an error.
func ExampleFrameError() {
	body := strings.NewReader("{\"n\":1}\n{\"n\":2")
	for frame, err := range decode.NewReader(body, decode.ConcatJSON).Frames() {
		fmt.Printf("%s %v\n", frame.Data, err)
	}
	// Output:
	// {"n":1} <nil>
	//  decode: ConcatJSON: frame at byte 8: unexpected EOF
}

// A record that is too large is reported, and the others are read.
func ExampleReader_onBadFrame() {
	file := strings.NewReader("{\"n\":1}\n{\"n\":2,\"blob\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}\n{\"n\":3}\n")
	r := decode.NewReader(file, decode.NDJSON)
	r.MaxFrame = 32
	r.OnBadFrame = func(bad *decode.FrameError) { fmt.Println(bad) }
	for frame, err := range r.Frames() {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s\n", frame.Data)
	}
	// Output:
	// {"n":1}
	// decode: NDJSON: frame at byte 8 is larger than MaxFrame (32 bytes)
	// {"n":3}
}

// The malformed lines of a file are reported, and the others are read.
func ExampleStrictJSON() {
	file := strings.NewReader("{\"n\":1}\n{\"n\":\noops\n{\"n\":4}\n")
	r := decode.NewReader(file, decode.StrictJSON(decode.NDJSON))
	r.OnBadFrame = func(bad *decode.FrameError) { fmt.Println(bad) }
	for frame, err := range r.Frames() {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s\n", frame.Data)
	}
	// Output:
	// {"n":1}
	// decode: StrictJSON: frame at byte 8: the payload is not JSON
	// decode: StrictJSON: frame at byte 14: the payload is not JSON
	// {"n":4}
}

func ExampleField() {
	fmt.Println(decode.Field([]byte(`{"seq":"42-g1AAAA","id":"doc"}`), "seq"))
	fmt.Println(decode.Field([]byte(`{"seq":[42,"g1AAAA"],"id":"doc"}`), "seq"))
	fmt.Printf("%q\n", decode.Field([]byte(`{"seq":"42-g1`), "seq")) // not valid JSON
	// Output:
	// 42-g1AAAA
	// [42,"g1AAAA"]
	// ""
}

// The media type of a response determines its framing.
func ExampleAuto() {
	for _, r := range []struct{ contentType, body string }{
		{"text/event-stream; charset=utf-8", "data: 1\n\n"},
		{"application/json-seq", "\x1e1\n"},
		{"application/json", "[1,"},
		{"application/json", "1 "},
		{"text/html", "<p>Sign in</p>"},
	} {
		format, ok := decode.Auto(r.contentType)
		if !ok {
			fmt.Println(r.contentType, "is not a feed")
			continue
		}
		var frame decode.Frame
		err := decode.NewReader(strings.NewReader(r.body), format).Next(&frame)
		fmt.Println(r.contentType, string(frame.Data), err)
	}
	// Output:
	// text/event-stream; charset=utf-8 1 <nil>
	// application/json-seq 1 <nil>
	// application/json 1 <nil>
	// application/json 1 <nil>
	// text/html is not a feed
}
