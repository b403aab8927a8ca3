package decode

import (
	"slices"
	"strings"
)

// formats are those that a media type stands for.
func formats() []Format { return []Format{SSE{}, NDJSON{}} }

// Auto returns the framing that a Content-Type stands for. Parameters are ignored, also
// when they are malformed: servers send a charset that means nothing.
// application/json is not among them, because it names no framing.
func Auto(contentType string) (f Format, ok bool) {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	for _, f := range formats() {
		if slices.Contains(f.MediaTypes(), media) {
			return f, true
		}
	}
	return nil, false
}

// MediaTypes returns the media types that Auto knows, for an Accept header.
func MediaTypes() (types []string) {
	for _, f := range formats() {
		types = append(types, f.MediaTypes()...)
	}
	return types
}
