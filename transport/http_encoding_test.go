package transport_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
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

// Each event arrives as soon as the sender has flushed it: otherwise the clock of the bubble would
// advance.
func TestGzipEventsArriveWhenFlushed(t *testing.T) {
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
							t.Errorf("Accept-Encoding: got %q, want %q", got, accept)
						}
						w.Header().Set("Content-Encoding", "GZIP")
						if name == "twice" {
							w.Header().Add("Content-Encoding", "x-gzip")
						}
						w.Header().Set("Content-Type", "application/x-ndjson")
						w.(http.Flusher).Flush() // until the first event
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
							t.Errorf("event %d: got %q, want it to begin with %q", i, m.Data, prefix)
						}
						if got := time.Since(start); got != time.Duration(i+1)*40*time.Second {
							t.Errorf("event %d came after %v, want %v", i, got, time.Duration(i+1)*40*time.Second)
						}
					}
				})
			})
		}
	}
}

// Compressed bytes show that the peer is alive before they contain an event.
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
		{"not gzip after a member", append(bytes.Clone(whole), "upstream has gone away"...), 2, func(err error) bool {
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
				t.Errorf("got error %v, retryable %s, want another one", err, retryable(err))
			}
		})
	}
}

func unexpectedEOF(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF)
}

// MaxFrame applies after decompression.
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
		t.Errorf("got a body of %d bytes, %.20q, want 4096 that begin with why", len(e.Body), e.Body)
	}
}

// A sender that makes each flush a gzip member may send empty ones as heartbeats.
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
		t.Errorf("got %q, want 1", m.Data)
	}
}

// net/http does not add gzip to a request that offers no compression.
func TestNoAcceptEncoding(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		fmt.Fprintf(w, "%q\n", r.Header.Values("Accept-Encoding"))
	})
	conn := open(t, &transport.HTTP{URL: srv.URL, Header: http.Header{"Accept-Encoding": nil}}, "")
	if m := read(t, conn); string(m.Data) != "[]" {
		t.Errorf("Accept-Encoding: got %s, want none", m.Data)
	}
}

// inflate is a decoder of an encoding that is not built in.
func inflate(r io.Reader) (io.ReadCloser, error) { return flate.NewReader(r), nil }

func deflated(s string) []byte {
	var b bytes.Buffer
	zw, _ := flate.NewWriter(&b, flate.DefaultCompression)
	io.WriteString(zw, s)
	zw.Close()
	return b.Bytes()
}

// readsAhead is a decoder with its own goroutine, as some libraries have.
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

// Each event arrives as soon as the sender has flushed it, and the heartbeat is learned,
// whichever goroutine reads the body.
func TestDecodedEventsArriveWhenFlushed(t *testing.T) {
	ahead := &readsAhead{}
	for name, decoder := range map[string]func(io.Reader) (io.ReadCloser, error){"plain": inflate, "reads ahead": ahead.decode} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := inMemory(t, func(w http.ResponseWriter, r *http.Request) {
					if got := r.Header.Get("Accept-Encoding"); got != "gzip, aaa, deflate" {
						t.Errorf("Accept-Encoding: got %q, want gzip, aaa, deflate", got)
					}
					w.Header().Set("Content-Encoding", "Deflate")
					w.Header().Set("Content-Type", "application/x-ndjson")
					w.(http.Flusher).Flush() // until the first event
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
						t.Errorf("event %d: got %q after %v, want [%[1]d] after %[4]v", i, m.Data, got, time.Duration(i+1)*10*time.Second)
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
		t.Errorf("got %d decoders opened and %d closed, want 1 and 1", ahead.opened.Load(), ahead.closed.Load())
	}
}

// A decoder is closed once, also by a Close during a Read.
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
					t.Errorf("got %d decoders opened and %d closed, want 1 and 1", ahead.opened.Load(), ahead.closed.Load())
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
				t.Errorf("got error %v, want %v", err, tt.is)
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
		t.Errorf("got body %q and %d decoders closed, want out of order and 1", e.Body, ahead.closed.Load())
	}
}

