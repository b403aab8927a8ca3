package decode

// RSJSON is the framing of JSON values that are each followed by a record separator, 0x1E, as in the
// JSON protocol of SignalR (github.com/dotnet/aspnetcore, HubProtocol.md). SignalR's handshake is a
// separate record, which may be in one message with the first events. An empty record is a
// keepalive. A last record without its end is io.ErrUnexpectedEOF. Records are not validated. For a
// record separator before each value, see [JSONSeq].
var RSJSON Format = &framing{
	splitter: func(maxFrame int) Splitter {
		return &lineSplitter{format: "RSJSON", limit: maxFrame, end: recordSeparator, closed: never}
	},
}

func never([]byte) bool { return false }
