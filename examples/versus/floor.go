package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// The floors are not libraries. They show the minimum that events cost that the program may keep:
// fresh memory, one read of the connection for as many events as it brings, and a search for the
// end of each event. "passed on" also takes the events to another goroutine, in batches, as every
// library does whose reader does not wait for the program.

// A split returns the event at the start of b, without its framing, and its size on the wire. An
// incomplete event has the size 0, and needs as many bytes as the split knows, or -1 at the end of the
// stream.
type split func(b []byte) (event []byte, size, needs int)

// splitLine splits newline-delimited JSON.
func splitLine(b []byte) (event []byte, size, needs int) {
	n := bytes.IndexByte(b, '\n')
	if n < 0 {
		return nil, 0, len(b) + 1
	}
	return b[:n], n + 1, 0
}

// splitFrame splits unmasked messages of one frame (RFC 6455, section 5.2).
func splitFrame(b []byte) (event []byte, size, needs int) {
	if len(b) < 2 {
		return nil, 0, 2
	}
	const closes = 0x88
	if b[0] == closes {
		return nil, 0, -1
	}
	header, length := 2, int(b[1])
	switch length {
	case 126:
		header = 4
	case 127:
		header = 10
	}
	if len(b) < header {
		return nil, 0, header
	}
	switch length {
	case 126:
		length = int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		length = int(binary.BigEndian.Uint64(b[2:]))
	}
	if len(b) < header+length {
		return nil, 0, header + length
	}
	return b[header : header+length], header + length, 0
}

// readSlabs passes events to each, in fresh memory. flush is called before a read that may wait.
func readSlabs(r io.Reader, next split, each func([]byte), flush func()) error {
	size := 64 << 10
	slab := make([]byte, size)
	from, to := 0, 0
	for {
		event, n, needs := next(slab[from:to])
		if n > 0 {
			each(event)
			from += n
			continue
		}
		flush()
		if needs < 0 {
			return nil
		}
		if free := len(slab) - to; free < 512 || from+needs > len(slab) {
			size = max(size, needs)
			fresh := make([]byte, size)
			from, to, slab = 0, copy(fresh, slab[from:to]), fresh
		}
		n, err := r.Read(slab[to:])
		to += n
		if err == io.EOF && n == 0 {
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
	}
}

// floorOf counts events where they are read.
func floorOf(next split) func(io.Reader, *tally) error {
	return func(r io.Reader, t *tally) error {
		return readSlabs(r, next, func(event []byte) { count(t, event) }, func() {})
	}
}

// passedOn counts events on another goroutine.
func passedOn(next split) func(io.Reader, *tally) error {
	return func(r io.Reader, t *tally) error {
		const waiting = 8
		full, free := make(chan [][]byte, waiting), make(chan [][]byte, waiting+2)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for batch := range full {
				for _, event := range batch {
					count(t, event)
				}
				clear(batch)
				free <- batch[:0]
			}
		}()
		var batch [][]byte
		err := readSlabs(r, next, func(event []byte) { batch = append(batch, event) }, func() {
			if len(batch) == 0 {
				return
			}
			full <- batch
			select {
			case batch = <-free:
			default:
				batch = nil
			}
		})
		close(full)
		<-done
		return err
	}
}

// getFrames reads the messages of one WebSocket up to its close frame.
func getFrames(read func(io.Reader, *tally) error, address string, t *tally) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", u.RequestURI(), u.Host)
	if err != nil {
		return err
	}
	buffered := bufio.NewReader(conn)
	resp, err := http.ReadResponse(buffered, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("got status %d, want 101", resp.StatusCode)
	}
	return read(buffered, t)
}
