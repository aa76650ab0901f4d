package integration_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
)

// An authority issues certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	a := authority{key: newKey(t)}
	a.certificate = a.sign(t, &x509.Certificate{
		Subject:               pkix.Name{CommonName: "authority"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}, nil, &a.key.PublicKey)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign completes a certificate; a nil issuer means itself.
func (a authority) sign(t *testing.T, c, issuer *x509.Certificate, key *ecdsa.PublicKey) *x509.Certificate {
	t.Helper()
	if issuer == nil {
		issuer = c
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, key, a.key)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// issue returns a certificate for a server at 127.0.0.1 and name, and for a client.
func (a authority) issue(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key := newKey(t)
	c := a.sign(t, &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		DNSNames:    []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.certificate, &key.PublicKey)
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key}
}

func (a authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// The TLS is that of a proxy before the server, as many have it, so that the tests run on
// any server.
func TestTLS(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t), newAuthority(t)
	open := &tls.Config{Certificates: []tls.Certificate{ours.issue(t, "rabbit.example")}}
	closed := open.Clone()
	closed.ClientAuth, closed.ClientCAs = tls.RequireAndVerifyClientCert, ours.pool()
	closed12 := closed.Clone()
	closed12.MaxVersion = tls.VersionTLS12
	old := open.Clone()
	old.MaxVersion = tls.VersionTLS11

	for _, c := range []struct {
		name   string
		server *tls.Config
		client *tls.Config
		query  string // of the URL
		want   string // in the error; empty: it works
	}{
		{"authority given", open, &tls.Config{RootCAs: ours.pool()}, "", ""},
		{"no authority", open, nil, "", "certificate"},
		{"other authority", open, &tls.Config{RootCAs: theirs.pool()}, "", "certificate"},
		{"not verified", open, &tls.Config{InsecureSkipVerify: true}, "", ""},
		{"name in the config", open, &tls.Config{RootCAs: ours.pool(), ServerName: "rabbit.example"}, "", ""},
		{"name in the URL", open, &tls.Config{RootCAs: ours.pool()}, "server_name_indication=rabbit.example", ""},
		{"other name", open, &tls.Config{RootCAs: ours.pool(), ServerName: "hare.example"}, "", "hare.example"},
		{"authority in a missing file", open, nil, "cacertfile=/nowhere/ca.pem", "cacertfile"},
		{"client certificate", closed, &tls.Config{RootCAs: ours.pool(), Certificates: []tls.Certificate{ours.issue(t, "worker")}}, "", ""},
		{"no client certificate", closed, &tls.Config{RootCAs: ours.pool()}, "", "client certificate"},
		{"no client certificate, TLS 1.2", closed12, &tls.Config{RootCAs: ours.pool()}, "", "client certificate"},
		{"other client certificate", closed, &tls.Config{RootCAs: ours.pool(), Certificates: []tls.Certificate{theirs.issue(t, "worker")}}, "", "certificate"},
		{"too old a version", old, &tls.Config{RootCAs: ours.pool()}, "", "TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := rabbit.URL(t)
			p := newTLSProxy(t, server, c.server)
			address := changed(t, p.url, func(u *url.URL) { u.RawQuery = c.query })
			if c.want == "" {
				conn := dialWith(t, address, broker.Config{TLS: c.client})
				enqueue(t, conn, job.Define[string]("secret").New(strings.Repeat("x", 1_000_000)))
				dialRaw(t, server).await(job.DefaultQueue)
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			conn, err := broker.Dial(ctx, address, broker.Config{TLS: c.client, Logger: quiet})
			if err == nil {
				t.Fatal("got a connection, want an error", conn.Close())
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q, want %q in it", err, c.want)
			}
			if ctx.Err() != nil {
				t.Errorf("it was tried again and again: %v", err)
			}
		})
	}
}
