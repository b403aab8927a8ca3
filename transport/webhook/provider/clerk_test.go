package provider_test

import "github.com/steadfeed/steadfeed/transport/webhook/provider"

// The vectors of both are those of the integration test: their libraries verify what Svix's signs.
func clerkSample() sample {
	s := svixSample()
	s.name, s.make, s.vectors = "clerk", provider.Clerk, nil
	return s
}

func resendSample() sample {
	s := svixSample()
	s.name, s.make, s.vectors = "resend", provider.Resend, nil
	return s
}
