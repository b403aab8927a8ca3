package retry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"reflect"
)

// classifyTLS classifies the errors of crypto/tls and crypto/x509.
func classifyTLS(err error) (Class, bool) {
	switch err := err.(type) {
	case *tls.CertificateVerificationError, x509.CertificateInvalidError, x509.HostnameError,
		x509.UnknownAuthorityError, x509.SystemRootsError:
		return classifyCertificate(err), true
	case tls.RecordHeaderError:
		return ClassProtocol, true
	case *net.OpError:
		if code, ok := alertOf(err); ok {
			return classifyAlert(code), true
		}
	}
	return ClassNetwork, false
}

func classifyCertificate(err error) Class {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return ClassNetwork
	}
	return refused
}

// alertOf returns the code of an alert that the peer sent. crypto/tls wraps it in an unexported
// type, whose kind is uint8.
func alertOf(err *net.OpError) (code uint8, ok bool) {
	if v := reflect.ValueOf(err.Err); err.Op == "remote error" && v.Kind() == reflect.Uint8 {
		return uint8(v.Uint()), true
	}
	return 0, false
}

// Alerts of RFC 8446, section 6.2. Those below 40, internal_error and user_canceled are not about
// the configuration of either side.
const (
	alertHandshakeFailure = 40 // the first one about the configuration
	alertInternalError    = 80
	alertUserCanceled     = 90
)

func classifyAlert(code uint8) Class {
	if code < alertHandshakeFailure || code == alertInternalError || code == alertUserCanceled {
		return ClassNetwork
	}
	return ClassProtocol
}
