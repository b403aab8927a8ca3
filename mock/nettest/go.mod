module github.com/steadfeed/steadfeed/mock/nettest

go 1.25.0

require (
	github.com/steadfeed/steadfeed v0.0.0
	golang.org/x/net v0.47.0
)

replace github.com/steadfeed/steadfeed => ../..
