package channel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

const (
	defaultBuffer     = 1024
	defaultAckTimeout = 10 * time.Second
	maxBufferBytes    = 8 << 20

	// patience is how long in all a full channel may keep the socket from being read, until its
	// reader has caught up. A burst takes less; a slow consumer must not take the time of others.
	patience = 100 * time.Millisecond

	// patienceWithAll is how long all full channels together may do so at once. A server that waits for
	// an answer to its ping tolerates that. After that, each may take a moment.
	patienceWithAll = time.Second
	moment          = time.Millisecond

	// gathering is how long requests are collected before they are sent in one message.
	gathering = 20 * time.Millisecond

	// maxLeft is how many channels are remembered whose end the server has not acknowledged.
	maxLeft = 4096
)

// A Mux shares one socket between channels. Socket, Subscribe, Unsubscribe and OnMessage are
// required; they describe the protocol. All methods may be called from any goroutine. Use it as
// *Mux and do not change or copy it once it is in use.
//
// The functions are called by the Mux's goroutines: OnMessage by the one that reads, Subscribe and
// Unsubscribe by the one that sends, never two calls of one function at a time, and Prepare by
// that of each channel. None of them may call methods of a subscription that wait.
type Mux struct {
	// Socket is the connection that the channels share, a *transport.WebSocket. Its OnConnect logs
	// in, but subscribes to nothing; its OnMessage answers pings and recognizes what concerns the
	// connection; its SendRate applies to the requests; its errors end all channels. Do not
	// subscribe to it and do not use it for a second Mux. Overlap has no effect. Required.
	Socket interface {
		transport.Transport
		Send(ctx context.Context, text []byte) error
	}

	// Subscribe returns the text message that subscribes to channels, at least one and at most
	// Batch. id is positive and different for each message of the connection; it may be sent as
	// the id of the request. An error refuses the channels. An empty message is not sent, for
	// channels to which the server subscribes by itself. Required.
	Subscribe func(id int64, channels []Request) ([]byte, error)

	// Unsubscribe returns the text message that ends channels, at least one and at most Batch. An
	// error ends the connection, because the server would continue to send them. Required.
	Unsubscribe func(id int64, channels []Request) ([]byte, error)

	// OnMessage is called with each message of the server and passes to r what it means: events,
	// acknowledgements, refusals and ends of channels. m is as the Socket's OnMessage leaves it;
	// what that makes a keepalive or a position is not seen. OnMessage must not block.
	//
	// An error ends the connection, for all channels, and is handled like any other failure; see
	// transport.WebSocket.OnMessage. Required.
	OnMessage func(r *Router, m *transport.Message) error

	// Prepare is called on each attempt to subscribe to a channel, once the connection is open. It
	// may set Value, such as to a fresh credential of the channel, and may take up to AckTimeout.
	// An error fails the attempt of this channel alone. Default: none.
	Prepare func(ctx context.Context, r *Request) error

	// Batch is the maximum number of channels in one message. If the server refuses a message
	// with several, they are requested again in halves, so that a refused channel fails alone; an
	// error of retry.ClassRateLimited refuses them all. Default: 1.
	Batch int

	// NoAcks declares that the server acknowledges neither Subscribe nor Unsubscribe, and that its
	// messages carry the id of the request (graphql-transport-ws). A channel is open as soon as its
	// request is sent. OnMessage finds the channel by Router.NameOf, so that a message of a
	// channel that was removed is never taken for one of its successor. Batch must be 1.
	// Default: off; a channel is open when OnMessage calls Ack or Reply, and one that was removed
	// can be opened again when OnMessage calls End or Reply, or after AckTimeout.
	NoAcks bool

	// AckTimeout is how long after its request the acknowledgement of a channel may take. Then the
	// channel fails with an *Error, alone. Negative: no limit. Default: 10 s.
	AckTimeout time.Duration

	// MaxChannels is the maximum number of channels of the connection, such as 1024 for Binance. An
	// Open of one more fails with an *Error that can be retried, because another channel may have
	// been removed by then. A second Mux has a connection of its own. Default: no limit.
	MaxChannels int

	// Buffer is the maximum number of messages of a channel that wait for its reader. Their size is
	// limited to 8 MiB, but one message always fits. The reader takes all of them at once, so up to
	// twice as many are in memory. See the package documentation for what happens to a slow channel.
	// Default: 1024.
	Buffer int

	// Retry decides when the next connection is made after one that failed or was lost, for all
	// channels together. Only its delays apply: what is final is up to the Retry of each
	// subscription. Default: the zero Policy.
	Retry retry.Policy

	mu       sync.Mutex // never held across a wait or a call of a function above
	link     *link      // the present connection, which may not be open yet; nil without a channel
	latest   *link      // the last one, which may still be closing
	requests int64      // the last id
	stats    Stats

	// Used by the goroutines of links, one after the other.
	backoff *retry.Backoff
	due     time.Time // of the next attempt to connect
}

