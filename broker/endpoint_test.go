package broker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const secret = "s3cr3t"

func TestParseEndpoints(t *testing.T) {
	t.Parallel()
	tests := []struct {
		urls string
		want []string // without user and password
	}{
		{"", []string{"amqp://localhost:5672/"}},
		{"  ", []string{"amqp://localhost:5672/"}},
		{"amqp://", []string{"amqp://localhost:5672/"}},
		{"amqp://rabbit/shop", []string{"amqp://rabbit:5672/shop"}},
		{"amqps://rabbit", []string{"amqps://rabbit:5671/"}},
		{"amqp://u:" + secret + "@rabbit:5673/%2f", []string{"amqp://rabbit:5673/"}},
		{"amqp://u:" + secret + "@[::1]:5673", []string{"amqp://[::1]:5673/"}},
		{"amqp://a,amqp://b:1, amqps://c", []string{"amqp://a:5672/", "amqp://b:1/", "amqps://c:5671/"}},
		{"amqp://u:one,two@a,amqp://u:three,@b", []string{"amqp://a:5672/", "amqp://b:5672/"}},
	}
	for _, test := range tests {
		es, err := parseEndpoints(test.urls, nil)
		if err != nil {
			t.Errorf("%s: %v", test.urls, err)
			continue
		}
		var got []string
		for _, e := range es {
			got = append(got, e.String())
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.urls, got, test.want)
		}
	}
}

func TestPasswordsMayHoldCommas(t *testing.T) {
	t.Parallel()
	es, err := parseEndpoints("amqp://u:one,two@a,amqp://v:three,@b", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []amqp.PlainAuth{{Username: "u", Password: "one,two"}, {Username: "v", Password: "three,"}} {
		if got, ok := es[i].auth().(*amqp.PlainAuth); !ok || *got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// Nothing that prints values finds the password: not even what looks into private fields.
func TestEndpointDoesNotTellThePassword(t *testing.T) {
	t.Parallel()
	es, err := parseEndpoints("amqps://u:"+secret+"@a,amqp://u:"+secret+"@b?auth_mechanism=external", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if text := fmt.Sprintf(form, es); strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) {
			t.Errorf("%s prints %s", form, text)
		}
	}
}

// Whatever is wrong with a URL, the error does not tell the password, and says which of
// several URLs is meant.
func TestBadURLsDoNotTellThePassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"http://u:" + secret + "@rabbit",
		"u:" + secret + "@rabbit",
		"my_user:" + secret + "@rabbit:5672",
		"amqp://u:" + secret + "%zz@rabbit",
		"amqp://u:" + secret + "/x@rabbit",
		"amqp://u:" + secret + "#x@rabbit:1",
		"amqp://u:" + secret, // the host was forgotten
		"amqp:u:" + secret + "@rabbit",
		"amqp://u:" + secret + " @rabbit",
		"amqp://u:" + secret + "@rabbit:port",
		"amqp://u:" + secret + "@[::1",
		"amqp://u:" + secret + "@rabbit?heartbeat=never",
		"amqps://u:" + secret + "@rabbit?cacertfile=/does/not/exist",
		"amqps://u:" + secret + "@rabbit?certfile=/does/not/exist",
		"amqp://ok,amqp://u:" + secret + "%zz@rabbit",
	} {
		_, err := Dial(t.Context(), url, Config{Logger: quiet})
		if err == nil || strings.Contains(err.Error(), secret) || !strings.HasPrefix(err.Error(), "broker: ") {
			t.Errorf("%s: got %v, want an error of broker without the password", url, err)
		}
		if strings.Contains(url, "ok,") && !strings.Contains(err.Error(), "number 2") {
			t.Errorf("%s: got %v, want it to name the second URL", url, err)
		}
	}
	const digits = "98765432109"
	if _, err := parseEndpoints("amqp://u:"+digits, nil); err == nil || strings.Contains(err.Error(), digits) {
		t.Errorf("got %v, want no part of what may be a password", err)
	}
}

// selfSigned writes a certificate with its key, and returns the paths.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	save := func(name, kind string, bytes []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return save("cert.pem", "CERTIFICATE", der), save("key.pem", "EC PRIVATE KEY", keyDER)
}

func TestTLSConfig(t *testing.T) {
	t.Parallel()
	cert, key := selfSigned(t)
	base := &tls.Config{ServerName: "of.config", MinVersion: tls.VersionTLS13}
	tests := []struct {
		name, query string
		base        *tls.Config
		server      string
		version     uint16
		roots       bool
		pairs       int
	}{
		{"nothing said", "", nil, "rabbit", tls.VersionTLS12, false, 0},
		{"config", "", base, "of.config", tls.VersionTLS13, false, 0},
		{"config wins over the query", "server_name_indication=of.query", base, "of.config", tls.VersionTLS13, false, 0},
		{"query", "server_name_indication=of.query&cacertfile=" + cert + "&certfile=" + cert + "&keyfile=" + key, nil, "of.query", tls.VersionTLS12, true, 1},
	}
	for _, test := range tests {
		es, err := parseEndpoints("amqps://rabbit?"+test.query, test.base)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		c := es[0].tls
		if c.ServerName != test.server || c.MinVersion != test.version || (c.RootCAs != nil) != test.roots || len(c.Certificates) != test.pairs || c.InsecureSkipVerify {
			t.Errorf("%s: server name %q, version %x, roots %v, %d certificates", test.name, c.ServerName, c.MinVersion, c.RootCAs != nil, len(c.Certificates))
		}
	}
	if base.ServerName != "of.config" || base.RootCAs != nil {
		t.Error("the caller's tls.Config was changed")
	}
	if _, err := parseEndpoints("amqps://rabbit?cacertfile="+key, nil); err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("a file without a certificate: got %v", err)
	}
	if es, err := parseEndpoints("amqp://rabbit?cacertfile=/does/not/exist", nil); err != nil || es[0].tls != nil {
		t.Errorf("amqp without TLS: got %v, %v", es, err)
	}
}

