// Package mock has fake feeds for the unit tests of code that consumes feeds: they behave
// like the real ones, misbehave on command, and let days pass in milliseconds.
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
// # Feeds
//
// A [Feed] plays a script of steps: events and what is said between them, silence,
// breaks, refusals. It is a transport.Transport, for tests without a wire, and it serves
// HTTP ([Feed.SSE], [Feed.NDJSON], [Feed.ConcatJSON], [Feed.JSONSeq], [Feed.LengthPrefixed])
// and WebSockets ([Feed.WebSocket]), for tests with one. The script tells the same
// story on each. The feed remembers which events it has played and resumes from the
// token of whoever comes back; it records every attempt to connect, and can limit how far
// back a token may reach, who may connect and how many at once.
//
// # Wires
//
// A [Server] is net/http on a [Network] in memory, with TLS and HTTP/2. It answers under
// every host name, so that the code under test keeps its URLs:
//
//	srv := mock.NewServer(feed.SSE())
//	defer srv.Close()
//	source := &transport.HTTP{URL: "https://api.example.com/stream", Client: srv.Client()}
//
// [Network.Delay] gives the wires latency and a bandwidth, [Network.Cut] makes them half-open,
// [Network.Reset] breaks them. The handlers of a feed work just as well with
// net/http/httptest on a real network.
//
// # Webhooks
//
// A [Sender] posts a script, or single deliveries, to a receiver as a provider of package
// transport/provider would: signed, repeated on the provider's schedule, forged, late.
//
// # Recordings
//
// A [Recorder] writes what a real feed brings to a text file, without secrets, and [Replay]
// makes a script of it: at the speed of the recording, faster, or without any silence.
// [Stream] makes a raw connection, or the body of a response, something to record.
//
// # Verification
//
// [Seen] collects what the consumer was given, and [Feed.Verify] says what of it is
// missing, repeated, out of order or made up, in a report that shows the places.
//
// # Exploration
//
// [Explore] plays random schedules of faults against a scenario, and reports the first one
// with which it fails, brought down to the faults that it needs:
//
//	func TestMyConsumerLosesNothing(t *testing.T) {
//		bubble := func(f func()) { synctest.Test(t, func(*testing.T) { f() }) }
//		mock.Explore(t, mock.Exploration{Bubble: bubble}, func(trial *mock.Trial) {
//			for ctx := range trial.Lives() { // each is a process; the schedule kills some
//				if done := myConsumer(ctx, trial.Feed, trial.Store, trial.Seen); done {
//					break
//				}
//			}
//			trial.Feed.Verify(trial, trial.Seen, mock.AtLeastOnce|mock.InOrder)
//		})
//	}
//
// # Stores
//
// A [Store] keeps checkpoints in memory. A [Fault] makes its calls fail, take long, read
// what is out of date, or fail although they took effect.
//
// # Goroutines
//
// Feeds, stores and networks start none. Those of a Server are joined by its Close, which
// also names the handlers and connections that are left.
//
// # Bubbles
//
// Everything here works inside a bubble of [testing/synctest] and outside. Inside, time
// passes as soon as every goroutine of the bubble waits. Pitfalls of bubbles:
//
//   - Make a Network or a Server in the bubble that uses it, and close it there. Feeds,
//     stores and faults may be made outside, if only one bubble uses them.
//   - A real socket stops the clock: waiting for it does not let time pass. Use a Server
//     instead of net/http/httptest.Server, and [Server.Client] instead of
//     http.DefaultClient. The same holds for a child process and for a file that blocks.
//   - A lock that is held while its holder waits for time to pass hangs the test as soon as
//     another goroutine wants it: waiting for a sync.Mutex, sync.Once or sync.OnceValue does
//     not let time pass either. A channel of one element, or sync.Cond, does.
//   - A timer of zero or less, such as time.AfterFunc(0, f), time.After(0) or a computed
//     delay that is already over, can crash Go 1.26 under the race detector. Call f at once,
//     or wait a nanosecond.
//   - A loop that reconnects without any delay runs without end at one instant.
//   - Use the Context of the inner testing.T. One that is made outside and ends inside,
//     or the other way round, is an error or a hang. It ends just before Cleanup functions run.
//   - Before the function of the bubble returns, all its goroutines must have ended; the
//     test panics otherwise. Close the subscription first, then response bodies, then the
//     Server. A library that keeps a goroutine for the whole process, or starts one at its
//     first use, must do so outside.
//   - HTTP/2 works between a Server and its Client. An http.Transport, and with it each pool
//     of connections, belongs to one bubble: http.DefaultTransport belongs to none.
//   - A response body that is closed is read for 50 ms more by Go 1.27, before the server
//     notices. End the request's context first to leave at once, as transport.HTTP does.
//   - t.Run and t.Parallel panic inside. Loop over a table outside, with a bubble for each
//     of its entries.
//   - The clock starts at midnight UTC on 2000-01-01, when recorded timestamps lie in the
//     future and most certificates are not yet valid; those of a Server are. Sign with
//     time.Now, or first sleep until the time of the recording, which takes no time.
//   - A UNIX time made from that clock is 946684800 and a little more. Code that recognises
//     a point in time by its size, often 1,000,000,000 or more, takes it for a duration, in a
//     header like X-RateLimit-Reset. A recorded UNIX time there means a wait of 25 years.
//   - http.Client.Timeout and http.Server.WriteTimeout cut a stream, also in a bubble.
//   - Delays between attempts are exact where nothing is random: a retry policy with
//     jitter has to be given none.
//   - After a handler has hijacked its connection, the context of its request ends only
//     with [Server.Close], not when the peer goes away.
//   - goleak belongs into TestMain. In a bubble it sees goroutines of synctest's own; the
//     bubble is the stricter test anyway.
package mock
