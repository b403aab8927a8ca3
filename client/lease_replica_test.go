package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/transport"
)

const replicaFolder = "STEADFEED_TEST_REPLICA"

// runReplica consumes under a lease, as a process of its own, and writes a line for each event.
func runReplica(dir string, loops bool) {
	feed := numberFeed{every: 20 * time.Millisecond}
	for {
		sub, err := client.Subscribe(context.Background(), feed, &client.Options{Name: "n", Store: client.FileStore(dir), Lease: time.Second})
		if err != nil {
			fmt.Println("Subscribe:", err)
			os.Exit(1)
		}
		if sub.Stats().State == client.StateStandby {
			fmt.Println("standby")
		}
		handle := func(_ context.Context, ev client.Event) error {
			fmt.Println("event", ev.Epoch(), string(ev.Data))
			return nil
		}
		if loops {
			for ev, failed := range sub.Events() {
				if err = failed; err == nil {
					handle(context.Background(), ev)
				}
			}
		} else {
			err = sub.Process(context.Background(), handle, nil)
		}
		fmt.Println("fenced:", errors.Is(err, client.ErrFenced))
		sub.Close()
	}
}

// numberFeed is a feed of numbers.
type numberFeed struct{ every time.Duration }

func (numberFeed) Validate() error { return nil }

func (c numberFeed) Open(ctx context.Context, token string) (*transport.Session, error) {
	last, _ := strconv.Atoi(token)
	return &transport.Session{Conn: &numberConn{c, last, ctx}, Resumes: true}, nil
}

type numberConn struct {
	numberFeed
	last int
	ctx  context.Context
}

func (c *numberConn) Read(m *transport.Message) error {
	select {
	case <-time.After(c.every):
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
	c.last++
	*m = transport.Message{Data: []byte(strconv.Itoa(c.last)), Token: strconv.Itoa(c.last)}
	return nil
}

func (c *numberConn) Close() error { return nil }
