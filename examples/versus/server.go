package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// serverEnv makes this program the server. It is a separate process, so that its work does not
// count as that of the libraries.
const serverEnv = "STEADFEED_VERSUS_SERVER"

// startServer starts this program again as the server and returns its URL.
func startServer() (url string, stop func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), serverEnv+"=1")
	cmd.Stderr = os.Stderr
	life, err := cmd.StdinPipe() // its end stops the server, even if this process is killed
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() error { return errors.Join(life.Close(), cmd.Wait()) }
	url, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("starting the server: %w", err), stop())
	}
	return strings.TrimSpace(url), stop, nil
}

// serve runs the server process.
func serve(stdin io.Reader, stdout io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "http://%s\n", l.Addr())
	go func() {
		io.Copy(io.Discard, stdin)
		l.Close()
	}()
	mux := http.NewServeMux()
	for _, size := range sizes {
		mux.Handle("/sse/"+strconv.Itoa(size), stream{sseFeed(size), "text/event-stream"})
		mux.Handle("/ndjson/"+strconv.Itoa(size), stream{ndjsonFeed(size), "application/x-ndjson"})
	}
	mux.HandleFunc("/hold", holdSocket)
	var dropped dropper
	mux.HandleFunc("/dropped", dropped.hold)
	mux.HandleFunc("/drop", dropped.drop)
	mux.HandleFunc("/quiet", quiet)
	mux.HandleFunc("/plain/{wire}/{size}", servePlain)
	hookRoutes(mux)
	for _, size := range socketSizes {
		mux.Handle("/ws/"+strconv.Itoa(size), socket{socketFeed(size)})
	}
	if err := http.Serve(l, mux); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// A stream serves a feed as fast as it is read. The query parameter n is the number of events.
type stream struct {
	feed        *feed
	contentType string
}

func (s stream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", s.contentType)
	io.CopyBuffer(struct{ io.Writer }{w}, s.feed.stream(n), make([]byte, 32<<10))
}
