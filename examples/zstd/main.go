// Command zstd subscribes to a feed that is compressed with zstd. Compared with any other feed,
// it takes one more line. The program's own server compresses the events and flushes each; the
// time before each event shows that none is held back.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

func main() {
	srv := httptest.NewServer(feed(5, 300*time.Millisecond))
	defer srv.Close()
	if err := run(context.Background(), os.Stdout, srv.URL, srv.Client()); err != nil {
		log.Fatal(err)
	}
}

// unzstd decompresses zstd. RFC 9659 lets a content encoding use a window of 8 MiB; without
// a limit the sender would choose how much memory the decoder takes.
func unzstd(r io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

func run(ctx context.Context, out io.Writer, url string, c *http.Client) error {
	start := time.Now()
	sub, err := client.Subscribe(ctx, &transport.HTTP{
		URL:      url,
		Client:   c,
		End:      transport.EndFeed,
		Decoders: map[string]func(io.Reader) (io.ReadCloser, error){"zstd": unzstd},
	}, nil)
	if err != nil {
		return err
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%5.1f s  %s\n", time.Since(start).Seconds(), ev.Data)
	}
	return nil
}

// feed sends n events, one after each pause, in a single zstd frame that is flushed after each.
func feed(n int, pause time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.Header().Set("Content-Encoding", "zstd")
		w.(http.Flusher).Flush() // send the header before the first event
		zw, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
		if err != nil {
			panic(err)
		}
		defer zw.Close()
		for i := range n {
			time.Sleep(pause)
			fmt.Fprintf(zw, "{\"event\":%d,\"accepted\":%q}\n", i, r.Header.Get("Accept-Encoding"))
			zw.Flush()
			w.(http.Flusher).Flush()
		}
	}
}
