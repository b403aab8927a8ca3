// Package webhook receives webhooks: a [Receiver] turns the signed POST requests of a sender into
// the events of a feed, and answers each once its events are acknowledged. Package provider
// describes the senders.
//
// # Which AckMode
//
// Use [AckAfterHandling], the default, if an event is handled well within the provider's Deadline, or
// if the consumer only stores it and handles it later. A 2xx then means that the event is safe, and
// the sender repeats what was refused.
//
// Use [AckOnEnqueue] only if all of this is true:
//
//   - the sender punishes a receiver that answers late, such as Sentry, which waits for a second, or
//     LINE, which waits for two (package provider lists them under "Slow receivers");
//   - the events cannot be stored within the deadline;
//   - the loss of the events in the buffer in a crash is acceptable, or Backfill fetches them again.
//
// A sender that does not repeat a delivery, such as GitHub or WooCommerce, loses what was refused
// with AckAfterHandling, and what was buffered in a crash with AckOnEnqueue. Store its events first.
//
// # Proxies
//
// A proxy must forward path, query, body and headers unchanged: signatures cover these bytes.
//
//   - nginx answers bodies above 1 MiB with 413 itself (client_max_body_size), and a header line above
//     8 KiB with 400 (large_client_header_buffers), whatever MaxBody is. It waits 60 s for an answer
//     (proxy_read_timeout), and does not repeat a POST at another server once it has sent it
//     (proxy_next_upstream).
//   - Amazon API Gateway decodes the query and encodes it again, which breaks the signatures of
//     senders that sign the URL: Twilio, Square, HubSpot, Trello, Mandrill. It limits bodies to
//     10 MB and the time for an answer to 29 s. A Lambda function gets a body in Base64 if
//     isBase64Encoded is true: decode it before ServeHTTP.
//   - A proxy that ends TLS or changes the path needs [Receiver] URL for these senders: the URL that
//     the sender was configured with.
//   - A proxy that parses JSON and writes it again, decompresses bodies, or converts between
//     encodings breaks every signature of a body.
//   - A firewall or cache that answers GET, HEAD or OPTIONS itself prevents handshakes.
package webhook
