// Package transporttest checks that a transport.Transport keeps its contract, for those
// who write one: it is the suite that the transports of this module pass.
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
// A check needs a [Script] to be played by the other side of the connection. The function
// that is given to Run starts a peer that plays it, and returns a Transport that connects
// to it. Where a kind of feed has nothing like what the script asks for, such as a
// position to resume from, the function returns nil and the check is skipped: a skipped
// check is a promise that is not kept, and the documentation of the transport should say
// so.
//
// package mock has feeds and a network from which a peer for HTTP is made in a few lines.
//
// # Time
//
// [Run] uses the real clock and goes with any network. [RunInBubble] runs each check in a
// bubble of testing/synctest, where seconds take no time and are exact; everything that
// the function starts has to be in memory.
//
// # Goroutines
//
// A goroutine counts as left behind if it descends from a call of the Transport or its
// Conn and lives on after the Conn was closed and the peer has stopped. Pools of
// connections that the caller has made belong to the peer, and are closed with it.
package transporttest
