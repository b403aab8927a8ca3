package transport_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/transport"
)

// inflate is a decoder for tests, of an encoding that is not built in.
func inflate(r io.Reader) (io.ReadCloser, error) { return flate.NewReader(r), nil }

func deflated(s string) []byte {
	var b bytes.Buffer
	zw, _ := flate.NewWriter(&b, flate.DefaultCompression)
	io.WriteString(zw, s)
	zw.Close()
	return b.Bytes()
}

// readsAhead is a decoder with a goroutine of its own, as some libraries have. open and
// closed count.
type readsAhead struct{ opened, closed atomic.Int32 }

func (a *readsAhead) decode(r io.Reader) (io.ReadCloser, error) {
	a.opened.Add(1)
	pr, pw := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := io.Copy(pw, flate.NewReader(r))
		pw.CloseWithError(err)
	}()
	return &aheadReader{pr, a, done}, nil
}

type aheadReader struct {
	*io.PipeReader
	of   *readsAhead
	done chan struct{}
}

func (r *aheadReader) Close() error {
	r.of.closed.Add(1)
	r.PipeReader.Close()
	<-r.done
	return nil
}

// Each event is there as soon as the sender has flushed it, and the heartbeat is learnt,
// whichever goroutine reads the body.
func TestDecoderIsVisibleAtTheFlush(t *testing.T) {
	ahead := &readsAhead{}
	for name, decoder := range map[string]func(io.Reader) (io.ReadCloser, error){"plain": inflate, "reads ahead": ahead.decode} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
					if got := r.Header.Get("Accept-Encoding"); got != "gzip, aaa, deflate" {
						t.Errorf("Accept-Encoding is %q", got)
					}
					w.Header().Set("Content-Encoding", "Deflate")
					w.Header().Set("Content-Type", "application/x-ndjson")
					w.(http.Flusher).Flush() // the first event is long in coming
					zw, _ := flate.NewWriter(w, flate.BestSpeed)
					for i := range 5 {
						time.Sleep(10 * time.Second)
						fmt.Fprintf(zw, "\n[%d]\n", i)
						zw.Flush()
						w.(http.Flusher).Flush()
					}
					<-r.Context().Done()
				})
				conn := open(t, &transport.HTTP{URL: "http://feed.example", Client: client,
					Decoders: map[string]func(io.Reader) (io.ReadCloser, error){"deflate": decoder, "aaa": inflate}}, "")
				start := time.Now()
				for i := range 5 {
					read(t, conn) // the empty line
					m := read(t, conn)
					if got := time.Since(start); string(m.Data) != fmt.Sprintf("[%d]", i) || got != time.Duration(i+1)*10*time.Second {
						t.Errorf("event %d is %q after %v", i, m.Data, got)
					}
				}
				e := want[*transport.TimeoutError](t, readError(t, conn))
				if e.After != 30*time.Second {
					t.Errorf("idle after %v, want three heartbeats", e.After)
				}
				conn.Close()
			})
		})
	}
	if ahead.opened.Load() != 1 || ahead.closed.Load() != 1 {
		t.Errorf("opened %d times, closed %d times", ahead.opened.Load(), ahead.closed.Load())
	}
}

// A decoder is closed once, also when Close finds a Read under way.
func TestDecoderIsClosed(t *testing.T) {
	for _, reading := range []bool{false, true} {
		t.Run(fmt.Sprintf("reading %t", reading), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Encoding", "deflate")
					w.Header().Set("Content-Type", "application/x-ndjson")
					zw, _ := flate.NewWriter(w, flate.BestSpeed)
					io.WriteString(zw, "1\n")
					zw.Flush()
					w.(http.Flusher).Flush()
					<-r.Context().Done()
				})
				ahead := &readsAhead{}
				conn := open(t, &transport.HTTP{URL: "http://feed.example", Client: client,
					Decoders: map[string]func(io.Reader) (io.ReadCloser, error){"deflate": ahead.decode}}, "")
				read(t, conn)
				if reading {
					go readFrom(conn)
				}
				synctest.Wait()
				for range 2 {
					conn.Close()
				}
				synctest.Wait()
				if ahead.opened.Load() != 1 || ahead.closed.Load() != 1 {
					t.Errorf("opened %d times, closed %d times", ahead.opened.Load(), ahead.closed.Load())
				}
			})
		})
	}
}

func TestDecoderEndings(t *testing.T) {
	boom := errors.New("no such dictionary")
	fails := func(io.Reader) (io.ReadCloser, error) { return nil, boom }
	whole := deflated("1\n2\n")
	for _, tt := range []struct {
		name, encoding string
		decoder        func(io.Reader) (io.ReadCloser, error)
		body           []byte
		events         int
		is             error
	}{
		{"whole", "deflate", inflate, whole, 2, io.EOF},
		{"empty", "deflate", inflate, nil, 0, io.EOF},
		{"empty, for one that fails", "deflate", fails, nil, 0, io.EOF},
		{"cut", "deflate", inflate, whole[:len(whole)-2], 2, io.ErrUnexpectedEOF},
		{"one that fails", "deflate", fails, whole, 0, boom},
		{"in place of gzip", "gzip", inflate, whole, 2, io.EOF},
		{"in place of x-gzip", "x-gzip", inflate, whole, 2, io.EOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", tt.encoding)
				w.Header().Set("Content-Type", "application/x-ndjson")
				w.Write(tt.body)
			})
			conn := open(t, &transport.HTTP{URL: srv.URL,
				Decoders: map[string]func(io.Reader) (io.ReadCloser, error){"deflate": tt.decoder, "gzip": tt.decoder}}, "")
			for range tt.events {
				read(t, conn)
			}
			if err := readError(t, conn); !errors.Is(err, tt.is) {
				t.Errorf("error %v, want %v", err, tt.is)
			}
		})
	}
}

func TestExcerptIsDecoded(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "deflate")
		w.WriteHeader(500)
		w.Write(deflated("out of order"))
	})
	ahead := &readsAhead{}
	e := want[*transport.StatusError](t, openError(t, &transport.HTTP{URL: srv.URL,
		Decoders: map[string]func(io.Reader) (io.ReadCloser, error){"deflate": ahead.decode}}, ""))
	if string(e.Body) != "out of order" || ahead.closed.Load() != 1 {
		t.Errorf("body %q, closed %d times", e.Body, ahead.closed.Load())
	}
}

// A small body that becomes a large one costs time while it comes in, and no memory: neither
// what is passed over nor what says nothing is kept.
func TestBombTakesNoMemory(t *testing.T) {
	for name, plain := range map[string]string{
		"a large frame":   strings.Repeat("x", 4<<20),
		"many keepalives": strings.Repeat("\n", 1<<20),
	} {
		body := gzipped(plain, "\n1\n")
		if len(body) > len(plain)/500 {
			t.Fatalf("%d bytes are no bomb", len(body))
		}
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.Write(body)
		})
		conn := open(t, &transport.HTTP{URL: srv.URL, MaxFrame: 1 << 10, OnBadFrame: func(*decode.FrameError) {}}, "")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m := transport.Message{Kind: decode.KindKeepalive}
		for m.Kind != decode.KindData {
			if err := conn.Read(&m); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; string(m.Data) != "1" || used > 512<<10 {
			t.Errorf("%s: %q after %d bytes of memory", name, m.Data, used)
		}
	}
}
