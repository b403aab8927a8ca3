module github.com/steadfeed/steadfeed/transport/webhook/jwt

go 1.26.0

require (
	github.com/go-jose/go-jose/v4 v4.1.9
	github.com/steadfeed/steadfeed v0.0.0
	go.uber.org/goleak v1.3.0
)

require (
	github.com/cenkalti/backoff/v4 v4.3.0 // indirect
	github.com/coder/websocket v1.8.15 // indirect
	github.com/tidwall/gjson v1.20.1 // indirect
	github.com/tidwall/match v1.1.1 // indirect
	github.com/tidwall/pretty v1.2.0 // indirect
)

replace github.com/steadfeed/steadfeed => ../../..
