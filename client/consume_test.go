package client_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/transport"
)

func TestLeavingTheBodyDoesNotAcknowledge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(events("1", "2", "3"), steps(mock.Complete()))
		sub := subscribe(t, feed, nil)
		defer sub.Close()
		for ev := range sub.Events() {
			if ev.ID == "2" {
				break
			}
		}
		func() {
			defer func() { recover() }()
			for ev := range sub.Events() {
				if ev.ID != "2" || ev.Attempt != 2 {
					t.Errorf("after break: got event %s in attempt %d, want 2 in 2", ev.ID, ev.Attempt)
				}
				panic("in the body")
			}
		}()
		got, _ := data(t, sub, 0)
		want(t, "after the panic", got, []string{"data 2", "data 3"})
	})
}

func TestNackRedeliversAfterADelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(events("1", "2"), steps(mock.Complete()))
		refusal := errors.New("not now")
		var traced error
		sub := subscribe(t, feed, &client.Options{Trace: &client.Trace{
			Nacked: func(_ client.Event, err error) { traced = err },
		}})
		defer sub.Close()
		start := time.Now()
		var at []time.Duration
		for ev, err := range sub.Events() {
			if err != nil {
				t.Fatal(err)
			}
			if ev.ID == "1" {
				at = append(at, time.Since(start))
				if ev.Attempt < 4 {
					ev.Nack(refusal) // the body finishing must not undo this
				}
			}
		}
		want(t, "deliveries of event 1", at, []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second})
		if traced != refusal {
			t.Errorf("Trace: got %v, want %v", traced, refusal)
		}
		if s := sub.Stats(); s.Nacked != 3 || s.Acked != 2 {
			t.Errorf("Stats: got %d nacked, %d acked, want 3 and 2", s.Nacked, s.Acked)
		}
	})
}

// Attempts continue from the count of a sender that counts. An event that later takes the slot of a
// refused one does not inherit its count.
func TestAttemptContinuesTheSendersCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &messages{{Data: []byte("a"), Attempt: 3}, {Data: []byte("b")}, {Data: []byte("c"), Attempt: -1}}
		for range 64 {
			*feed = append(*feed, transport.Message{Data: []byte("d"), Attempt: 1})
		}
		sub := subscribe(t, feed, &client.Options{Buffer: 4})
		defer sub.Close()
		var got []int
		for ev, err := range sub.Events() {
			switch data := string(ev.Data); {
			case err != nil:
				t.Fatal(err)
			case data != "d":
				if got = append(got, ev.Attempt); len(got) <= 3 {
					ev.Nack(errors.New("not now"))
				}
			case ev.Attempt != 1:
				t.Fatalf("got attempt %d of a new event, want 1", ev.Attempt)
			}
		}
		want(t, "attempts of a, b and c, twice", got, []int{3, 1, 1, 4, 2, 2})
	})
}

func TestBatchesAcknowledgeTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(events("1", "2", "3"), steps(mock.Pause(time.Second)), events("4"), steps(mock.Pause(time.Minute)),
			events("5"), steps(mock.Complete()))
		sub := subscribe(t, feed, nil)
		defer sub.Close()
		var got []string
		start := time.Now()
		for batch, err := range sub.Batches(3, 10*time.Second) {
			if err != nil {
				t.Fatal(err)
			}
			ids := ""
			for _, ev := range batch {
				ids += ev.ID
			}
			got = append(got, fmt.Sprintf("%s@%v", ids, time.Since(start)))
		}
		want(t, "batches", got, []string{"123@0s", "4@11s", "5@1m1s"})
	})
}

func TestBatchDoesNotWaitWhenTheBufferIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(events("1", "2", "3", "4"), steps(mock.Complete()))
		sub := subscribe(t, feed, &client.Options{BufferBytes: len("data 1data 2")})
		defer sub.Close()
		start := time.Now()
		for batch, err := range sub.Batches(100, time.Hour) {
			if err != nil || len(batch) != 2 {
				t.Fatalf("got a batch of %d, %v, want the two events in the buffer", len(batch), err)
			}
			if batch[1].ID == "4" {
				break
			}
		}
		if d := time.Since(start); d > time.Minute {
			t.Errorf("the batch took %v, want 0", d)
		}
	})
}

func TestLeavingABatchDoesNotAcknowledge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(events("1", "2", "3"), steps(mock.Complete()))
		sub := subscribe(t, feed, nil)
		defer sub.Close()
		for batch := range sub.Batches(2, time.Second) {
			batch[0].Ack()
			batch[0] = client.Event{}
			break
		}
		got, _ := data(t, sub, 0)
		want(t, "after the batch", got, []string{"data 2", "data 3"})
	})
}

func TestNextIsBoundedByItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub := subscribe(t, script(steps(mock.Pause(time.Minute)), events("1")), nil)
		defer sub.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := sub.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Next: got %v, want %v", err, context.DeadlineExceeded)
		}
		ev, err := sub.Next(t.Context())
		if err != nil || ev.ID != "1" {
			t.Errorf("Next after a wait that ended: got event %q, %v, want 1", ev.ID, err)
		}
	})
}

// The consumer that waited for the refused event to be due leaves.
func TestRefusedEventFindsAnotherConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sub := subscribe(t, script(events("1")), nil)
		defer sub.Close()
		ev, _ := sub.Next(t.Context())
		got := make(chan time.Duration, 2)
		start := time.Now()
		short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		go func() { sub.Next(short) }() // takes the wake-up, arms the timer, and leaves
		synctest.Wait()
		ctx, cancel2 := context.WithTimeout(t.Context(), time.Hour)
		defer cancel2()
		go func() {
			sub.Next(ctx)
			got <- time.Since(start)
		}()
		synctest.Wait()
		ev.Nack(nil)
		if d := <-got; d != time.Second {
			t.Errorf("the refused event was delivered after %v, want 1s", d)
		}
	})
}

// The batches of several consumers fill the buffer together.
func TestFullBufferEndsEveryBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := script(events("1"), steps(mock.Pause(time.Second)), events("2"), steps(mock.Pause(time.Second)), events("3", "4"), steps(mock.Complete()))
		sub := subscribe(t, feed, &client.Options{BufferBytes: 12})
		defer sub.Close()
		start := time.Now()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for b := range sub.Batches(100, time.Hour) {
					t.Log(time.Since(start), len(b), b[0].ID)
				}
			})
		}
		wg.Wait()
		if d := time.Since(start); d > time.Minute {
			t.Errorf("got all batches after %v, want at most 1m", d)
		}
	})
}

func TestNoBatchAfterTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		sub, _ := client.Subscribe(ctx, script(events("1", "2")), nil)
		done := make(chan bool)
		go func() {
			defer close(done)
			for b, err := range sub.Batches(5, time.Hour) {
				if ctx.Err() != nil && err == nil {
					t.Errorf("got a batch of %d after the end, want none", len(b))
				}
			}
		}()
		synctest.Wait()
		cancel()
		<-done
		sub.Close()
	})
}

func TestBufferIsBounded(t *testing.T) {
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("panic: %v", p)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("panic: %v", p)
			}
		}()
		sub, err := client.Subscribe(t.Context(), script(), &client.Options{Buffer: math.MaxInt})
		if err == nil {
			sub.Close()
		}
	})
}
