package provider

// Auth0 returns the Provider for Auth0's event streams and for its custom log streams, in each of
// their content formats. A secret is the whole value of the header Authorization: the
// authorization token of a log stream as it was entered; "Bearer " and the token of an event
// stream. For another header, change the Header of the Scheme, a Token. The body is not protected.
//
// The type of an event is that of an event stream, such as "user.created", or of the log, such as
// "fs".
// (https://auth0.com/docs/customize/log-streams/custom-log-streams,
// https://auth0.com/docs/customize/events)
func Auth0(secrets ...string) *Provider {
	p := &Provider{
		Name:    "auth0",
		Scheme:  Token{Header: "Authorization"},
		ID:      path("id", "log_id"),
		Payload: Payload{Items: "@this", ID: path("id", "log_id"), Type: path("type", "data.type"), Unique: true},
	}
	return p.with(secrets)
}
