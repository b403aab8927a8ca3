// Package joined takes errors apart that errors.Join has joined.
package joined

import "errors"

// List returns what errors.Join joined, at any depth. An error that wraps joined ones stays
// whole, and so does one that joins with a text of its own, as fmt.Errorf does: its text
// would be lost. List of nil is nil.
func List(err error) (list []error) {
	if err == nil {
		return nil
	}
	parts, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	if again := errors.Join(parts.Unwrap()...); again == nil || again.Error() != err.Error() {
		return []error{err}
	}
	for _, part := range parts.Unwrap() {
		list = append(list, List(part)...)
	}
	return list
}
