package decode_test

import (
	"bytes"
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

// BenchmarkConcatJSON reads one value in each operation, into memory that is used again.
func BenchmarkConcatJSON(b *testing.B) {
	for _, c := range []struct {
		name        string
		size, parts int
	}{{"100B", 100, 0}, {"430B", 430, 0}, {"1.5KB", 1500, 1300}, {"60KB", 60_000, 59_800}, {"60KBtext", 60_000, 0}} {
		b.Run(c.name, func(b *testing.B) {
			value := []byte(document(c.size, c.parts))
			all := bytes.Repeat(value, 1+(256<<10)/len(value))
			src := bytes.NewReader(all)
			d := decode.NewReader(readerFunc(func(p []byte) (int, error) {
				if src.Len() == 0 {
					src.Reset(all)
				}
				return src.Read(p)
			}), decode.ConcatJSON{}, 0)
			d.Borrow = true
			b.SetBytes(int64(len(value)))
			b.ReportAllocs()
			var f decode.Frame
			for b.Loop() {
				if err := d.NextTo(&f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFields validates a payload.
func BenchmarkFields(b *testing.B) {
	for _, size := range []int{430, 60_000} {
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
