package mock_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

// A feed without a wire breaks, refuses and resumes like a real one.
func ExampleFeed() {
	ctx := context.Background()
	feed := mock.NewFeed(
		mock.Event("1", "a"), mock.Event("2", "b"), mock.Drop(),
		mock.Status(503, http.Header{"Retry-After": {"5"}}),
		mock.Event("3", "c"), mock.Complete(),
	)
	for token := ""; ; {
		conn, err := feed.Open(ctx, token)
		for err == nil {
			var m transport.Message
			if err = conn.Read(&m); err == nil {
				fmt.Printf("%s: %s\n", m.ID, m.Data)
				token = m.Token
			}
		}
		fmt.Println(err)
		if conn != nil {
			conn.Close()
		}
		if err == transport.ErrComplete {
			break
		}
	}
	for _, a := range feed.Attempts() {
		fmt.Printf("attempt with token %q\n", a.Token)
	}
	// Output:
	// 1: a
	// 2: b
	// mock: connection dropped: unexpected EOF
	// transport: mock://feed: status 503 Service Unavailable
	// 3: c
	// transport: feed is complete
	// attempt with token ""
	// attempt with token "2"
	// attempt with token "2"
}

// The same over HTTP. The server answers under every name.
func ExampleFeed_Handler() {
	feed := mock.NewFeed(mock.Event("1", "a"), mock.Keepalive(), mock.Event("2", "b\nc"), mock.End())
	srv := mock.NewServer(feed.Handler(decode.SSE{}))
	defer srv.Close()

	resp, err := srv.Client().Get("https://api.example.com/stream")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Proto, resp.Status, resp.Header.Get("Content-Type"))
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		fmt.Println(lines.Text())
	}
	// Output:
	// HTTP/2.0 200 OK text/event-stream
	// id: 1
	// data: a
	//
	// :
	// id: 2
	// data: b
	// data: c
}

// A write that took effect although it was reported as failed: a caller that repeats it conflicts
// with itself.
func ExampleStore_OnSave() {
	ctx := context.Background()
	store := new(mock.Store)
	store.OnSave(&mock.Fault{Applied: true, Err: errors.New("connection lost")})

	_, err := store.Save(ctx, "orders", []byte("token 7"), "")
	fmt.Println(err)
	_, err = store.Save(ctx, "orders", []byte("token 7"), "")
	fmt.Println(err)
	data, version, _ := store.Load(ctx, "orders")
	fmt.Printf("%s, version %s\n", data, version)
	// Output:
	// connection lost
	// mock: record "orders" has version "1", not ""
	// token 7, version 1
}

// A connection that breaks inside an event: the consumer reads the beginning, and the whole event
// when it resumes.
func ExamplePartial() {
	feed := mock.NewFeed(mock.Event("1", "a"), mock.Partial(mock.Event("2", "b"), -3), mock.End())
	srv := mock.NewServer(feed.Handler(decode.LengthPrefixed))
	defer srv.Close()
	for _, query := range []string{"", "?since=1"} {
		resp, err := srv.Client().Get("https://api.example.com/stream" + query)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Printf("%q, broken: %v\n", body, err != nil)
	}
	// Output:
	// "23\r\n{\"id\":\"1\",\"data\":\"a\"}\r\n23\r\n{\"id\":\"2\",\"data\":\"b\"", broken: true
	// "23\r\n{\"id\":\"2\",\"data\":\"b\"}\r\n", broken: false
}

// The attempts show the credentials of each connection. The delay before an attempt is its At
// minus the Ended of the one before.
func ExampleFeed_Attempts() {
	feed := mock.NewFeed(mock.Event("1", "a"), mock.End())
	feed.Authorize = func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer fresh" }
	srv := mock.NewServer(feed.Handler(decode.SSE{}))
	defer srv.Close()
	for _, token := range []string{"stale", "fresh"} {
		req, _ := http.NewRequest(http.MethodGet, srv.URL, nil)
		req.Header.Set("Authorization", "Bearer "+token)
		if resp, err := srv.Client().Do(req); err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
	for _, a := range feed.Attempts() {
		fmt.Println(a.Header.Get("Authorization"), "-", a.Err)
	}
	// Output:
	// Bearer stale - transport: mock://feed: status 401 Unauthorized
	// Bearer fresh - EOF
}
