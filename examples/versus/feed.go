package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// A feed is an endless stream that repeats a block of different events.
type feed struct {
	block    []byte
	ends     []int // where in block each event ends
	payloads []string

	// head replaces the first byte of the stream, and tail follows the last one: the ends of a
	// JSON array.
	head, tail string
}

const (
	blockSize = 256 << 10 // fits into a cache, like bytes that come from a socket
	minEvents = 8
)

// newFeed returns a feed of payloads of the given size. wrap puts an event on the wire. All
// feeds of a size have the same payloads.
func newFeed(size int, wrap func(n int, payload string) string) *feed {
	f := &feed{}
	for n := range max(minEvents, blockSize/size) {
		p := payload(n, size)
		f.payloads = append(f.payloads, p)
		f.block = append(f.block, wrap(n, p)...)
		f.ends = append(f.ends, len(f.block))
	}
	return f
}

// wire returns the average size of an event on the wire.
func (f *feed) wire() int { return len(f.block) / len(f.ends) }

// size returns the size of n events.
func (f *feed) size(n int) int {
	whole, rest := n/len(f.ends), n%len(f.ends)
	size := whole * len(f.block)
	if rest > 0 {
		size += f.ends[rest-1]
	}
	return size
}

// stream returns a reader of n events.
func (f *feed) stream(n int) io.Reader {
	body := &loop{block: f.block, left: f.size(n)}
	if f.head == "" {
		return body
	}
	body.at, body.left = 1, max(body.left-1, 0)
	return io.MultiReader(strings.NewReader(f.head), body, strings.NewReader(f.tail))
}

// A loop reads a block repeatedly.
type loop struct {
	block []byte
	at    int // in block
	left  int
}

func (l *loop) Read(p []byte) (int, error) {
	if l.left == 0 {
		return 0, io.EOF
	}
	if l.at == len(l.block) {
		l.at = 0
	}
	n := copy(p[:min(len(p), l.left)], l.block[l.at:])
	l.at += n
	l.left -= n
	return n, nil
}

// payload returns a JSON object of the given size, like those of a change feed. It depends on
// n.
func payload(n, size int) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"id":%d,"time":"2026-03-04T05:06:%02d.%03dZ","kind":"edit","bot":%t,"text":"`, 100_000+n, n%60, n%1000, n%3 == 0)
	const end = `"}`
	if size-b.Len() > 400 {
		b.WriteString(`the object has parts","parts":[`)
		for i := 0; size-b.Len() > 200; i++ {
			fmt.Fprintf(&b, `{"n":%d,"title":"Wörter und \"Worte\" %d","score":%d.%02d,"tags":["a","bc",null],"path":"c:\\%d"},`, i, n+i, i%7, n%100, i)
		}
		b.WriteString(`0],"rest":"`)
	}
	b.WriteString(strings.Repeat("lorem ipsum ", size/12+1)[:size-b.Len()-len(end)])
	b.WriteString(end)
	return b.String()
}
