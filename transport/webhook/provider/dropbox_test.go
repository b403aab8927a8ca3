package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

func dropboxSample() sample {
	return sample{
		name: "dropbox", make: provider.Dropbox, body: `{"list_folder":{"accounts":["a"]}}`, events: " ",
		sign: onHeader("X-Dropbox-Signature", "", hexMAC),
	}
}
