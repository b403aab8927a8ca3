// Package mock provides fake feeds for unit tests of code that consumes feeds. They behave like
// real feeds, fail on command, and let days pass in milliseconds.
//
//	func TestMyConsumer(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			feed := mock.NewFeed(
//				mock.Event("1", "hello"), mock.Drop(), mock.Status(503), mock.Pause(24*time.Hour),
//				mock.Event("2", "world"), mock.Complete(),
//			)
//			got, err := myConsumer(t.Context(), feed) // it calls client.Subscribe with the feed
//			if err != nil || !slices.Equal(got, []string{"hello", "world"}) {
//				t.Errorf("got %q, %v", got, err)
//			}
//		})
//	}
//
// # Packages
//
//   - mock has the feeds, and the network, the servers and the store that they are tested with.
//   - [mock/sender] posts webhooks as their providers do: signed, and repeated.
//   - [mock/record] records a real feed, and makes a script of the recording.
//   - [mock/explore] searches for a schedule of faults that makes a consumer lose something.
//
// # Feeds
//
// A [Feed] plays a script of steps: events, keepalives, silence, broken connections, refused
// attempts. It is a transport.Transport, for tests without a wire. Its handlers serve the same
// script over HTTP ([Feed.Handler]) and over WebSockets ([Feed.WebSocket]), for tests with one.
// The feed keeps a log of the events it has played, and resumes from the token of a consumer that
// reconnects. It records every attempt to connect. It can limit how far back a token may reach,
// which requests are authorized, and how many connections are open at once.
//
// # Wires
//
// A [Server] is net/http's server on an in-memory [Network], with TLS and HTTP/2. It answers
// under every host name, so that the code under test keeps its URLs:
//
//	srv := mock.NewServer(feed.Handler(decode.SSE{}))
//	defer srv.Close()
//	source := &transport.HTTP{URL: "https://api.example.com/stream", Client: srv.Client()}
//
// A [Network] has a latency and a bandwidth, and [Network.Cut] makes its connections half-open. The
// handlers of a feed also work with net/http/httptest on a real network.
//
// # Verification
//
// [Observed] collects what the consumer received. [Feed.Verify] reports which events are missing,
// repeated, out of order or were never sent, and shows where.
//
// # Stores
//
// A [Store] keeps checkpoints in memory. A [Fault] makes its calls fail, take long, return
// stale data, or fail although they took effect.
//
// # Goroutines
//
// Feeds, stores and networks start no goroutine, except the handler of [Feed.WebSocket], which
// joins its goroutines before it returns. [Server.Close] joins the goroutines of a Server, and
// its error names the handlers and connections that are left.
//
// # Bubbles
//
// Everything in this package works both inside a bubble of [testing/synctest] and outside.
// Inside, time advances as soon as every goroutine of the bubble is blocked. Pitfalls:
//
//   - Create a Network or a Server in the bubble that uses it, and close it there. Feeds,
//     stores and faults may be created outside, if only one bubble uses them.
//   - Waiting for a real socket stops the clock of the bubble. Use a Server instead of
//     net/http/httptest.Server, and [Server.Client] instead of http.DefaultClient. The same
//     applies to a child process and to a file that blocks.
//   - A lock that is held while its holder waits for time to pass hangs the test as soon as
//     another goroutine wants it: time does not advance while a goroutine waits for a
//     sync.Mutex, sync.Once or sync.OnceValue. It does for a channel of capacity one and for
//     sync.Cond.
//   - A timer of zero or less, such as time.AfterFunc(0, f), time.After(0) or a computed delay
//     that has already passed, can crash Go 1.26 under the race detector. Call f directly, or
//     wait a nanosecond.
//   - A loop that reconnects without a delay runs forever at one instant.
//   - Use the Context of the inner testing.T. A context that is created outside and canceled
//     inside, or the reverse, causes an error or a hang. The inner one is canceled just before
//     Cleanup functions run.
//   - All goroutines of the bubble must end before its function returns; the test panics
//     otherwise. Close the subscription first, then response bodies, then the Server. A library
//     that keeps a goroutine for the whole process, or starts one at its first use, must do so
//     outside.
//   - HTTP/2 works between a Server and its Client. An http.Transport, like every connection
//     pool, belongs to one bubble; http.DefaultTransport belongs to none.
//   - Go 1.27 reads a closed response body for 50 ms more, before the server notices the close.
//     Cancel the request's context first to disconnect at once, as transport.HTTP does.
//   - t.Run and t.Parallel panic inside. Loop over a table outside, with one bubble per entry.
//   - The clock starts at midnight UTC on 2000-01-01. Recorded timestamps are in the future
//     then, and most certificates are not yet valid; those of a Server are. Sign with time.Now,
//     or sleep until the time of the recording first, which takes no real time.
//   - A UNIX time of that clock is 946684800 and a little more. Code that distinguishes a point in
//     time from a duration by its size, often at 1,000,000,000, takes it for a duration, for
//     example in an X-RateLimit-Reset header. A recorded UNIX time there means a wait of 25 years.
//   - http.Client.Timeout and http.Server.WriteTimeout cut off a stream, in a bubble too.
//   - Delays between attempts are exact only without randomness: give the retry policy no
//     jitter.
//   - After a handler has hijacked its connection, the context of its request ends only with
//     [Server.Close], not when the peer disconnects.
//   - Call goleak in TestMain. In a bubble it reports goroutines of synctest itself; the bubble
//     is the stricter test anyway.
//
// [mock/sender]: https://pkg.go.dev/github.com/steadfeed/steadfeed/mock/sender
// [mock/record]: https://pkg.go.dev/github.com/steadfeed/steadfeed/mock/record
// [mock/explore]: https://pkg.go.dev/github.com/steadfeed/steadfeed/mock/explore
package mock
