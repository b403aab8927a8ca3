package transport

import (
	"bufio"
	"io"
	"sync"
)

// A decoder reads a body through one of HTTP.Decoders. It opens the decoder at the first byte,
// because many decoders read when they are opened.
type decoder struct {
	in   *bufio.Reader
	open func(io.Reader) (io.ReadCloser, error)
	out  io.ReadCloser
	err  error // of open

	mu      sync.Mutex
	reading bool
	closed  bool
}

func (d *decoder) Read(p []byte) (int, error) {
	if !d.enter() {
		return 0, errClosed
	}
	defer d.leave()
	if d.out == nil && d.err == nil {
		if _, err := d.in.Peek(1); err != nil {
			return 0, err
		}
		d.out, d.err = d.open(d.in)
	}
	if d.err != nil {
		return 0, d.err
	}
	return d.out.Read(p)
}

// Close closes the decoder. If a Read is running, that Read does so when it returns: few
// decoders can be closed during a Read.
func (d *decoder) Close() error {
	d.mu.Lock()
	again, reading := d.closed, d.reading
	d.closed = true
	d.mu.Unlock()
	if !again && !reading {
		d.end()
	}
	return nil
}

func (d *decoder) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reading = !d.closed
	return d.reading
}

func (d *decoder) leave() {
	d.mu.Lock()
	d.reading = false
	closed := d.closed
	d.mu.Unlock()
	if closed {
		d.end()
	}
}

func (d *decoder) end() {
	if d.out != nil && d.err == nil {
		d.out.Close()
	}
}
