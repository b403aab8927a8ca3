// Package record turns a real feed into a test. [Transport] and [Receiver] write what the feed
// delivers to a text file, without URLs, request headers and error texts. [Replay] turns the file
// into a script for a mock.Feed, at the recorded speed, at another one, or without pauses.
package record
