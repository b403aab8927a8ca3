package main

import "testing"

func BenchmarkDecode(b *testing.B) { bench(b, decoding()) }

func BenchmarkSubscribe(b *testing.B) { bench(b, subscribing(server(b))) }

func BenchmarkWebSocket(b *testing.B) { bench(b, sockets(server(b))) }

func bench(b *testing.B, all []reading) {
	for _, c := range all {
		for _, r := range c.rivals {
			b.Run(c.name()+"/"+r.library, c.bench(r))
		}
	}
}
