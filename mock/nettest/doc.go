// Package nettest holds the test that mock.Network has in common with every net.Conn:
// golang.org/x/net/nettest. It is a module of its own, so that x/net stays out of the
// requirements of steadfeed.
package nettest