func TestAuth(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"": "PLAIN", "auth_mechanism=PLAIN": "PLAIN", "auth_mechanism=plain&auth_mechanism=External": "EXTERNAL", "auth_mechanism=external": "EXTERNAL",
	} {
		es, err := parseEndpoints("amqp://u:"+secret+"@rabbit?"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := es[0].auth().Mechanism(); got != want {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
}

func TestDialErrorsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	e := endpoint{uri: amqp.URI{Scheme: "amqp", Host: "rabbit", Port: 5672, Username: "u", Password: secret, Vhost: "/shop"}}
	tests := []struct {
		name    string
		err     error
		want    string
		believe int
	}{
		{"silence after the password", amqp.ErrCredentials, `no user "u"`, 2},
		{"wrong password", &amqp.Error{Code: amqp.AccessRefused, Server: true}, `no user "u"`, 1},
		{"silence after the vhost", amqp.ErrVhost, "cut", 0},
		{"vhost not allowed", &amqp.Error{Code: amqp.NotAllowed, Server: true}, `virtual host "/shop"`, 1},
		{"certificate", fmt.Errorf("TLS: %w", &tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: "rabbit"}}), "broker.Config.TLS", 1},
		{"no TLS there", fmt.Errorf("TLS: %w", tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}), "broker.Config.TLS", 1},
		{"something else", errors.New("no route to host"), "no route to host", 0},
	}
	for _, test := range tests {
		err := e.dialError(test.err)
		if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "amqp://rabbit:5672/shop") || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: got %q, want the endpoint and %q", test.name, err, test.want)
		}
		if err.believe != test.believe {
			t.Errorf("%s: got %v to be believed after %d times, want %d", test.name, err, err.believe, test.believe)
		}
	}
}

func TestTimesToBelieve(t *testing.T) {
	t.Parallel()
	certain, doubtful, passing := &DialError{believe: 1}, &DialError{believe: 2}, &DialError{}
	tests := []struct {
		err  error
		want int
	}{
		{errors.Join(certain), 1},
		{errors.Join(certain, doubtful), 2},
		{errors.Join(certain, passing), 0},
		{errors.Join(passing), 0},
		{errors.Join(errCut), 0},
		{errCut, 0},
	}
	for i, test := range tests {
		if got := timesToBelieve(test.err); got != test.want {
			t.Errorf("case %d: got %v, want %v", i, got, test.want)
		}
	}
}

// serve accepts connections and gives them to f, until the test ends.
func serve(t *testing.T, f func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return l.Addr().String()
}

// dialFor dials for at most d and returns the error that must come.
func dialFor(t *testing.T, d time.Duration, url string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	_, err := Dial(ctx, url, Config{Logger: quiet})
	if err == nil {
		t.Fatal("Dial: no error")
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("the error tells the password: %v", err)
	}
	if e, ok := errors.AsType[*DialError](err); !ok || e.Endpoint == "" {
		t.Errorf("got %v, want a DialError", err)
	}
	return err
}

func TestDialRefused(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	err = dialFor(t, time.Second, "amqp://u:"+secret+"@"+addr)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "is RabbitMQ running there?") {
		t.Errorf("got %v, want the end of ctx and a hint", err)
	}
}

func TestDialAServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	addr := serve(t, func(c net.Conn) {
		buf := make([]byte, 1<<10)
		for {
			if _, err := c.Read(buf); err != nil {
				return // the client has given up
			}
		}
	})
	if err := dialFor(t, time.Second, "amqp://u:"+secret+"@"+addr); !strings.Contains(err.Error(), "no answer to the AMQP handshake") {
		t.Errorf("got %v, want no answer", err)
	}
}

func TestDialSomethingElse(t *testing.T) {
	t.Parallel()
	addr := serve(t, func(c net.Conn) {
		buf := make([]byte, 1<<10)
		if _, err := c.Read(buf); err != nil {
			return
		}
		if _, err := c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")); err != nil {
			t.Error(err)
		}
	})
	if err := dialFor(t, time.Second, "amqp://u:"+secret+"@"+addr); errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want what the server said or the end of ctx", err)
	}
	// Trying again can't help, so it does not wait for the end of ctx.
	err := dialFor(t, dialPatience, "amqps://u:"+secret+"@"+addr)
	if !strings.Contains(err.Error(), "broker.Config.TLS") || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("TLS to a server without: got %v, want a hint at once", err)
	}
}
