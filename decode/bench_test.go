package decode_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/steadfeed/steadfeed/decode"
)

// document returns a JSON object of about size bytes. parts is how much of it is structure,
// short strings and numbers; the rest is one long text.
func document(size, parts int) string {
	var b strings.Builder
	b.WriteString(`{"id":100000,"time":"2026-03-04T05:06:07.089Z","bot":false,"parts":[`)
	for i := 0; b.Len() < parts; i++ {
		fmt.Fprintf(&b, `{"n":%d,"title":"Wörter und \"Worte\" %d","score":%d.%02d,"tags":["a","bc",null],"path":"c:\\%d"},`, i, i, i%7, i%100, i)
	}
	b.WriteString(`0],"text":"`)
	b.WriteString(strings.Repeat("lorem ipsum ", size/12+1)[:max(size-b.Len()-2, 0)])
	b.WriteString(`"}`)
	return b.String()
}

// BenchmarkReader reads one event of 430 bytes in each operation, into memory that is used again.
func BenchmarkReader(b *testing.B) {
	value := document(430, 0)
	for _, c := range []struct {
		name, event string
		format      decode.Format
	}{
		{"SSE", "event: update\nid: 100000\ndata: " + value + "\n\n", decode.SSE{}},
		{"SSElines", "data: " + value + "\ndata: more\nid: 1\n\n", decode.SSE{}},
		{"NDJSON", value + "\n", decode.NDJSON},
		{"CRLFJSON", value + "\r\n", decode.CRLFJSON},
		{"JSONSeq", "\x1e" + value + "\n", decode.JSONSeq},
		{"LengthPrefixed", fmt.Sprint(len(value)) + "\r\n" + value + "\r\n", decode.LengthPrefixed},
		{"Uint32Prefixed", string(binary.BigEndian.AppendUint32(nil, uint32(len(value)))) + value, decode.Uint32Prefixed},
	} {
		b.Run(c.name, func(b *testing.B) { benchmark(b, c.format, c.event) })
	}
}

// BenchmarkConcatJSON reads one value in each operation, into memory that is used again.
func BenchmarkConcatJSON(b *testing.B) {
	for _, c := range []struct {
		name        string
		size, parts int
	}{{"100B", 100, 0}, {"430B", 430, 0}, {"1.5KB", 1500, 1300}, {"60KB", 60_000, 59_800}, {"60KBtext", 60_000, 0}} {
		b.Run(c.name, func(b *testing.B) { benchmark(b, decode.ConcatJSON, document(c.size, c.parts)) })
	}
}

// benchmark reads event again and again.
func benchmark(b *testing.B, format decode.Format, event string) {
	all := bytes.Repeat([]byte(event), 1+(256<<10)/len(event))
	src := bytes.NewReader(all)
	d := decode.NewReader(readerFunc(func(p []byte) (int, error) {
		if src.Len() == 0 {
			src.Reset(all)
		}
		return src.Read(p)
	}), format)
	d.Borrow = true
	b.SetBytes(int64(len(event)))
	b.ReportAllocs()
	var f decode.Frame
	for b.Loop() {
		if err := d.Next(&f); err != nil {
			b.Fatal(err)
		}
		d.Buffered()
	}
}

// BenchmarkField validates a payload and takes one field from it.
func BenchmarkField(b *testing.B) {
	for _, c := range []struct {
		name, path  string
		size, parts int
	}{{"430B", "id", 430, 0}, {"1.5KB", "id", 1500, 1300}, {"1.5KBlast", "text", 1500, 1300}, {"60KB", "id", 60_000, 59_800}} {
		b.Run(c.name, func(b *testing.B) {
			value := []byte(document(c.size, c.parts))
			b.SetBytes(int64(len(value)))
			b.ReportAllocs()
			for b.Loop() {
				decode.Field(value, c.path)
			}
		})
	}
}

// BenchmarkFields validates a payload.
func BenchmarkFields(b *testing.B) {
	for _, size := range []int{430, 1500, 60_000} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			value := []byte(document(size, size))
			b.SetBytes(int64(len(value)))
			b.ReportAllocs()
			for b.Loop() {
				decode.Fields(value)
			}
		})
	}
}