// A Request is a channel to subscribe to, or to end.
type Request struct {
	Name  string
	ID    int64  // of the message that subscribes to it
	Token string // the position to resume after; empty if there is none
	Value any    // set by Mux.Prepare
}

// Stats are the counts of a Mux since its first use.
type Stats struct {
	Channels    int    // that are open or being opened at present
	Attempts    uint64 // to connect
	Connections uint64 // that have been open
	Overflows   uint64 // channels that were ended because they were not read in time
	Unrouted    uint64 // messages for channels that are not open; they are dropped
}

// Stats returns the present counts.
func (x *Mux) Stats() Stats {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.stats
	if x.link != nil {
		s.Channels = len(x.link.members)
	}
	return s
}

// Channel returns the channel with a name as a feed to subscribe to. It does not connect. A channel
// can be open once at a time: a second Open of the name fails with an *Error that is final.
func (x *Mux) Channel(name string) transport.Transport { return &source{x, name} }

// validate reports every invalid option, joined into one error.
func (x *Mux) validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("Mux."+field+": "+format, args...))
	}
	if x.Socket == nil {
		bad("Socket", "is required")
	} else if err := x.Socket.Validate(); err != nil {
		errs = append(errs, err)
	}
	for _, f := range []struct {
		name    string
		missing bool
	}{{"Subscribe", x.Subscribe == nil}, {"Unsubscribe", x.Unsubscribe == nil}, {"OnMessage", x.OnMessage == nil}} {
		if f.missing {
			bad(f.name, "is required")
		}
	}
	for _, f := range []struct {
		name string
		n    int
	}{{"Batch", x.Batch}, {"MaxChannels", x.MaxChannels}, {"Buffer", x.Buffer}} {
		if f.n < 0 {
			bad(f.name, "%d is negative", f.n)
		}
	}
	if x.NoAcks && x.Batch > 1 {
		bad("Batch", "%d with NoAcks: want 1, because NameOf could not tell the channels apart", x.Batch)
	}
	if err := x.Retry.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("Mux.%w", err))
	}
	return errors.Join(errs...)
}

func (x *Mux) batch() int { return max(x.Batch, 1) }

func (x *Mux) buffer() int {
	if x.Buffer == 0 {
		return defaultBuffer
	}
	return x.Buffer
}

// ackTimeout returns 0 for no limit.
func (x *Mux) ackTimeout() time.Duration {
	if x.AckTimeout == 0 {
		return defaultAckTimeout
	}
	return max(x.AckTimeout, 0)
}

// join adds a channel to the present connection, or to a new one.
func (x *Mux) join(name, token string) (*member, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := x.link
	switch {
	case l == nil:
		l = x.newLink()
	case l.members[name] != nil:
		return nil, &Error{Channel: name, Op: "duplicate", Err: errDuplicate}
	case x.MaxChannels > 0 && len(l.members) >= x.MaxChannels:
		return nil, &Error{Channel: name, Op: "limit", Err: fmt.Errorf("the connection has %d channels (MaxChannels)", x.MaxChannels)}
	}
	m := &member{link: l, request: Request{Name: name, Token: token}, changed: make(chan struct{}, 1)}
	m.queue.init(x.buffer())
	l.members[name] = m
	return m, nil
}

// newLink starts a connection. The caller holds mu.
func (x *Mux) newLink() *link {
	l := &link{
		mux: x, prev: x.latest, done: make(chan struct{}),
		members: make(map[string]*member), left: make(map[string]*departure), requests: make(map[int64]*request),
	}
	l.router.link = l
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	x.link, x.latest = l, l
	go l.run()
	return l
}

// ended decides when the next connection may be made. unused reports that this one was ended
// because it had no channels left. The caller does not hold mu, because Retry.Classify is called.
func (x *Mux) ended(f retry.Failure, unused bool) {
	if x.backoff == nil {
		x.backoff = x.policy().Start()
	}
	x.due = time.Now()
	if !unused || !x.backoff.Progress(f) {
		x.due = x.due.Add(x.backoff.Next(f).Delay)
	}
}

// policy returns Retry without what makes a failure final.
func (x *Mux) policy() retry.Policy {
	p := x.Retry
	p.MaxAttempts, p.MaxElapsed, p.Reconnect = 0, 0, max(p.Reconnect, 0)
	classes := make(map[retry.Class]retry.Rule)
	for _, c := range []retry.Class{retry.ClassNetwork, retry.ClassServer, retry.ClassRateLimited, retry.ClassAuth, retry.ClassProtocol, retry.ClassTokenRejected} {
		rule := p.Classes[c]
		rule.MaxAttempts = -1
		classes[c] = rule
	}
	p.Classes = classes
	classify := p.Classify
	p.Classify = func(err error, attempt int) (retry.Class, bool) {
		class := retry.Classify(err)
		if classify != nil {
			if c, ok := classify(err, attempt); ok {
				class = c
			}
		}
		if class >= retry.ClassPermanent {
			class = retry.ClassProtocol
		}
		return class, true
	}
	return p
}
