package main

import "testing"

func BenchmarkDecode(b *testing.B) { bench(b, decoding()) }

func BenchmarkSubscribe(b *testing.B) { bench(b, subscribing(server(b))) }

func BenchmarkWebSocket(b *testing.B) { bench(b, sockets(server(b))) }

func bench(b *testing.B, all []contest) {
	for _, c := range all {
		for _, e := range c.entries {
			b.Run(c.name()+"/"+e.library, c.bench(e))
		}
	}
}