// A small body that decompresses to a large one costs no memory: skipped data is not kept.
func TestDecoderBombTakesNoMemory(t *testing.T) {
	for name, plain := range map[string]string{
		"a large frame":   strings.Repeat("x", 4<<20),
		"many keepalives": strings.Repeat("\n", 1<<20),
	} {
		body := gzipped(plain, "\n1\n")
		if len(body) > len(plain)/500 {
			t.Fatalf("got a bomb of %d bytes, want few", len(body))
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
			t.Errorf("%s: got %q with %d bytes allocated, want 1 with at most %d", name, m.Data, used, 512<<10)
		}
	}
}

// unflushed serves as Express does with compression and without res.flush: data stays in the
// compressor. header reports whether the header is sent.
func unflushed(header bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			feed(w, "1\n")
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		if header {
			w.(http.Flusher).Flush()
		}
		fmt.Fprintln(gzip.NewWriter(w), "1")
		<-r.Context().Done()
	}
}

// offersOf returns a Prepare that records the codings offered.
func offersOf(all *[]string) func(*http.Request) error {
	return func(r *http.Request) error {
		*all = append(*all, r.Header.Get("Accept-Encoding"))
		return nil
	}
}

func TestCompressorThatIsNotFlushed(t *testing.T) {
	for name, header := range map[string]bool{"no header": false, "header": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var offers []string
				h := &transport.HTTP{URL: "http://feed.example", Client: inMemory(t, unflushed(header)), Prepare: offersOf(&offers)}
				conn, err := h.Open(t.Context(), "")
				if err == nil {
					_, err = readFrom(conn)
					conn.Close()
				}
				if e := want[*transport.TimeoutError](t, err); !strings.Contains(e.Error(), "may not flush its compressor") {
					t.Errorf("got error %v, want one about the compressor", e)
				}
				for range 2 {
					conn := open(t, h, "")
					if m := read(t, conn); string(m.Data) != "1" {
						t.Errorf("got %q, want 1", m.Data)
					}
					conn.Close()
				}
				if want := []string{"gzip", "identity", "identity"}; !slices.Equal(offers, want) {
					t.Errorf("got Accept-Encoding %q, want %q", offers, want)
				}
			})
		})
	}
}

// A silence that continues without compression has another reason, and so has one after the first
// message.
func TestSilenceWithoutCompressor(t *testing.T) {
	for name, tt := range map[string]struct {
		serve  http.HandlerFunc
		header http.Header
		want   []string
	}{
		"no header":      {func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil, []string{"gzip", "identity", "gzip", "identity"}},
		"not compressed": {steps("application/x-ndjson", nil), nil, []string{"gzip", "gzip", "gzip", "gzip"}},
		"after a message": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			feed(w, string(gzipped("1\n")))
			<-r.Context().Done()
		}, nil, []string{"gzip", "gzip", "gzip", "gzip"}},
		"the user's header": {func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			http.Header{"accept-encoding": {"gzip"}}, []string{"gzip", "gzip", "gzip", "gzip"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var offers []string
				h := &transport.HTTP{
					URL: "http://feed.example", Client: inMemory(t, tt.serve), Header: tt.header,
					HeaderTimeout: time.Second, Prepare: offersOf(&offers),
				}
				for i := range tt.want {
					conn, err := h.Open(t.Context(), "")
					for err == nil {
						_, err = readFrom(conn)
					}
					if conn != nil {
						conn.Close()
					}
					blamed := strings.Contains(err.Error(), "compressor")
					if want[*transport.TimeoutError](t, err); blamed != (name == "no header" && i%2 == 0) {
						t.Errorf("attempt %d: got %v, want the compressor named: %t", i, err, !blamed)
					}
				}
				if !slices.Equal(offers, tt.want) {
					t.Errorf("got Accept-Encoding %q, want %q", offers, tt.want)
				}
			})
		})
	}
}
