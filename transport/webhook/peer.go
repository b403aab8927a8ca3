package webhook

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// peer returns the address of the sender of r. Entries of ProxyHeader count from the right, as long
// as trusted proxies have written them: what is left of them, the sender may have written.
func (w *Receiver) peer(r *http.Request) netip.Addr {
	remote, ok := parseNode(r.RemoteAddr)
	if len(w.Proxies) == 0 || ok && !w.isProxy(remote) { // an address of a Unix socket is no IP address
		return remote
	}
	peer := remote
	lines := r.Header[http.CanonicalHeaderKey(cmp.Or(w.ProxyHeader, defaultProxyHeader))]
	for _, line := range slices.Backward(lines) {
		for more := true; more; {
			var entry string
			line, entry, more = cutLast(line, ',')
			peer, ok = w.node(entry)
			if !ok || !w.isProxy(peer) {
				return peer
			}
		}
	}
	return peer
}

const (
	defaultProxyHeader = "X-Forwarded-For"
	forwarded          = "Forwarded"
)

// cutLast slices s around the last sep. Without sep, all of s is after it.
func cutLast(s string, sep byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return "", s, false
}

func (w *Receiver) isProxy(a netip.Addr) bool {
	return slices.ContainsFunc(w.Proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// node returns the address in an entry of ProxyHeader, or the zero Addr and false.
func (w *Receiver) node(entry string) (netip.Addr, bool) {
	if !strings.EqualFold(w.ProxyHeader, forwarded) {
		return parseNode(strings.Trim(entry, " \t"))
	}
	for pair := range strings.SplitSeq(entry, ";") { // RFC 7239, section 4
		name, value, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
		if strings.EqualFold(name, "for") {
			return parseNode(strings.Trim(value, `"`))
		}
	}
	return netip.Addr{}, false
}

// parseNode parses an IP address, with or without port and brackets.
func parseNode(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		var withPort netip.AddrPort
		withPort, err = netip.ParseAddrPort(s)
		a = withPort.Addr()
	}
	return a.WithZone("").Unmap(), err == nil
}

func (w *Receiver) validateProxies(bad func(field, format string, args ...any)) {
	for i, p := range w.Proxies {
		switch {
		case !p.IsValid():
			bad("Proxies", "element %d is not a network", i)
		case p.Bits() == 0:
			bad("Proxies", "element %d has every address: any sender could claim to be another", i)
		case p.Addr().Is4In6():
			bad("Proxies", "element %d is an IPv4 network in IPv6: write it as IPv4", i)
		}
	}
	if w.ProxyHeader != "" && len(w.Proxies) == 0 {
		bad("ProxyHeader", "requires Proxies")
	}
}
