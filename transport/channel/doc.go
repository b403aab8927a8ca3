// Package channel shares one WebSocket between channels, for servers that are asked for each
// channel by a message: exchanges, GraphQL, Centrifugo, Phoenix. Each channel is a
// [transport.Transport] of its own, which is opened and closed while others are in use:
//
//	mux := &channel.Mux{Socket: &transport.WebSocket{URL: url}, Subscribe: ..., Unsubscribe: ..., OnMessage: ...}
//	trades, err := client.Subscribe(ctx, mux.Channel("trades.BTC-USD"), opts)
//	orders, err := client.Subscribe(ctx, mux.Channel("orders"), otherOpts)
//
// So a channel has what every subscription has: a loop of events, a buffer, acknowledgements, a
// checkpoint, a Backfill, a retry policy, an end. The functions of a [Mux] describe the protocol. The
// program in examples/channels has those of an exchange, the example of Mux those of
// graphql-transport-ws, and the program in examples/centrifugo those of Centrifugo.
//
// # Delivery
//
// The events of a channel are delivered in the order in which the server sends them, those before
// the acknowledgement too. After the connection is lost, each channel is subscribed to again, with
// the position after its last event. It is up to the protocol to present it, and to deliver a Gap if
// the server has not resumed there. A channel whose events have no positions has a Gap after each
// interruption, as with any transport.
//
// A channel that is not read in time is ended alone: once its buffer is full, the socket is not
// read for at most 100 ms in all until the reader has caught up, and then the server is asked to
// end the channel. What was received is still read, then an [*Error] with the Op overflow, and then
// the channel is subscribed to again. So a slow consumer does not stop the others, nothing is lost
// if the channel has positions, and otherwise there is a Gap. All slow channels together may keep the
// socket from being read for a second, and then for a tenth of the time; after that, each has 1 ms.
//
// A channel that was removed may still have messages in flight. They are dropped. One of the same
// name that is opened meanwhile waits until the server has acknowledged the end of the first one,
// so that it does not get them. If the server does not within AckTimeout, it drops what arrives
// before its own acknowledgement, and the next event has a Gap if that was an event.
//
// # The connection
//
// The first channel opens the connection and the last one closes it. Requests that become due within
// 20 ms are sent together, up to [Mux.Batch]. Set credentials of the connection in Prepare or
// OnConnect of the Socket, those of a channel in [Mux.Prepare]; both are called on each attempt.
//
// There is one schedule of attempts to connect, that of [Mux.Retry], however many channels wait: a
// channel that comes too early waits in Open. A Retry-After of the server applies to all of them. Each
// subscription counts and reports the failures on its own.
//
// A handover ([transport.WebSocket.Overlap]) is not supported: a connection that announces its end
// is replaced, and the channels are subscribed to again.
//
// # Checkpoints
//
// Each channel has its own record in the Store, under the Name of its subscription. A common record
// for all of them would let one channel fence all others, and an event that is not acknowledged in
// one would hold up the positions of all.
//
// # Errors
//
// What concerns one channel is an [*Error]: a refusal, a missing acknowledgement, an end by the
// server. An error of the connection is returned by all channels as it is.
//
// # Goroutines
//
// A Mux has one goroutine while its connection is open or being opened, which reads, and one while it
// sends requests. Close of the last channel joins them. A channel has none of its own.
package channel
