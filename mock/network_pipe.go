package mock

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// capacity is the number of bytes that one direction of a connection holds. A writer blocks
// when they are used up.
const capacity = 64 << 10

// A pipe is one direction of a connection: the buffers of two kernels and the wire between
// them. All waiting is on cond, which a synctest bubble recognizes as blocking.
type pipe struct {
	mu   sync.Mutex
	cond sync.Cond

	flight  flight // in transit
	arrived bytes.Buffer
	held    bytes.Buffer // written since the wire was cut
	cut     bool
	writing bool // a Write is in progress; the next one must not interleave its bytes

	// State of the reader's end.
	readClosed bool  // this end is closed
	readErr    error // the connection was reset; unread data is lost
	eof        bool
	readBy     deadline

	// State of the writer's end.
	writeClosed bool  // this end is closed
	writeShut   bool  // by CloseWrite
	writeErr    error // the peer has closed or reset the connection
	writeBy     deadline
}

func newPipe(l link) *pipe {
	p := new(pipe)
	p.cond.L = &p.mu
	p.flight.link = l
	return p
}

func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.readClosed:
			return 0, net.ErrClosed
		case p.readErr != nil:
			return 0, p.readErr
		case len(b) == 0:
			return 0, nil
		case p.readBy.past:
			return 0, os.ErrDeadlineExceeded
		case p.arrived.Len() > 0:
			p.cond.Broadcast()
			return p.arrived.Read(b)
		case p.eof:
			return 0, io.EOF
		}
		p.cond.Wait()
	}
}

func (p *pipe) write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.writing {
		if err := p.refusal(); err != nil {
			return 0, err
		}
		p.cond.Wait()
	}
	p.writing = true
	defer func() {
		p.writing = false
		p.cond.Broadcast()
	}()
	for {
		if err := p.refusal(); err != nil {
			return n, err
		}
		n += p.take(b[n:])
		if n == len(b) {
			return n, nil
		}
		p.cond.Wait()
	}
}

// refusal returns why nothing can be written, nil if something can.
func (p *pipe) refusal() error {
	switch {
	case p.writeClosed:
		return net.ErrClosed
	case p.writeErr != nil:
		return p.writeErr
	case p.writeShut:
		return os.NewSyscallError("write", syscall.EPIPE)
	case p.writeBy.past:
		return os.ErrDeadlineExceeded
	}
	return nil
}

// take accepts as much of b as there is room for.
func (p *pipe) take(b []byte) int {
	b = b[:min(len(b), capacity-p.arrived.Len()-p.held.Len()-p.flight.size)]
	if len(b) == 0 {
		return 0
	}
	switch {
	case p.cut:
		p.held.Write(b)
	case p.flight.delays():
		for rest := b; len(rest) > 0; {
			n := min(len(rest), packet)
			p.flight.send(rest[:n], p.land)
			rest = rest[n:]
		}
	default:
		p.arrived.Write(b)
	}
	p.cond.Broadcast()
	return len(b)
}

// land makes readable what has arrived.
func (p *pipe) land() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, part := range p.flight.arrivals(p.land) {
		switch {
		case p.cut:
			p.held.Write(part.data)
		case len(part.data) == 0:
			p.eof = true
		default:
			p.arrived.Write(part.data)
		}
	}
	p.cond.Broadcast()
}

// end lets the reader reach the end of the stream, after what is in transit.
func (p *pipe) end() {
	if p.flight.delays() {
		p.flight.send(nil, p.land)
		return
	}
	p.eof = true
}

// closeReader closes the reader's end. The writer is notified unless the wire is cut.
func (p *pipe) closeReader() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readClosed = true
	p.readBy.stop()
	p.flight.stop()
	if !p.cut {
		p.fail(&p.writeErr, "write")
	}
	p.cond.Broadcast()
}

// closeWriter closes the writer's end: the reader gets what was written, then io.EOF. An abrupt
// close is a reset instead, and unread data is lost.
func (p *pipe) closeWriter(abrupt bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writeClosed = true
	p.writeBy.stop()
	switch {
	case p.cut:
	case abrupt:
		p.fail(&p.readErr, "read")
	case !p.writeShut:
		p.end()
	}
	p.cond.Broadcast()
}

// shutWriter ends the stream and leaves the connection open.
func (p *pipe) shutWriter() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.writeClosed {
		return net.ErrClosed
	}
	if !p.writeShut && !p.cut {
		p.end()
	}
	p.writeShut = true
	p.cond.Broadcast()
	return nil
}

// reset breaks the direction for both ends, also over a cut wire.
func (p *pipe) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail(&p.readErr, "read")
	p.fail(&p.writeErr, "write")
	p.cond.Broadcast()
}

// sever cuts the wire: from now on nothing arrives.
func (p *pipe) sever() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
}

func (p *pipe) fail(err *error, call string) {
	if *err == nil {
		*err = os.NewSyscallError(call, syscall.ECONNRESET)
	}
}

// A deadline wakes goroutines that wait on a pipe. The pipe's mutex guards it.
type deadline struct {
	timer *time.Timer
	past  bool
}

// setDeadline sets one of the pipe's deadlines. A zero t removes it. closed reports whether the
// end is closed.
func (p *pipe) setDeadline(d *deadline, closed *bool, t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if *closed {
		return net.ErrClosed
	}
	d.stop()
	if t.IsZero() {
		return nil
	}
	left := time.Until(t)
	if left <= 0 {
		d.past = true
		p.cond.Broadcast()
		return nil
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if d.timer == timer { // it may have been replaced as this one fired
			d.past = true
			p.cond.Broadcast()
		}
	})
	d.timer = timer
	return nil
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
	*d = deadline{}
}
