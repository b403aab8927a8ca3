package record_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/mock/record"
	"github.com/steadfeed/steadfeed/transport"
)

// A recording is text that can be edited. Here it is played ten times as fast.
func ExampleReplay() {
	const recording = `steadfeed recording 1
1 0s open
1 120ms event id=1
	{"fruit":"apple"}
1 30ms event id=2
	two
	lines
1 0s eof
`
	script, err := record.Replay(strings.NewReader(recording), 10)
	if err != nil {
		fmt.Println(err)
		return
	}
	conn, _ := mock.NewFeed(script...).Open(context.Background(), "")
	defer conn.Close()
	for {
		var m transport.Message
		if err := conn.Read(&m); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: %q\n", m.ID, m.Data)
	}
	// Output:
	// 1: "{\"fruit\":\"apple\"}"
	// 2: "two\nlines"
	// EOF
}
