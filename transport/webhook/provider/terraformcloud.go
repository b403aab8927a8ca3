package provider

// TerraformCloud returns the Provider for the notifications of HCP Terraform, formerly Terraform
// Cloud, and of Terraform Enterprise. A secret is the token of the notification configuration. Its
// verification is answered. The type of an event is its trigger, such as "run:completed". Run
// tasks sign in the same way, in the header X-Tfc-Task-Signature.
// (https://developer.hashicorp.com/terraform/cloud-docs/api-docs/notification-configurations)
func TerraformCloud(secrets ...string) *Provider {
	p := &Provider{
		Name:    "terraformcloud",
		Answers: answer200(),
		Scheme:  Signature{Algorithm: HMACSHA512, Header: "X-Tfe-Notification-Signature"},
		ID:      Source{Hash: true},
		Payload: Payload{Type: path("notifications.0.trigger", "trigger")},
		Respond: terraformVerification,
	}
	return p.with(secrets)
}

// terraformVerification removes the event of a delivery that only verifies the URL.
func terraformVerification(_ *Request, d *Delivery) *Answer {
	if d.kind() == "verification" {
		d.Events = nil
	}
	return nil
}
