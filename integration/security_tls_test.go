package integration_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/devserver"
	"github.com/errandq/errand/job"
)

// expired is a certificate that was good until an hour ago.
func (a authority) expired(t *testing.T, name string) tls.Certificate {
	t.Helper()
	c := a.issue(t, name)
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	leaf.NotBefore, leaf.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	if c.Certificate[0], err = x509.CreateCertificate(rand.Reader, leaf, a.certificate, leaf.PublicKey, a.key); err != nil {
		t.Fatal(err)
	}
	return c
}

// A keyring is a directory with certificates and keys as files.
type keyring struct {
	t   *testing.T
	dir string
}

func (k keyring) file(name string) string { return filepath.Join(k.dir, name) }

func (k keyring) write(name, kind string, der []byte) {
	k.t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(k.file(name), text, 0o600); err != nil {
		k.t.Fatal(err)
	}
}

// add writes name.pem and name.key.
func (k keyring) add(name string, c tls.Certificate) {
	k.t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		k.t.Fatal(err)
	}
	k.write(name+".pem", "CERTIFICATE", c.Certificate[0])
	k.write(name+".key", "PRIVATE KEY", key)
}

// A fortress is a server that takes TLS only with a client's certificate, and by EXTERNAL
// logs in the user that it names.
type fortress struct {
	ours  authority
	keys  keyring
	admin *administrator
	url   string // amqps, of a virtual host and its owner
}

// newFortress starts one. The files that its configuration names are here, so it is the
// RabbitMQ that is installed here.
func newFortress(t *testing.T) *fortress {
	t.Helper()
	f := &fortress{ours: newAuthority(t), keys: keyring{t, t.TempDir()}}
	f.keys.write("ca.pem", "CERTIFICATE", f.ours.certificate.Raw)
	f.keys.add("server", f.ours.issue(t, "rabbit.example"))
	address := quietAddress(t)
	mark := "# " + rand.Text()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	server, err := devserver.Start(ctx, devserver.Options{Private: true, Nodes: 1, Logger: quiet, Config: fmt.Sprintf(`%s
listeners.ssl.1 = %s
ssl_options.cacertfile = %s
ssl_options.certfile = %s
ssl_options.keyfile = %s
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
ssl_cert_login_from = common_name
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = EXTERNAL
`, mark, address, f.keys.file("ca.pem"), f.keys.file("server.pem"), f.keys.file("server.key"))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	enablePlugin(t, mark, "rabbitmq_auth_mechanism_ssl")
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	plain, err := server.NewVhost(ctx)
	if err != nil {
		t.Fatal(err)
	}
	f.admin = newAdministrator(t, server.ManagementURL(), plain)
	f.url = changed(t, plain, func(u *url.URL) { u.Scheme, u.Host = "amqps", address })
	return f
}

// quietAddress is one at which nobody listens, below the ports that outgoing connections are
// given: one of those could take it while the server restarts.
func quietAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+mathrand.IntN(10000)))
		if err != nil {
			continue // taken
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return l.Addr().String()
	}
	t.Fatal("no free port")
	panic("unreachable")
}

// enablePlugin lets the node whose configuration has this mark start the plugin with its
// next start.
func enablePlugin(t *testing.T, mark, plugin string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(os.TempDir(), "errand-rabbitmq-*", "rabbitmq.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), mark) {
			continue // another node's, which may be just gone
		}
		enabled := filepath.Join(filepath.Dir(file), "enabled_plugins")
		if err := errors.Join(os.Chmod(enabled, 0o600), os.WriteFile(enabled, []byte("[rabbitmq_management,"+plugin+"].\n"), 0o600)); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("none of the nodes in %s is ours", os.TempDir())
}

