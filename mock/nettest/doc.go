// Package nettest runs golang.org/x/net/nettest, the common test of every net.Conn, against
// mock.Network. It is a separate module, so that steadfeed does not require x/net.
package nettest
