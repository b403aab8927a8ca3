package main

import (
	"io"
	"net/http"
	"sync"
)

// A dropper serves WebSockets like holdSocket, until all are dropped at once.
type dropper struct {
	mu   sync.Mutex
	open []io.Closer
}

func (d *dropper) hold(w http.ResponseWriter, r *http.Request) {
	conn, err := openSocket(w, r)
	if err != nil {
		return
	}
	defer conn.Close()
	d.mu.Lock()
	d.open = append(d.open, conn)
	d.mu.Unlock()
	io.Copy(io.Discard, conn)
}

// drop cuts every connection, without a close frame.
func (d *dropper) drop(http.ResponseWriter, *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, conn := range d.open {
		conn.Close()
	}
	d.open = nil
}
