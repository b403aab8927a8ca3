package client_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/mock"
	scripts "github.com/steadfeed/steadfeed/mock/explore"
	"github.com/steadfeed/steadfeed/transport"
)

// In random schedules, the POST of a feed with ResumeByGet is sent again only after an answer that shows
// that it had no effect, and never by a process that starts with a position. Everything in the
// response is received all the same.
func TestExploreResumeByGet(t *testing.T) {
	posts, gets := 0, 0
	o := scripts.Options{Runs: max(1, *exploreRuns/4), Seed: *exploreSeed, Stalls: true}
	o.Bubble = func(f func()) { synctest.Test(t, func(*testing.T) { f() }) }
	scripts.Run(t, o, func(trial *scripts.Trial) {
		c := &callServer{Trial: trial, feed: trial.Feed.Handler(decode.SSE{}), dice: rand.New(rand.NewPCG(trial.Rand.Uint64(), 0))}
		srv := mock.NewServer(c)
		defer srv.Close()
		for ctx := range trial.Processes() {
			c.begin()
			src := &transport.HTTP{
				URL: "http://feed.test", Client: srv.Client(), Method: "POST", Body: []byte("call"), ResumeByGet: true,
			}
			sub, err := client.Subscribe(ctx, src, &client.Options{Name: "n", Store: trial.Store})
			if err == nil && c.handle(sub) {
				break
			}
		}
		trial.Feed.Verify(trial, trial.Observed)
		posts, gets = posts+c.posts, gets+c.gets
	})
	if !t.Failed() && (posts < o.Runs || gets < o.Runs) {
		t.Errorf("got %d POSTs and %d GETs in %d runs, want more", posts, gets, o.Runs)
	}
}

// A callServer plays the response of a call.
type callServer struct {
	*scripts.Trial
	feed http.Handler

	mu          sync.Mutex
	dice        *rand.Rand
	acted       bool // the POST of this process may have had an effect, or there is a position
	posts, gets int
}

// begin starts a process.
func (c *callServer) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acted = lastSaved(c.Trial).Token != ""
}

// handle handles events, and reports whether the feed is complete.
func (c *callServer) handle(sub *client.Subscription) bool {
	defer sub.Close()
	for ev, err := range sub.Events() {
		if stop := (*client.StopError)(nil); errors.As(err, &stop) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if !c.acted {
				c.Errorf("the subscription ended with %v, want the POST sent again: it had no effect", err)
			}
		}
		if err != nil {
			return false
		}
		c.Observed.Add(ev.ID, ev.Data, ev.Gap)
	}
	return true
}

func (c *callServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		c.mu.Lock()
		c.gets++
		c.mu.Unlock()
		c.feed.ServeHTTP(w, r)
		return
	}
	io.Copy(io.Discard, r.Body)
	how := c.act(r)
	w = &answerOfCall{w, c}
	switch how {
	case 0, 1, 2, 3:
		w.Header().Set("Location", "/other")
		w.WriteHeader([]int{http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusTemporaryRedirect}[how])
	case 4:
		panic(http.ErrAbortHandler)
	case 5:
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, ": no event\n\n")
	default:
		c.feed.ServeHTTP(w, r)
	}
}

// act checks that a POST may be sent, and returns how to answer it.
func (c *callServer) act(r *http.Request) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.acted || r.Header.Get("Last-Event-ID") != "" {
		c.Errorf("a POST was sent although it may have had an effect before (%t), or with a position", c.acted)
	}
	c.posts++
	c.acted = true
	return c.dice.IntN(12)
}

// An answerOfCall notices an answer that shows that the call had no effect.
type answerOfCall struct {
	http.ResponseWriter
	server *callServer
}

func (a *answerOfCall) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answerOfCall) WriteHeader(code int) {
	a.server.mu.Lock()
	a.server.acted = code < 300 || code == http.StatusBadGateway
	a.server.mu.Unlock()
	a.ResponseWriter.WriteHeader(code)
}
