// Package channel shares one WebSocket between channels, for servers that are asked for each
// channel by a message: exchanges, GraphQL, Centrifugo, Phoenix. Each channel is a
// [transport.Transport] of its own, and can be opened and closed while others are in use:
//
//	mux := &channel.Mux{Socket: &transport.WebSocket{URL: url}, Subscribe: ..., Unsubscribe: ..., OnMessage: ...}
//	sub, err := client.Subscribe(ctx, mux.Channel("trades.BTC-USD"), opts)
package channel
