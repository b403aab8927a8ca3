package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// A bot reads messages.
type bot struct {
	url         string
	credentials string
	client      *http.Client
	diary       *diary

	mu sync.Mutex
	at position // of the current connection; heartbeats carry it
}

// feed returns Discord's gateway as a transport. A session allows one connection at a time, so
// Overlap cannot be used.
func (b *bot) feed() *transport.WebSocket {
	return &transport.WebSocket{
		URL:        b.url + "/?v=10&encoding=json",
		Client:     b.client,
		Resume:     resumeURL,
		OnConnect:  b.onConnect,
		OnMessage:  b.onMessage,
		CloseRules: transport.DiscordCloseRules(),
		CloseCode:  4000, // on 1000 and 1001 the gateway forgets the session
		SendRate:   transport.Rate{N: 120, Per: time.Minute},
	}
}

func (b *bot) options(dir string) *client.Options {
	return &client.Options{
		Name:  "bot",
		Store: client.FileStore(dir),
		Retry: retry.Constant(50 * time.Millisecond), // for the example; omit it
		Trace: b.diary.trace(),
	}
}

// work records messages until one has the text until.
func (b *bot) work(ctx context.Context, dir, until string) error {
	sub, err := client.Subscribe(ctx, b.feed(), b.options(dir))
	if err != nil {
		return err
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			return err
		}
		m, err := decode.JSON[message](ev.Data)
		if err != nil {
			return err
		}
		if err := b.diary.note(m, ev.Gap); err != nil {
			return err
		}
		if m.Content == until {
			ev.Ack() // leaving the loop does not
			return sub.Close()
		}
	}
	return nil
}

// A diary records which messages were received. It outlives the bot.
type diary struct {
	out      *log.Logger
	last     int
	messages int
	missing  int
}

func newDiary(out io.Writer) *diary { return &diary{out: log.New(out, "", 0)} }

// note records a message. The ids of this gateway are consecutive, so that an unreported loss
// is detected.
func (d *diary) note(m message, gap *client.Gap) error {
	id, err := strconv.Atoi(m.ID)
	if err != nil {
		return err
	}
	skipped := id - d.last - 1
	switch {
	case skipped < 0:
		return fmt.Errorf("message %d comes again after %d", id, d.last)
	case skipped > 0 && gap == nil:
		return fmt.Errorf("message %d comes after %d, without a gap", id, d.last)
	case gap != nil:
		d.out.Printf("gap before message %d: %s", id, gap.Reason)
	}
	d.last = id
	d.messages++
	d.missing += skipped
	return nil
}

func (d *diary) trace() *client.Trace {
	return &client.Trace{
		Connected: func(a client.ConnectInfo) {
			how := "a new session"
			if a.Resuming {
				how = "the session is resumed"
			}
			d.out.Printf("connected: %s", how)
		},
		Disconnected: func(e client.DisconnectInfo) {
			if !e.Final {
				d.out.Printf("%d messages, then %s", e.Events, reason(e.Err))
			}
		},
	}
}

// reason returns a short text for the end of a connection.
func reason(err error) string {
	var closed *transport.CloseError
	var silent *transport.TimeoutError
	switch {
	case errors.Is(err, io.EOF):
		return "the gateway asks for another connection"
	case errors.As(err, &silent):
		return "no answer to a " + silent.Op
	case errors.As(err, &closed):
		return fmt.Sprintf("it is closed with code %d", closed.Code)
	case errors.Is(err, invalidSession{}):
		return "the gateway has forgotten the session"
	}
	return err.Error()
}
