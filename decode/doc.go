// Package decode cuts byte streams into frames, as the framing of a streaming API defines
// them. It needs no subscription: a response body, a file or a pipe is enough.
//
//	for frame, err := range decode.NewReader(resp.Body, decode.SSE{}, 0).Frames() {
//		if err != nil {
//			return err // the stream broke off, or its sender breaks the rules
//		}
//		fmt.Printf("%s\n", frame.Data)
//	}
//
// # Framings
//
// Those for which a media type stands are found by [Auto].
//
//   - [SSE]: server-sent events
//   - [NDJSON], [Lines]: a frame is a line
//   - [CRLFJSON], [LengthPrefixed]: what X sends
//   - [JSONSeq]: JSON text sequences, RFC 7464
//   - [RSJSON]: JSON values with a record separator after each, as SignalR sends them
//   - [ConcatJSON]: JSON values one after the other, as Kubernetes sends them
//   - [JSONArray]: one JSON array that does not end, as gRPC transcoders send it
//   - [Uint32Prefixed], [VarintPrefixed]: binary lengths
//
// Any other one is a [Format] with its [Splitter], which sees bytes only.
//
// # Delivery
//
// A frame is delivered at its last byte, without waiting for the next, and however the
// stream arrives in pieces the frames are the same. Only a number or a JSON literal
// is over when something else follows. A frame that the end of the stream cuts off is
// not delivered. What is not an event is a frame too, of another [Kind]: keepalives,
// comments, positions. Payloads are not decoded. They are validated only where the framing
// needs it to find their ends: in ConcatJSON, JSONArray and JSONSeq. In any other framing an
// event that is not what it should be does not affect the next one, and [StrictJSON] makes a
// payload that is not JSON a bad frame.
//
// A byte order mark at the beginning of a stream of text is skipped, in every framing but the
// binary ones.
//
// Frames are owned by who receives them. The bytes are read once, into memory that is
// never used again, and a frame that crosses two reads is copied a constant number of
// times.
//
// # Errors
//
// A [FrameError] says what is wrong and at which byte. The end of the stream is io.EOF
// between two frames, and io.ErrUnexpectedEOF inside one. A frame larger than the limit
// is [ErrTooLarge] before memory is taken for what is over the limit. Where the framing
// knows how to go on behind a bad frame, [Reader.OnBadFrame] does so. The limit on a block
// counts the ends of its lines, and an announced length what it announces; no other limit
// counts what delimits a frame.
//
//	framing                         limit on          goes on behind a frame that is bad
//	SSE                             lines of a block  at the next empty line
//	NDJSON, Lines, CRLFJSON, RSJSON a line            at the next line
//	JSONSeq                         a record          at the next record separator
//	ConcatJSON, JSONArray           a value           after the value; not if malformed
//	LengthPrefixed, Uint32Prefixed,
//	VarintPrefixed                  announced length  behind that length; not if malformed
//
// # JSON
//
// [Field] takes a value out of a payload without decoding it, [Switch] routes by one, and
// [JSON] decodes. The first two look at the whole payload and refuse what is not valid.
//
// # Goroutines
//
// The package starts none and has no state of its own. A Reader and a Splitter belong to
// one goroutine.
//
// # Testing
//
// A Splitter is a pure function with memory: give it bytes, see what comes. Streams as
// well-known feeds send them are in testdata/streams.
package decode
