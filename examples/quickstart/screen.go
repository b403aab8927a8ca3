package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/client"
)

// A screen prints what happens, and counts events.
type screen struct {
	w     io.Writer
	start time.Time
	color bool

	mu                  sync.Mutex // the subscription reports on its own goroutine
	first, last         int64
	behind              int // events of a catch-up that were not printed
	missing, duplicates int64
}

const (
	green  = "32"
	red    = "31"
	yellow = "33"
	dim    = "2"
	bold   = "1"
)

func newScreen(w io.Writer, dir string) *screen {
	s := &screen{w: w, start: time.Now()}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		s.color = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	s.line(dim, "checkpoint", "in "+dir)
	return s
}

func (s *screen) line(color, what, text string) {
	at := time.Since(s.start).Seconds()
	if !s.color {
		fmt.Fprintf(s.w, "%5.1fs  %-12s %s\n", at, what, text)
		return
	}
	fmt.Fprintf(s.w, "\x1b[2m%5.1fs\x1b[0m  \x1b[%sm%-12s\x1b[0m %s\n", at, color, what, text)
}

// trace prints what happens to the connection.
func (s *screen) trace() *client.Trace {
	return &client.Trace{
		Connected: func(a client.ConnectInfo) {
			s.mu.Lock()
			defer s.mu.Unlock()
			how := "from now on"
			if a.Resuming {
				how = "resuming where we were"
			}
			s.line(green, "connected", how)
		},
		Disconnected: func(d client.DisconnectInfo) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.caughtUp()
			if d.Final {
				return
			}
			s.line(red, "lost", fmt.Sprintf("%s; again in %v", reason(d.Err), d.Delay.Round(time.Millisecond)))
		},
		Gap: func(g client.Gap) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.line(yellow, "gap", string(g.Reason))
		},
	}
}

// reason returns a short text for the end of a connection.
func reason(err error) string {
	var timeout interface{ Timeout() bool }
	switch {
	case err == io.EOF:
		return "the server closed the stream"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "silence (" + err.Error() + ")"
	}
	return err.Error()
}

// event prints an event that has just happened, and counts an older one.
func (s *screen) event(n int64, ev client.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.first == 0:
		s.first = n
	case n <= s.last:
		s.duplicates++
	default:
		s.missing += n - s.last - 1
	}
	s.last = max(s.last, n)
	if time.Since(time.Unix(0, n*int64(tick))) > 5*time.Second {
		s.behind++
		return
	}
	s.caughtUp()
	s.line(bold, fmt.Sprintf("#%d", n%100000), string(ev.Data))
}

func (s *screen) caughtUp() {
	if s.behind > 0 {
		s.line(yellow, "caught up", fmt.Sprintf("on %d events sent while disconnected", s.behind))
		s.behind = 0
	}
}

func (s *screen) summary(st client.Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := int64(0)
	if s.first != 0 {
		events = s.last - s.first + 1 - s.missing
	}
	fmt.Fprintf(s.w, "\n%d events, %d reconnects, duplicates %d, missing %d\n",
		events, max(st.Connections, 1)-1, s.duplicates, s.missing)
	fmt.Fprintln(s.w, "Run it again: it resumes where it stopped.")
}
