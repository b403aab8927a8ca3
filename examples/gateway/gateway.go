package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

const (
	tick          = 20 * time.Millisecond
	interval      = 100 * time.Millisecond // between heartbeats; about 45 s at Discord
	credentials   = "the token of the bot"
	textRestart   = "restart yourself"
	textGoodNight = "good night"
)

// A gateway keeps sessions with numbered dispatches. It misbehaves in a different way on each
// connection.
type gateway struct {
	mu          sync.Mutex
	messages    int // written so far
	connections int // with a session
	sessions    map[string]*session
}

type session struct {
	id  string
	log []payload // dispatch n is entry n-1
}

func newGateway() *gateway { return &gateway{sessions: make(map[string]*session)} }

// play runs the n-th connection. Messages that are written while the bot is disconnected wait
// for the session to be resumed.
func (g *gateway) play(n int, l *line) {
	switch n {
	case 1:
		l.live(10)
		l.write(payload{Op: opReconnect})
	case 2:
		l.live(10)
		l.mute.Store(true) // heartbeats are no longer answered
	case 3:
		l.live(10)
		l.write(payload{Op: opHeartbeat})
		l.live(5)
		l.ws.CloseNow()
	case 4:
		l.live(5)
		g.forget(l.session)
		g.post("this one is lost")
		g.post("and so is this")
		l.write(payload{Op: opInvalidSession, Data: json.RawMessage("false")})
	case 5:
		l.live(10)
		g.post(textRestart)
		l.flush()
	default:
		l.live(10)
		g.post(textGoodNight)
		l.flush()
	}
	<-l.ctx.Done()
	g.post("written while the bot was away")
	g.post("and this too")
}

// post writes a message to every session.
func (g *gateway) post(text string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.messages++
	data, _ := json.Marshal(message{strconv.Itoa(g.messages), text})
	for _, s := range g.sessions {
		s.add("MESSAGE_CREATE", data)
	}
}

func (s *session) add(what string, data json.RawMessage) {
	s.log = append(s.log, payload{Op: opDispatch, Type: what, Sequence: len(s.log) + 1, Data: data})
}

func (g *gateway) forget(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.sessions, s.id)
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer ws.CloseNow()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	l := &line{gateway: g, ws: ws, ctx: ctx}
	l.write(payload{Op: opHello, Data: fmt.Appendf(nil, `{"heartbeat_interval":%d}`, interval.Milliseconds())})
	n := l.login(r)
	if n == 0 {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.listen()
		cancel()
	}()
	g.play(n, l)
	<-done
}

// A line is the connection of one bot.
type line struct {
	gateway *gateway
	ws      *websocket.Conn
	ctx     context.Context
	session *session
	sent    int         // entries of the session's log
	mute    atomic.Bool // heartbeats are not answered
}

// login opens or resumes a session and returns the number of the connection, 0 for none.
func (l *line) login(r *http.Request) int {
	for {
		p, err := l.read()
		if err != nil {
			return 0
		}
		switch p.Op {
		case opHeartbeat:
			l.write(payload{Op: opHeartbeatAck})
			continue
		case opIdentify:
			return l.identify(p.Data, "ws://"+r.Host+"/resume")
		case opResume:
			if r.URL.Path != "/resume" || r.URL.RawQuery != "v=10&encoding=json" {
				break
			}
			return l.resume(p.Data)
		}
		l.ws.Close(4003, "not authenticated")
		return 0
	}
}

func (l *line) identify(data []byte, resumeURL string) int {
	var i identify
	if json.Unmarshal(data, &i) != nil || i.Token != credentials {
		l.ws.Close(4004, "authentication failed")
		return 0
	}
	g := l.gateway
	g.mu.Lock()
	g.connections++
	n := g.connections
	l.session = &session{id: fmt.Sprint("session-", n)}
	g.sessions[l.session.id] = l.session
	first, _ := json.Marshal(ready{l.session.id, resumeURL})
	l.session.add("READY", first)
	g.mu.Unlock()
	l.flush()
	return n
}

func (l *line) resume(data []byte) int {
	var r resume
	if json.Unmarshal(data, &r) != nil || r.Token != credentials {
		l.ws.Close(4004, "authentication failed")
		return 0
	}
	g := l.gateway
	g.mu.Lock()
	l.session = g.sessions[r.Session]
	known := l.session != nil && r.Sequence <= len(l.session.log)
	n := 0
	if known {
		g.connections++
		n, l.sent = g.connections, r.Sequence
	}
	g.mu.Unlock()
	if !known {
		l.write(payload{Op: opInvalidSession, Data: json.RawMessage("false")})
		l.read() // until the bot disconnects
		return 0
	}
	l.flush()
	l.write(payload{Op: opDispatch, Type: "RESUMED", Sequence: l.sent, Data: json.RawMessage("{}")})
	return n
}

// flush sends the entries of the session's log that this line has not sent yet.
func (l *line) flush() {
	l.gateway.mu.Lock()
	news := l.session.log[l.sent:]
	l.gateway.mu.Unlock()
	for _, p := range news {
		l.write(p)
	}
	l.sent += len(news)
}

// live writes n messages and sends them.
func (l *line) live(n int) {
	for i := range n {
		l.gateway.post(fmt.Sprintf("live %d", i))
		l.flush()
		select {
		case <-time.After(tick):
		case <-l.ctx.Done():
		}
	}
}

// listen answers heartbeats until the bot disconnects. A close with 1000 or 1001 ends the
// session.
func (l *line) listen() {
	for {
		p, err := l.read()
		switch code := websocket.CloseStatus(err); {
		case code == websocket.StatusNormalClosure, code == websocket.StatusGoingAway:
			l.gateway.forget(l.session)
			return
		case err != nil:
			return
		case p.Op == opHeartbeat && !l.mute.Load():
			l.write(payload{Op: opHeartbeatAck})
		}
	}
}

func (l *line) read() (p payload, err error) {
	_, text, err := l.ws.Read(l.ctx)
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	return p, err
}

func (l *line) write(p payload) {
	text, err := json.Marshal(p)
	if err == nil {
		l.ws.Write(l.ctx, websocket.MessageText, text)
	}
}
