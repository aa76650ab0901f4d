package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	amqp "github.com/rabbitmq/amqp091-go"
)

// An endpoint is one URL of a server.
type endpoint struct {
	uri amqp.URI    // without the password
	tls *tls.Config // nil for amqp://
	// auth has the password. It is a function because nothing that prints values looks into one.
	auth func() amqp.Authentication
}

// defaultURL is what no URL at all means.
const defaultURL = "amqp://localhost"

var errNoScheme = errors.New("it has no ://")

// parseEndpoints reads one URL, or several separated by commas.
func parseEndpoints(urls string, base *tls.Config) ([]endpoint, error) {
	if strings.TrimSpace(urls) == "" {
		urls = defaultURL
	}
	var es []endpoint
	for u := range splitURLs(urls) {
		uri, err := amqp.ParseURI(u)
		if err == nil && !strings.Contains(u, "://") {
			err = errNoScheme // the parser would take it for a scheme alone, and mean localhost
		}
		if err != nil {
			// The parser's error may quote the URL, and the password in it.
			return nil, fmt.Errorf("broker: URL number %d is not of the form amqp://user:password@host:port/vhost: %s", len(es)+1, redact(err))
		}
		e := endpoint{uri: uri, auth: authentication(uri)}
		e.uri.Password = ""
		if uri.Scheme == "amqps" {
			if e.tls, err = tlsConfig(uri, base); err != nil {
				return nil, fmt.Errorf("broker: %s: %w", e, err)
			}
		}
		es = append(es, e)
	}
	return es, nil
}

// splitURLs splits at commas that another URL follows, so that a password may hold one.
func splitURLs(urls string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		start := 0
		for i := range urls {
			if urls[i] == ',' && strings.HasPrefix(strings.TrimLeft(urls[i+1:], " "), "amqp") {
				if !yield(strings.TrimSpace(urls[start:i])) {
					return
				}
				start = i + 1
			}
		}
		yield(strings.TrimSpace(urls[start:]))
	}
}

// redact is what can be said of err without quoting a part of the URL: what looks like a bad
// port may be a password whose host was forgotten.
func redact(err error) string {
	_, parse := errors.AsType[*url.Error](err)
	_, port := errors.AsType[*strconv.NumError](err)
	if parse || port {
		return "it can't be parsed; reserved characters in the password, such as @ : / ? #, have to be percent-encoded"
	}
	return err.Error()
}

// String is the endpoint without user and password.
func (e endpoint) String() string {
	return fmt.Sprintf("%s://%s/%s", e.uri.Scheme, e.addr(), strings.TrimPrefix(e.uri.Vhost, "/"))
}

func (e endpoint) addr() string { return net.JoinHostPort(e.uri.Host, strconv.Itoa(e.uri.Port)) }

// tlsConfig is base with what the URI's query says: cacertfile, certfile and keyfile,
// server_name_indication.
func tlsConfig(uri amqp.URI, base *tls.Config) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if base != nil {
		c = base.Clone()
	}
	if c.ServerName == "" {
		c.ServerName = uri.Host
		if uri.ServerName != "" {
			c.ServerName = uri.ServerName
		}
	}
	if uri.CACertFile != "" {
		pem, err := os.ReadFile(uri.CACertFile)
		if err != nil {
			return nil, fmt.Errorf("cacertfile: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cacertfile %s: no certificate in it", uri.CACertFile)
		}
	}
	if uri.CertFile != "" || uri.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(uri.CertFile, uri.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("certfile and keyfile: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// open makes one AMQP connection.
func (e endpoint) open(ctx context.Context, cfg Config, role string) (*amqp.Connection, *socket, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	raw, err := cfg.dial(ctx, "tcp", e.addr())
	if err != nil {
		return nil, nil, e.dialError(err)
	}
	if e.tls != nil {
		secure := tls.Client(raw, e.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			raw.Close() //nolint:errcheck // the handshake's error is the one to tell
			return nil, nil, e.dialError(fmt.Errorf("TLS: %w", err))
		}
		raw = secure
	}
	s := newSocket(raw, 2*cfg.Heartbeat)
	// The library's handshake takes no context: the end of ours closes the socket under it.
	stop := context.AfterFunc(ctx, func() { s.fail(context.Cause(ctx)) })
	conn, err := amqp.Open(s, amqp.Config{
		SASL:      []amqp.Authentication{e.auth()},
		Vhost:     e.uri.Vhost,
		Heartbeat: cfg.Heartbeat,
		Locale:    "en_US",
		// A fresh table each time: the library writes into it.
		Properties: amqp.Table{"connection_name": cfg.Name + " " + role, "product": "errand"},
	})
	if err == nil && stop() {
		return conn, s, nil
	}
	stop()
	if ctx.Err() != nil {
		err = fmt.Errorf("no answer to the AMQP handshake: %w", context.Cause(ctx))
	}
	s.fail(errSocketClosed)
	<-s.finished
	return nil, nil, e.dialError(err)
}

func authentication(uri amqp.URI) func() amqp.Authentication {
	return func() amqp.Authentication {
		if isExternal(uri) {
			return &amqp.ExternalAuth{}
		}
		return uri.PlainAuth()
	}
}

// isExternal reports whether the client certificate says who the user is.
func isExternal(uri amqp.URI) bool {
	return slices.ContainsFunc(uri.AuthMechanism, func(m string) bool { return strings.EqualFold(m, "external") })
}

// unknownUser is what may be wrong with a login that was refused.
func (e endpoint) unknownUser() string {
	if isExternal(e.uri) {
		return "no user is named like the client certificate, or the server does not take it"
	}
	return fmt.Sprintf("wrong password, or no user %q", e.uri.Username)
}

var errCutInHandshake = errors.New("the connection was cut in the AMQP handshake")

// dialError says in words what kind of failure err is.
func (e endpoint) dialError(err error) *DialError {
	d := &DialError{Endpoint: e.String(), Err: err}
	switch {
	case code(err) == amqp.AccessRefused:
		d.hint, d.believe = e.unknownUser(), 1
	case errors.Is(err, amqp.ErrCredentials):
		// The library's guess when the server closes the connection without a word: RabbitMQ
		// does so over a wrong password, after three seconds; networks do it, too.
		d.hint, d.believe = e.unknownUser(), 2
	case code(err) == amqp.NotAllowed:
		d.hint, d.believe = fmt.Sprintf("does virtual host %q exist, and may user %q use it?", e.uri.Vhost, e.uri.Username), 1
	case errors.Is(err, amqp.ErrVhost):
		// Another such guess, and a wrong one: RabbitMQ says it when a virtual host is refused.
		d.Err = errCutInHandshake
	case isCertificate(err):
		d.hint, d.believe = "the certificate was not accepted: see broker.Config.TLS", 1
	case strings.Contains(err.Error(), "remote error: tls: "):
		// In TLS 1.3 it comes with the first read, of which the library keeps the text only.
		d.hint, d.believe = "the server refused TLS: does it want a client certificate? see broker.Config.TLS", 1
	case errors.Is(err, syscall.ECONNREFUSED):
		d.hint = "is RabbitMQ running there?"
	}
	return d
}

func isCertificate(err error) bool {
	_, unverified := errors.AsType[*tls.CertificateVerificationError](err)
	_, notTLS := errors.AsType[tls.RecordHeaderError](err)
	return unverified || notTLS
}
