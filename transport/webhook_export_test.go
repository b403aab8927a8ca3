package transport

import "net"

// LimitListener is what bounds the connections of a Webhook's own listener.
func LimitListener(l net.Listener, most int) net.Listener { return newLimitedListener(l, most) }
