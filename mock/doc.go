// Package mock has fake feeds, and what they need around them, for the unit tests of
// code that consumes feeds.
package mock