// RabbitMQ's own TLS: TestTLS has a proxy's.
func TestTLSOfRabbitMQ(t *testing.T) {
	t.Parallel()
	f := newFortress(t)
	theirs := newAuthority(t)
	f.keys.write("theirs.pem", "CERTIFICATE", theirs.certificate.Raw)
	f.keys.add("worker", f.ours.issue(t, "worker"))
	worker := []tls.Certificate{f.ours.issue(t, "worker")}
	with := func(change func(c *tls.Config)) *tls.Config {
		c := &tls.Config{RootCAs: f.ours.pool(), Certificates: worker}
		change(c)
		return c
	}
	files := func(ca string) url.Values {
		return url.Values{"cacertfile": {f.keys.file(ca)}, "certfile": {f.keys.file("worker.pem")}, "keyfile": {f.keys.file("worker.key")}}
	}
	for _, c := range []struct {
		name   string
		client *tls.Config
		query  url.Values
		want   []string // in the error; none: it works
	}{
		{name: "private authority", client: with(func(*tls.Config) {})},
		{name: "TLS 1.2", client: with(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })},
		{name: "files", query: files("ca.pem")},
		{name: "the server's other name", client: with(func(c *tls.Config) { c.ServerName = "rabbit.example" })},
		{
			name:   "wrong host name",
			client: with(func(c *tls.Config) { c.ServerName = "hare.example" }),
			want:   []string{"certificate", "rabbit.example", "hare.example", "broker.Config.TLS"},
		},
		{
			name:   "unknown authority",
			client: with(func(c *tls.Config) { c.RootCAs = theirs.pool() }),
			want:   []string{"unknown authority", "broker.Config.TLS"},
		},
		{
			name:  "unknown authority in a file",
			query: files("theirs.pem"),
			want:  []string{"unknown authority"},
		},
		{
			name:   "the system's authorities",
			client: with(func(c *tls.Config) { c.RootCAs = nil }),
			want:   []string{"unknown authority"},
		},
		{
			name:   "expired certificate", // by the client's clock, which is all that matters
			client: with(func(c *tls.Config) { c.Time = func() time.Time { return time.Now().Add(48 * time.Hour) } }),
			want:   []string{"certificate has expired", "broker.Config.TLS"},
		},
		{
			name:   "expired certificate of the client",
			client: with(func(c *tls.Config) { c.Certificates = []tls.Certificate{f.ours.expired(t, "worker")} }),
			want:   []string{"expired", "client certificate"},
		},
		{
			name:   "client certificate of an unknown authority",
			client: with(func(c *tls.Config) { c.Certificates = []tls.Certificate{theirs.issue(t, "worker")} }),
			want:   []string{"unknown", "client certificate"},
		},
		{
			name:   "no client certificate",
			client: with(func(c *tls.Config) { c.Certificates = nil }),
			want:   []string{"client certificate"},
		},
		{
			name:   "no client certificate, TLS 1.2",
			client: with(func(c *tls.Config) { c.Certificates, c.MaxVersion = nil, tls.VersionTLS12 }),
			want:   []string{"client certificate"},
		},
		{
			name:  "missing file",
			query: url.Values{"cacertfile": {f.keys.file("nowhere.pem")}},
			want:  []string{"cacertfile", "nowhere.pem"},
		},
		{
			name:  "key of another certificate",
			query: url.Values{"certfile": {f.keys.file("worker.pem")}, "keyfile": {f.keys.file("server.key")}},
			want:  []string{"certfile and keyfile"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			address := changed(t, f.url, func(u *url.URL) { u.RawQuery = c.query.Encode() })
			f.dial(t, address, c.client, c.want)
		})
	}
	t.Run("external", func(t *testing.T) { f.external(t) })
}

// external logs in by the certificate, without any password.
func (f *fortress) external(t *testing.T) {
	f.admin.userWith("worker", rand.Text(), permissions{".*", ".*", ".*"})
	address := changed(t, f.url, func(u *url.URL) { u.User, u.RawQuery = nil, "auth_mechanism=EXTERNAL" })
	as := func(name string) *tls.Config {
		return &tls.Config{RootCAs: f.ours.pool(), Certificates: []tls.Certificate{f.ours.issue(t, name)}}
	}
	f.dial(t, address, as("worker"), nil)
	f.dial(t, address, as("nobody"), []string{"user", "client certificate"})
}

// dial enqueues a job over TLS, or wants an error with these words at once.
func (f *fortress) dial(t *testing.T, address string, client *tls.Config, want []string) {
	t.Helper()
	if len(want) == 0 {
		enqueue(t, dialWith(t, address, broker.Config{TLS: client}), job.Define[string]("secret").New(strings.Repeat("x", 1_000_000)))
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	began := time.Now()
	conn, err := broker.Dial(ctx, address, broker.Config{TLS: client, Logger: quiet})
	if err == nil {
		t.Fatal("got a connection, want an error", conn.Close())
	}
	if _, ok := errors.AsType[*broker.DialError](err); !ok && !strings.Contains(err.Error(), "file") {
		t.Errorf("got a %T, want a *broker.DialError", err)
	}
	for _, word := range want {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("got %q, want %q in it", err, word)
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it was tried again and again: %v", err)
	}
	t.Logf("after %v: %v", time.Since(began).Round(time.Millisecond), err)
}
