package transport_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

func gzipped(parts ...string) []byte {
	var b bytes.Buffer
	zw := gzip.NewWriter(nil)
	for _, p := range parts {
		zw.Reset(&b)
		io.WriteString(zw, p)
		zw.Close()
	}
	return b.Bytes()
}

// Each event is there as soon as the sender has flushed it: had one been held back, the
// clock of the bubble would have to move.
func TestGzipIsVisibleAtTheFlush(t *testing.T) {
	senders := map[string]func(w io.Writer) func(event string){
		"one member": func(w io.Writer) func(string) {
			zw := gzip.NewWriter(w)
			return func(event string) { io.WriteString(zw, event); zw.Flush() }
		},
		"twice": func(w io.Writer) func(string) {
			outer := gzip.NewWriter(w)
			zw := gzip.NewWriter(outer)
			return func(event string) { io.WriteString(zw, event); zw.Flush(); outer.Flush() }
		},
		"a member for each": func(w io.Writer) func(string) {
			return func(event string) { w.Write(gzipped(event)) }
		},
	}
	for name, sender := range senders {
		for _, accept := range []string{"", "gzip, br;q=0.5"} {
			t.Run(name+" "+accept, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
						if got := r.Header.Get("Accept-Encoding"); accept != "" && got != accept {
							t.Errorf("Accept-Encoding is %q", got)
						}
						w.Header().Set("Content-Encoding", "GZIP")
						if name == "twice" {
							w.Header().Add("Content-Encoding", "x-gzip")
						}
						w.Header().Set("Content-Type", "application/x-ndjson")
						w.(http.Flusher).Flush() // the first event is long in coming
						send := sender(w)
						for i := range 5 {
							time.Sleep(40 * time.Second)
							send(fmt.Sprintf("[%d,%q]\n", i, strings.Repeat("x", 100*i)))
							w.(http.Flusher).Flush()
						}
						<-r.Context().Done()
					})
					h := &transport.HTTP{URL: "http://feed.example", Client: client}
					if accept != "" {
						h.Header = http.Header{"Accept-Encoding": {accept}}
					}
					start := time.Now()
					conn := open(t, h, "")
					defer conn.Close()
					for i := range 5 {
						m := read(t, conn)
						if prefix := fmt.Sprintf("[%d,", i); !strings.HasPrefix(string(m.Data), prefix) {
							t.Errorf("event %d is %q", i, m.Data)
						}
						if got := time.Since(start); got != time.Duration(i+1)*40*time.Second {
							t.Errorf("event %d after %v", i, got)
						}
					}
				})
			})
		}
	}
}

// Compressed bytes are life though no event comes of them yet.
func TestIdleWatchesRawBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := gzipped(`{"a":"some text that is compressed"}` + "\n")
		client := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Type", "application/x-ndjson")
			for _, b := range body {
				w.Write([]byte{b})
				w.(http.Flusher).Flush()
				time.Sleep(20 * time.Second)
			}
		})
		conn := open(t, &transport.HTTP{URL: "http://feed.example", Client: client, IdleTimeout: 21 * time.Second}, "")
		defer conn.Close()
		read(t, conn)
		if err := readError(t, conn); err != io.EOF {
			t.Error(err)
		}
	})
}

func TestGzipEndings(t *testing.T) {
	whole := gzipped("1\n", "2\n")
	corrupt := bytes.Clone(whole)
	corrupt[len(corrupt)-8] ^= 1 // checksum of the second member
	tests := []struct {
		name   string
		body   []byte
		events int
		check  func(error) bool
	}{
		{"whole", whole, 2, func(err error) bool { return err == io.EOF }},
		{"empty", nil, 0, func(err error) bool { return err == io.EOF }},
		{"cut in the last member", whole[:len(whole)-3], 2, unexpectedEOF},
		{"cut in its header", whole[:len(gzipped("1\n"))+4], 1, unexpectedEOF},
		{"checksum", corrupt, 2, func(err error) bool { return errors.Is(err, gzip.ErrChecksum) && retryable(err) == "unset" }},
		{"not gzip behind a member", append(bytes.Clone(whole), "upstream has gone away"...), 2, func(err error) bool {
			return err != io.EOF && retryable(err) == "unset"
		}},
		{"not gzip", []byte("1\n2\n and more of it"), 0, func(err error) bool {
			var e *transport.ProtocolError
			return errors.As(err, &e) && class(err) == "protocol"
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", "x-gzip")
				w.Header().Set("Content-Type", "application/x-ndjson")
				w.Write(tt.body)
			})
			conn := open(t, &transport.HTTP{URL: srv.URL}, "")
			for range tt.events {
				read(t, conn)
			}
			if err := readError(t, conn); !tt.check(err) {
				t.Errorf("error %v, retryable %s", err, retryable(err))
			}
		})
	}
}

func unexpectedEOF(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF)
}

// The limit of a frame counts what comes out of the decompression.
func TestGzipBomb(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.Write(gzipped(strings.Repeat("x", 4<<20) + "\n"))
	})
	conn := open(t, &transport.HTTP{URL: srv.URL, MaxFrame: 1 << 10}, "")
	want[*decode.FrameError](t, readError(t, conn))
}

func TestExcerptIsDecompressed(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(500)
		w.Write(gzipped(strings.Repeat("why ", 2000)))
	})
	e := want[*transport.StatusError](t, openError(t, &transport.HTTP{URL: srv.URL}, ""))
	if string(e.Body) != strings.Repeat("why ", 1024) {
		t.Errorf("%d bytes: %.20q", len(e.Body), e.Body)
	}
}

// A sender that makes each flush a gzip member makes empty ones for its heartbeats.
func TestEmptyGzipMembers(t *testing.T) {
	members := make([]string, 300)
	members[299] = "1\n"
	body := gzipped(members...)
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.Write(body)
	})
	conn := open(t, &transport.HTTP{URL: srv.URL}, "")
	if m := read(t, conn); string(m.Data) != "1" {
		t.Errorf("got %q", m.Data)
	}
}

// A feed that is not to be compressed is not asked for in gzip by net/http either.
func TestNoAcceptEncoding(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		fmt.Fprintf(w, "%q\n", r.Header.Values("Accept-Encoding"))
	})
	conn := open(t, &transport.HTTP{URL: srv.URL, Header: http.Header{"Accept-Encoding": nil}}, "")
	if m := read(t, conn); string(m.Data) != "[]" {
		t.Errorf("Accept-Encoding is %s", m.Data)
	}
}
