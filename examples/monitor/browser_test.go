package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/client/monitorpage"
	"github.com/steadfeed/steadfeed/examples/internal/browser"
	"github.com/steadfeed/steadfeed/mock"
)

const hostile = `<img src=x onerror="window.hacked=1">`

func subscribe(t *testing.T, feed *mock.Feed, o *client.Options) *client.Subscription {
	t.Helper()
	sub, err := client.Subscribe(t.Context(), feed, o)
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

// pageOf starts subscriptions of each kind of health, and serves their page.
func pageOf(t *testing.T) (*client.Monitor, string) {
	m := new(client.Monitor)
	live := func() *mock.Feed { return mock.NewFeed(mock.Pause(time.Hour)) }
	for name, feed := range map[string]*mock.Feed{
		"alpha": live(), "beta": mock.NewFeed(mock.Event("1", "x"), mock.Pause(time.Hour)), "gone": mock.NewFeed(mock.Status(404)),
		hostile: live(), strings.Repeat("long-", 60): live(),
	} {
		sub := subscribe(t, feed, &client.Options{Name: name, Monitor: m})
		t.Cleanup(func() { sub.Close() })
	}
	srv := httptest.NewServer(&monitorpage.Page{Monitor: m, Actions: true})
	t.Cleanup(srv.Close)
	return m, srv.URL
}

func idOf(t *testing.T, m *client.Monitor, name string) uint64 {
	for _, s := range m.Snapshots() {
		if s.Name == name {
			return s.ID
		}
	}
	t.Fatalf("got no subscription %q", name)
	return 0
}

const names = `[...document.querySelectorAll(".name a")].map(a => a.textContent.slice(0, 5)).join(" ")`

func noProblems(t *testing.T, tab *browser.Tab) {
	t.Helper()
	for _, p := range tab.Problems() {
		t.Errorf("the console: got %s, want nothing", p)
	}
}

// In a browser, a person sees what changes without a reload, sorts and filters.
func TestBrowserList(t *testing.T) {
	m, url := pageOf(t)
	tab := browser.Open(t, url+"/feeds")
	tab.Await(`document.title`, `^\(1\) Feeds$`)
	tab.Await(names, `^gone <img  alpha beta long-$`)
	tab.Await(`document.querySelector("link[rel=icon]").href`, `d92d20`)

	tab.Eval(`window.stays = true`)
	tab.Eval(`document.querySelector("thead a").focus()`)
	sub := subscribe(t, mock.NewFeed(mock.Pause(time.Hour)), &client.Options{Name: "delta", Monitor: m})
	defer sub.Close()
	tab.Await(names, `^gone <img  alpha beta delta long-$`)
	tab.Await(`document.activeElement.textContent`, `^Health ↓$`)

	tab.Follow(`[...document.querySelectorAll("thead a")].find(a => a.textContent == "Name")`)
	tab.Await(names, `^<img  alpha beta delta gone long-$`)
	tab.Follow(`document.querySelector("thead a[href*='-name']")`)
	tab.Await(names, `^long- gone delta beta alpha <img $`)
	tab.Follow(`document.querySelector("nav a.failed")`)
	tab.Await(names, `^gone$`)

	tab.Go(url + "/feeds")
	tab.Eval(`window.stays = true`)
	tab.Eval(`(() => { const q = document.querySelector("[name=q]"); q.value = "TA"; q.dispatchEvent(new Event("input", {bubbles: true})); })()`)
	tab.Await(names, `^beta delta$`)
	if got := tab.Eval(`location.search + window.stays`); got != "?q=TAtrue" {
		t.Errorf("after typing: got %s, want the query in the address and no reload", got)
	}

	tab.Eval(`getSelection().selectAllChildren(document.querySelector(".name"))`)
	tab.Await(`document.body.className`, `held`)
	tab.Eval(`getSelection().empty()`)
	tab.Await(`document.body.className`, `^$`)
	if got := tab.Eval(`String(window.hacked) + document.querySelectorAll("img").length`); got != "undefined0" {
		t.Errorf("got %s, want no element made from a name", got)
	}
	noProblems(t, tab)
}

// In a browser, a person reconnects, pauses and resumes a subscription; a page elsewhere cannot.
func TestBrowserActions(t *testing.T) {
	m, url := pageOf(t)
	id := idOf(t, m, "alpha")
	one := fmt.Sprintf("%s/feeds?id=%d", url, id)
	tab := browser.Open(t, one)
	state := func() client.State { s, _ := m.Lookup(id); return s.State }
	visible := `[...document.querySelectorAll(".act button")].filter(b => b.offsetWidth).map(b => b.value).join(" ")`
	tab.Await(visible, `^reconnect pause$`)
	tab.Follow(`document.querySelector(".pause")`)
	tab.Await(`document.querySelector(".now").textContent`, `paused for`)
	tab.Await(visible, `^reconnect resume$`)
	if s := state(); s != client.StatePaused {
		t.Errorf("after Pause: got %v, want paused", s)
	}
	tab.Follow(`document.querySelector(".resume")`)
	tab.Await(`document.querySelector(".now").textContent`, `live for`)
	tab.Follow(`document.querySelector("[value=reconnect]")`)
	tab.Await(`document.querySelector("main").textContent`, `Reconnect`) // in the timeline
	noProblems(t, tab)

	tab.Go(fmt.Sprintf("%s/feeds?id=%d", url, idOf(t, m, "gone")))
	tab.Await(visible, `^$`)
	noProblems(t, tab)

	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `<iframe src="%[1]s"></iframe><form method="post" action="%[1]s"><button name="action" value="pause">Win a prize</button></form>`, one)
	}))
	t.Cleanup(evil.Close)
	for _, origin := range []string{evil.URL, strings.Replace(evil.URL, "127.0.0.1", "localhost", 1)} { // the same site, and another one
		tab.Go(origin)
		tab.Follow(`document.querySelector("button")`)
		tab.Await(`location.href + document.body.textContent`, `id=\d+cross-origin request refused`)
		if s := state(); s != client.StateLive {
			t.Errorf("after a request from %s: got %v, want live", origin, s)
		}
		if p := strings.Join(tab.Problems(), "\n"); !strings.Contains(p, "frame-ancestors") {
			t.Errorf("in a frame of %s: got %q, want it refused", origin, p)
		}
	}
}

