package main

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	"github.com/lxzan/gws"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

// socketSizes are the sizes of the messages, in bytes.
var socketSizes = []int{120, 512, 4096, 65536}

// sockets returns the contests over WebSockets. "coder Reader" is the minimum with the library
// under steadfeed: no context, and one buffer for all messages.
func sockets(server string) (all []reading) {
	address := func(size, n int) string {
		return fmt.Sprintf("ws%s/ws/%d?n=%d", strings.TrimPrefix(server, "http"), size, n)
	}
	for _, size := range socketSizes {
		at := func(read func(string, *tally) error) func(int, *tally) error {
			return func(n int, t *tally) error { return read(address(size, n), t) }
		}
		all = append(all, reading{"Subscribe WebSocket", size, socketFeed(size).wire(), []rival{
			{"steadfeed", at(subscribeSocket)},
			{"coder Reader", at(readCoder)},
			{"coder Read", at(readCoderOwned)},
			{"gorilla", at(readGorilla)},
			{"gws", at(readGWS)},
			{"floor", at(func(url string, t *tally) error { return getFrames(floorOf(splitFrame), url, t) })},
			{"floor, passed on", at(func(url string, t *tally) error { return getFrames(passedOn(splitFrame), url, t) })},
		}})
	}
	return all
}

// socketFeed returns a stream of unmasked frames (RFC 6455, section 5.2), one per message.
func socketFeed(size int) *feed {
	return newFeed(size, func(_ int, payload string) string {
		return string(frameHeader(len(payload))) + payload
	})
}

func frameHeader(n int) []byte {
	const finText = 0x81
	switch {
	case n < 126:
		return []byte{finText, byte(n)}
	case n < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{finText, 126}, uint16(n))
	}
	return binary.BigEndian.AppendUint64([]byte{finText, 127}, uint64(n))
}

// A socket serves a feed like a stream does, and closes with 1000.
type socket struct{ feed *feed }

func (s socket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	key := r.Header.Get("Sec-WebSocket-Key")
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept(key))
	io.CopyBuffer(struct{ io.Writer }{conn}, s.feed.stream(n), make([]byte, 64<<10))
	conn.Write([]byte{0x88, 2, 1000 >> 8, 1000 & 0xff})
	io.Copy(io.Discard, conn)
}

// accept returns the answer to a handshake's key (RFC 6455, section 4.2.2).
func accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func subscribeSocket(url string, t *tally) error {
	sub, err := client.Subscribe(context.Background(), &transport.WebSocket{URL: url, End: transport.EndFeed}, nil)
	if err != nil {
		return err
	}
	for ev, err := range sub.Events() {
		if err != nil {
			return errors.Join(err, sub.Close())
		}
		count(t, ev.Data)
	}
	return sub.Close()
}

func dialCoder(url string) (*coder.Conn, error) {
	conn, _, err := coder.Dial(context.Background(), url, nil)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(maxEvent)
	return conn, nil
}

func readCoder(url string, t *tally) error {
	conn, err := dialCoder(url)
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	buf := make([]byte, maxEvent)
	for {
		_, r, err := conn.Reader(context.Background())
		if err != nil {
			return coderEnd(err)
		}
		n, err := io.ReadFull(r, buf)
		if err != io.ErrUnexpectedEOF && err != io.EOF {
			return fmt.Errorf("a message larger than the buffer: %w", err)
		}
		count(t, buf[:n])
	}
}

// readCoderOwned reads as the library's documentation shows, with a context that can be
// canceled.
func readCoderOwned(url string, t *tally) error {
	conn, err := dialCoder(url)
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		_, data, err := conn.Read(ctx)
		if err != nil {
			return coderEnd(err)
		}
		count(t, data)
	}
}

func coderEnd(err error) error {
	if coder.CloseStatus(err) == coder.StatusNormalClosure {
		return nil
	}
	return err
}

func readGorilla(url string, t *tally) error {
	conn, resp, err := gorilla.DefaultDialer.Dial(url, nil)
	if err != nil {
		return err
	}
	resp.Body.Close()
	defer conn.Close()
	for {
		_, data, err := conn.ReadMessage()
		if gorilla.IsCloseError(err, gorilla.CloseNormalClosure) {
			return nil
		}
		if err != nil {
			return err
		}
		count(t, data)
	}
}

func readGWS(url string, t *tally) error {
	h := &gwsHandler{t: t}
	conn, _, err := gws.NewClient(h, &gws.ClientOption{Addr: url, ReadMaxPayloadSize: maxEvent})
	if err != nil {
		return err
	}
	conn.ReadLoop()
	var closed *gws.CloseError
	if errors.As(h.err, &closed) && closed.Code == 1000 {
		return nil
	}
	return h.err
}

type gwsHandler struct {
	gws.BuiltinEventHandler
	t   *tally
	err error
}

func (h *gwsHandler) OnMessage(_ *gws.Conn, m *gws.Message) {
	count(h.t, m.Bytes())
	m.Close()
}

func (h *gwsHandler) OnClose(_ *gws.Conn, err error) { h.err = err }
