package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// An event is the data of the feed's events.
type event struct {
	N     int `json:"n"`
	Token int `json:"token"`
}

// A server issues tokens and sends an event a second since its first request for one.
type server struct {
	life time.Duration // of a token

	mu     sync.Mutex
	start  time.Time
	issued []time.Time
	open   int // connections
	most   int // connections that were open at once
	cut    int // connections whose token expired
}

func newServer(life time.Duration) *server { return &server{life: life} }

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/token":
		s.issue(w)
	case "/feed":
		s.serveFeed(w, r)
	default:
		http.NotFound(w, r)
	}
}

// issue answers a request for a token (RFC 6749, section 5.1).
func (s *server) issue(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.issued) == 0 {
		s.start = time.Now()
	}
	s.issued = append(s.issued, time.Now())
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"access_token": strconv.Itoa(len(s.issued)), "token_type": "Bearer", "expires_in": int(s.life.Seconds()),
	})
}

// check returns the number of the request's token and the time until it expires.
func (s *server) check(r *http.Request) (token int, left time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	token, err := strconv.Atoi(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if err != nil || token < 1 || token > len(s.issued) {
		return 0, 0
	}
	return token, time.Until(s.issued[token-1].Add(s.life))
}

func (s *server) serveFeed(w http.ResponseWriter, r *http.Request) {
	token, left := s.check(r)
	if left <= 0 {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	s.count(1)
	defer s.count(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	w.(http.Flusher).Flush()
	expired := time.After(left)
	last, _ := strconv.Atoi(r.Header.Get("Last-Event-ID"))
	for n := last + 1; ; n++ {
		select {
		case <-time.After(time.Until(s.start.Add(time.Duration(n) * time.Second))):
		case <-expired:
			s.mu.Lock()
			s.cut++
			s.mu.Unlock()
			panic(http.ErrAbortHandler)
		case <-r.Context().Done():
			return
		}
		data, _ := json.Marshal(event{n, token})
		fmt.Fprintf(w, "id: %d\ndata: %s\n\n", n, data)
		w.(http.Flusher).Flush()
	}
}

func (s *server) count(opened int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open += opened
	s.most = max(s.most, s.open)
}
