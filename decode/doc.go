// Package decode cuts byte streams into frames, as the framing of a streaming API defines them. It
// needs no subscription: a response body, a file or a pipe is enough.
//
//	for frame, err := range decode.NewReader(resp.Body, decode.SSE{}).Frames() {
//		if err != nil {
//			return err // the stream was cut off, or it is malformed
//		}
//		fmt.Printf("%s\n", frame.Data)
//	}
//
// # Framings
//
// [Auto] finds a framing by its media type, if it has one.
//
//   - [SSE]: server-sent events
//   - [NDJSON], [Lines]: a frame is a line
//   - [CRLFJSON], [LengthPrefixed]: the framings of X
//   - [JSONSeq]: JSON text sequences, RFC 7464
//   - [RSJSON]: JSON values, each followed by a record separator, as SignalR sends them
//   - [ConcatJSON]: consecutive JSON values, as Kubernetes sends them
//   - [JSONArray]: one JSON array that grows without end, as gRPC transcoders send it
//   - [Uint32Prefixed], [VarintPrefixed]: binary lengths
//
// To add a framing, implement [Format] and [Splitter].
//
// # Delivery
//
// A frame is delivered at its last byte, without waiting for the next one. Only a number or a JSON
// literal ends when something else follows. The frames do not depend on how the stream is split
// into reads. A frame that the end of the stream cuts off is not delivered. Keepalives, comments and
// positions are frames, too, of another [Kind] than events.
//
// Payloads are not decoded. They are validated only where the framing needs that to find their
// ends: in ConcatJSON, JSONArray and JSONSeq. In any other framing, a malformed payload does not
// affect the next one, and [StrictJSON] makes a payload that is not JSON a bad frame.
//
// A byte order mark at the start of a stream of text is skipped, in every framing except the binary
// ones.
//
// The receiver owns the frames. Bytes are read once, into memory that is never reused, and a frame
// that crosses two reads is copied a constant number of times.
//
// # Errors
//
// A [FrameError] reports what is wrong and at which byte. The end of the stream is io.EOF between
// two frames and io.ErrUnexpectedEOF inside a frame. A frame larger than the limit is [ErrTooLarge];
// no memory is allocated for the part over the limit. With [Reader.OnBadFrame], a Reader continues
// after a bad frame if the framing allows it. The limit on a block includes the line ends, and the
// limit on an announced length includes all that it counts; other limits do not include the
// delimiters of a frame.
//
//	framing                         limit on          continues after a bad frame
//	SSE                             lines of a block  at the next empty line
//	NDJSON, Lines, CRLFJSON, RSJSON a line            at the next line
//	JSONSeq                         a record          at the next record separator
//	ConcatJSON, JSONArray           a value           after the value; not if malformed
//	LengthPrefixed, Uint32Prefixed,
//	VarintPrefixed                  announced length  after that length; not if malformed
//
// # JSON
//
// [Field] returns a value of a payload without decoding it. It validates the whole payload, and
// [Fields] does so once for several values. [JSON] decodes a payload.
//
// # Goroutines
//
// The package starts no goroutines and has no global state. A Reader and a Splitter belong to one
// goroutine.
//
// # Testing
//
// A Splitter does no I/O: pass it bytes and check the frames. The directory testdata/streams has
// streams as well-known feeds send them.
package decode
