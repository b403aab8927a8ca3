package mock_test

import (
	"fmt"
	"io"
	"net/http"

	"github.com/steadfeed/steadfeed/mock"
)

// A connection that breaks inside an event: the consumer reads the beginning, and gets all
// of it when it resumes.
func ExamplePartial() {
	feed := mock.NewFeed(mock.Event("1", "a"), mock.Partial(mock.Event("2", "b"), -3), mock.End())
	srv := mock.NewServer(feed.LengthPrefixed())
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

// What the attempts tell: the credentials of each, and that none came too many. The delay
// before one is its At minus the Ended of the one before it.
func ExampleFeed_Attempts() {
	feed := mock.NewFeed(mock.Event("1", "a"), mock.End())
	feed.MaxConns = 1
	feed.Authorize = func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer fresh" }
	srv := mock.NewServer(feed.SSE())
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
	fmt.Println("at once:", feed.Peak())
	// Output:
	// Bearer stale - transport: mock://feed: status 401 Unauthorized
	// Bearer fresh - EOF
	// at once: 1
}
