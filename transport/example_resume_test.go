package transport_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/steadfeed/steadfeed/client"
	"github.com/steadfeed/steadfeed/decode"
	"github.com/steadfeed/steadfeed/retry"
	"github.com/steadfeed/steadfeed/transport"
)

// A tool call of the Model Context Protocol over streamable HTTP (revision 2025-11-25). The server
// may close the response to the POST and name a time to return; a GET with Last-Event-ID continues
// it. The call is never sent twice.
func ExampleHTTP_mcp() {
	srv := httptest.NewServer(http.HandlerFunc(toolServer))
	defer srv.Close()

	call := &transport.HTTP{
		URL:    srv.URL + "/mcp",
		Method: "POST",
		Body:   []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"report"}}`),
		Header: http.Header{
			"Content-Type":         {"application/json"},
			"Accept":               {"application/json, text/event-stream"},
			"Mcp-Protocol-Version": {"2025-11-25"},
			"Mcp-Session-Id":       {"session-1"}, // from the response to initialize
		},
		ResumeByGet: true,
		OnMessage: func(m *transport.Message) error {
			if len(m.Data) == 0 {
				m.Kind = decode.KindPosition // only names a position
				return nil
			}
			if decode.Field(m.Data, "method") != "" {
				return nil // a notification or a request of the server
			}
			m.Parts = []transport.Message{*m} // the response to the call is the last message
			return transport.ErrComplete
		},
	}
	sub, err := client.Subscribe(context.Background(), call, &client.Options{Retry: retry.MCP()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			fmt.Println(err) // for example status 404: the session has ended
			return
		}
		fmt.Printf("%s\n", ev.Data)
	}
	// Output:
	// POST
	// {"method":"notifications/progress","params":{"progress":50}}
	// GET, after event 2
	// {"id":1,"result":{"content":[{"type":"text","text":"done"}]}}
}

// toolServer closes its response in the middle of a call.
func toolServer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	if r.Method == "POST" {
		fmt.Println("POST")
		fmt.Fprint(w, "id: 1\nretry: 10\ndata: \n\n")
		fmt.Fprint(w, "id: 2\ndata: {\"method\":\"notifications/progress\",\"params\":{\"progress\":50}}\n\n")
		return
	}
	fmt.Println("GET, after event", r.Header.Get("Last-Event-ID"))
	fmt.Fprint(w, "id: 3\ndata: {\"id\":1,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"done\"}]}}\n\n")
}

// A background response of OpenAI's Responses API. Its id is in the first event; a GET of that
// response continues the stream after a sequence number. The prompt is never sent twice. The HTTP
// serves one subscription, because its functions share the id.
func ExampleHTTP_backgroundResponse() {
	srv := httptest.NewServer(http.HandlerFunc(modelServer))
	defer srv.Close()

	var id string // of the response
	reply := &transport.HTTP{
		URL:         srv.URL + "/v1/responses", // https://api.openai.com/v1/responses
		Method:      "POST",
		Body:        []byte(`{"model":"m","input":"Say hello","background":true,"stream":true}`),
		Header:      http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer key"}},
		ResumeByGet: true,
		Resume: func(req *http.Request, token string) (err error) {
			var after string
			id, after, _ = strings.Cut(token, "/")
			req.URL = req.URL.JoinPath(url.PathEscape(id))
			req.URL.RawQuery = url.Values{"stream": {"true"}, "starting_after": {after}}.Encode()
			return nil
		},
		OnMessage: func(m *transport.Message) error {
			if created := decode.Field(m.Data, "response.id"); created != "" {
				id = created
			}
			m.Token = id + "/" + decode.Field(m.Data, "sequence_number")
			switch m.Type {
			case "response.completed", "response.incomplete", "response.failed":
				m.Parts = []transport.Message{*m} // the last event
				return transport.ErrComplete
			}
			return nil
		},
	}
	sub, err := client.Subscribe(context.Background(), reply, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sub.Close()
	for ev, err := range sub.Events() {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s %s %q\n", ev.Token, ev.Type, decode.Field(ev.Data, "delta"))
	}
	// Output:
	// POST /v1/responses
	// resp_1/0 response.created ""
	// resp_1/1 response.output_text.delta "Hel"
	// GET /v1/responses/resp_1?starting_after=1&stream=true
	// resp_1/2 response.output_text.delta "lo"
	// resp_1/3 response.completed ""
}

// modelServer loses the connection in the middle of a reply.
func modelServer(w http.ResponseWriter, r *http.Request) {
	fmt.Println(r.Method, r.URL)
	w.Header().Set("Content-Type", "text/event-stream")
	events := []string{
		"event: response.created\ndata: {\"sequence_number\":0,\"response\":{\"id\":\"resp_1\"}}\n\n",
		"event: response.output_text.delta\ndata: {\"sequence_number\":1,\"delta\":\"Hel\"}\n\n",
		"event: response.output_text.delta\ndata: {\"sequence_number\":2,\"delta\":\"lo\"}\n\n",
		"event: response.completed\ndata: {\"sequence_number\":3,\"response\":{\"id\":\"resp_1\"}}\n\n",
	}
	if r.Method == "POST" {
		fmt.Fprint(w, events[0], events[1])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	fmt.Fprint(w, events[2], events[3])
}