// The page follows the colors of the system, fits on a phone, and works without JavaScript.
func TestBrowserLooks(t *testing.T) {
	m, url := pageOf(t)
	tab := browser.Open(t, url+"/")
	background := `getComputedStyle(document.body).backgroundColor`
	for scheme, want := range map[string]string{"light": `^rgb\(24\d, 24\d, 24\d\)$`, "dark": `^rgb\(\d\d, \d\d, \d\d\)$`} {
		tab.Prefer("prefers-color-scheme", scheme)
		tab.Await(background, want)
	}
	tab.Resize(390, 844)
	for _, target := range []string{"/", fmt.Sprintf("/?id=%d", idOf(t, m, strings.Repeat("long-", 60))), fmt.Sprintf("/?id=%d", idOf(t, m, "beta"))} {
		tab.Go(url + target)
		if got := tab.Eval(`document.documentElement.scrollWidth`); got != "390" {
			t.Errorf("%s: got %s px on a phone, want 390", target, got)
		}
	}
	noProblems(t, tab)

	tab.Do("Emulation.setScriptExecutionDisabled", map[string]any{"value": true})
	tab.Go(url + "/?sort=name")
	tab.Await(names, `^<img  alpha beta gone long-$`)
	tab.Await(`document.querySelector("noscript meta").content`, `^10$`)
	tab.Go(fmt.Sprintf("%s/?id=%d", url, idOf(t, m, "beta")))
	tab.Await(`document.querySelector(".now").textContent`, `ok · live for`)
}
