// Package transporttest verifies that a transport.Transport or a transport.Receiver keeps its
// contract. Those of this module pass the same suite.
//
//	func TestTransport(t *testing.T) {
//		transporttest.Run(t, func(t testing.TB, s transporttest.Script) transport.Transport {
//			peer := startPeer(t, s.Events, s.Ending) // and t.Cleanup(peer.Close)
//			return &mine.Transport{Addr: peer.Addr()}
//		})
//	}
//
// # Peers
//
// A check needs the other side of the connection to play a [Script]. The function passed to Run
// starts a peer that plays it, and returns a Transport that connects to this peer. If a kind of
// feed cannot play a script, for example because it has no position to resume from, the
// function returns nil and the check is skipped. A skipped check is a promise that is not kept:
// the documentation of the transport should state it.
//
// Package mock has feeds and a network that make a peer for HTTP in a few lines.
//
// # Receivers
//
// [RunReceiver] and [RunReceiverInBubble] need a [Push]: the Receiver, and a function that sends
// to it as its sender does.
//
//	func TestReceiver(t *testing.T) {
//		transporttest.RunReceiver(t, func(t testing.TB) transporttest.Push {
//			r := &mine.Receiver{Secret: secret}
//			return transporttest.Push{Receiver: r, Send: func(ctx context.Context, events ...transporttest.Event) bool {
//				return post(ctx, r, events) == http.StatusNoContent
//			}}
//		})
//	}
//
// # Time
//
// [Run] uses the real clock and works with any network. [RunInBubble] runs each check in a
// bubble of testing/synctest, where seconds take no time and are exact; everything that the
// function starts must be in memory.
//
// # Goroutines
//
// A check fails if a goroutine that descends from a call of the Transport or its Conn still
// runs after the Conn was closed and the peer has stopped. Connection pools that the caller
// creates belong to the peer and are closed with it.
package transporttest
