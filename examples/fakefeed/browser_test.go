package main

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"testing"

	"github.com/steadfeed/steadfeed/examples/internal/browser"
)

// In a browser, a person watches a consumer connect, publishes an event, and drops the connection.
func TestBrowser(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, result := make(lines, 1), make(chan error)
	go func() { result <- run(ctx, options{addr: "127.0.0.1:0"}, out) }()
	defer func() {
		cancel()
		if err := <-result; err != nil {
			t.Error(err)
		}
	}()
	url := regexp.MustCompile(`http://[^/]*`).FindString(<-out)
	b := browser.Open(t, url)
	defer http.DefaultClient.CloseIdleConnections()
	b.Await(`document.querySelector("#sse").textContent`, `^`+regexp.QuoteMeta(url)+`/sse$`)
	b.Await(`document.querySelector("#ws").textContent`, `^ws`+regexp.QuoteMeta(url[len("http"):])+`/ws$`)
	b.Await(`document.querySelector("#connected").textContent`, `^0$`)

	resp, err := http.Get(url + "/sse")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b.Await(`document.querySelector("#connected").textContent`, `^1$`)
	b.Await(`document.querySelector("#consumers").textContent`, `sse.*Go-http-client`)

	b.Eval(`document.querySelector("input[name=data]").value = "<b>hello</b>"`)
	b.Eval(`document.querySelector("#publish button").click()`)
	b.Await(`document.querySelector("#events").textContent`, `^1message<b>hello</b>$|^1<b>hello</b>$`)
	buf := make([]byte, 100)
	if n, err := resp.Body.Read(buf); err != nil || string(buf[:n]) != "id: 1\ndata: <b>hello</b>\n\n" {
		t.Errorf("the consumer: got %q, %v, want event 1", buf[:n], err)
	}

	b.Eval(`document.querySelector("[data-do=drop]").click()`)
	b.Await(`document.querySelector("#connected").textContent`, `^0$`)
	b.Await(`document.querySelector("#consumers tr").className + document.querySelector("#consumers").textContent`, `^over.*connection dropped`)

	b.Eval(`document.querySelector("#pause").value = "soon"`)
	b.Eval(`document.querySelector("[data-do=pause]").click()`)
	b.Await(`document.querySelector("#problem").textContent`, `want a duration`)
	if got := b.Eval(fmt.Sprintf(`document.querySelectorAll(%q).length`, "#events b")); got != "0" {
		t.Errorf("the page: got %s elements made from data, want 0", got)
	}
	for _, p := range b.Problems() {
		if !regexp.MustCompile(`status of 400`).MatchString(p) { // of "soon"
			t.Errorf("the console: got %s, want nothing", p)
		}
	}
	b.Resize(390, 844)
	b.Prefer("prefers-color-scheme", "dark")
	b.Await(`getComputedStyle(document.body).backgroundColor`, `^rgb\(\d\d, \d\d, \d\d\)$`)
	if got := b.Eval(`document.documentElement.scrollWidth`); got != "390" {
		t.Errorf("got %s px on a phone, want 390", got)
	}
}
