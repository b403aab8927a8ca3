package client_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/mock"
	"github.com/steadfeed/steadfeed/retry"
)

// A monitor shows what has happened to each feed of a program, and what was lost. The probes are for an
// orchestrator: a process whose feed is away is alive, but not ready.
func ExampleMonitor() {
	monitor := new(client.Monitor)
	probes := http.NewServeMux()
	probes.HandleFunc("/healthz", monitor.ServeHealth)
	probes.HandleFunc("/readyz", monitor.ServeReady)
	fmt.Println("before:", ask(probes, "/healthz"), ask(probes, "/readyz"))

	feed := mock.NewFeed(mock.Event("1", "a"), mock.Drop(), mock.Status(503), mock.Status(503), mock.Status(410), mock.Event("2", "b"))
	sub, err := client.Subscribe(context.Background(), feed, &client.Options{
		Name: "orders", Monitor: monitor, Retry: retry.Constant(retry.MinDelay)})
	if err != nil {
		log.Fatal(err)
	}
	for ev, err := range sub.Events() {
		if err != nil {
			log.Fatal(err)
		}
		if ev.ID == "2" {
			break
		}
	}
	fmt.Println("live:  ", ask(probes, "/healthz"), ask(probes, "/readyz"))
	sub.Close()

	for _, s := range monitor.Snapshots() {
		fmt.Printf("%s is %v: %d events, %d gap, disconnects %v\n", s.Name, s.State, s.Received, s.Gaps, s.Disconnects)
		s, _ = monitor.Lookup(s.ID)
		for _, t := range s.Timeline {
			if t.Err != "" {
				t.Reason += ", class " + t.Class.String()
			}
			fmt.Printf("  %d x %v: %s\n", t.Count, t.State, t.Reason)
		}
	}
	// Output:
	// before: 200 503
	// live:   200 200
	// orders is ended: 2 events, 1 gap, disconnects map[network:1 server:2 token rejected:1]
	//   1 x live: connected
	//   1 x backing off: disconnected, class network
	//   2 x backing off: connect failed, class server
	//   1 x connecting: gap: token rejected
	//   1 x backing off: connect failed, class token rejected
	//   1 x live: connected
	//   1 x ended: Close
}

func ask(h http.Handler, path string) int {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	io.Copy(io.Discard, w.Body)
	return w.Code
}

// The trace of a library and one of the program both see what happens.
func ExampleJoinTraces() {
	metrics := &client.Trace{Connected: func(i client.ConnectInfo) { fmt.Println("metrics: attempt", i.ID, "is open") }}
	alerts := &client.Trace{StateChanged: func(t client.Transition) {
		if t.State == client.StateBackingOff {
			fmt.Println("alert:", t.Reason, "by class", t.Class, "next attempt in", t.Delay)
		}
	}}
	feed := mock.NewFeed(mock.Status(503), mock.Event("1", "a"), mock.Complete())
	sub, err := client.Subscribe(context.Background(), feed, &client.Options{
		Trace: client.JoinTraces(metrics, alerts), Retry: retry.Constant(retry.MinDelay)})
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()
	for range sub.Events() {
	}
	// Output:
	// alert: connect failed by class server next attempt in 10ms
	// metrics: attempt 2 is open
}
