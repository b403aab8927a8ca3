package provider

var PublicOnly = publicOnly
