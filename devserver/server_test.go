package devserver

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

func TestVhosts(t *testing.T) {
	t.Parallel()
	s := shared.Server(t)
	url := shared.URL(t)
	other := shared.URL(t)
	if url == other {
		t.Fatalf("got %s twice, want fresh vhosts", url)
	}
	login(t, url)
	login(t, s.URL())
	if err := s.DeleteVhost(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	err := s.manage.call(t.Context(), http.MethodGet, "/api/vhosts/"+vhost(t, url), nil, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("vhost after DeleteVhost: got %v, want 404", err)
	}
	if err := s.DeleteVhost(t.Context(), s.URL()); err != nil {
		t.Errorf("DeleteVhost of the server's own URL: got %v, want nothing done", err)
	}
	login(t, s.URL())
}

func vhost(t *testing.T, raw string) string {
	t.Helper()
	list, err := parseURLs(raw)
	if err != nil {
		t.Fatal(err)
	}
	return list[0].Path[1:]
}

func TestCloseConnectionsOfOneVhost(t *testing.T) {
	t.Parallel()
	s := shared.Server(t)
	mine, others := shared.URL(t), shared.URL(t)
	closed, kept := login(t, mine), login(t, others)
	if err := s.CloseConnections(t.Context(), "for maintenance", mine); err != nil {
		t.Fatal(err)
	}
	const closeMethod, closeOK = 50, 51
	args := closed.expect(t, closeMethod)
	if !bytes.Contains(args, []byte("CONNECTION_FORCED")) || !bytes.Contains(args, []byte("for maintenance")) {
		t.Errorf("got close with %q, want CONNECTION_FORCED and the reason", args)
	}
	// The other connection still answers: its own close is what comes back.
	kept.send(t, closeMethod, []byte{0, 200, 0, 0, 0, 0, 0})
	kept.expect(t, closeOK)
}

func TestExternal(t *testing.T) {
	t.Parallel()
	s := shared.Server(t)
	external := machine{url: s.URL(), managementURL: s.ManagementURL()}

	t.Run("with vhosts", func(t *testing.T) {
		e, err := start(t.Context(), Options{}, external)
		if err != nil {
			t.Fatal(err)
		}
		if e.URL() != s.URL() || e.ManagementURL() != s.ManagementURL() {
			t.Errorf("got %s, %s, want those of AMQP_URL", e.URL(), e.ManagementURL())
		}
		url, err := e.NewVhost(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		login(t, url)
		if err := e.CloseConnections(t.Context(), "test", url); err != nil {
			t.Error(err)
		}
		if err := e.DeleteVhost(t.Context(), url); err != nil {
			t.Error(err)
		}
		if err := e.Restart(t.Context()); !errors.Is(err, ErrExternal) {
			t.Errorf("Restart: got %v, want ErrExternal", err)
		}
		if err := e.CloseConnections(t.Context(), "test"); !errors.Is(err, ErrExternal) {
			t.Errorf("CloseConnections: got %v, want ErrExternal", err)
		}
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
		login(t, s.URL()) // still there
	})
	t.Run("without", func(t *testing.T) {
		e, err := start(t.Context(), Options{}, machine{url: s.URL(), managementURL: "http://127.0.0.1:1"})
		if err != nil {
			t.Fatal(err)
		}
		url, err := e.NewVhost(t.Context())
		if err != nil || url != s.URL() {
			t.Errorf("NewVhost: got %s, %v, want %s", url, err, s.URL())
		}
		if strings.Contains(e.How(), password(t, s.URL())) {
			t.Errorf("How holds the password: %s", e.How())
		}
	})
}

func password(t *testing.T, raw string) string {
	t.Helper()
	list, err := parseURLs(raw)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := list[0].User.Password()
	return p
}

func TestExternalErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, url, want string }{
		{"nobody listens", "amqp://u:secret@127.0.0.1:1/", "does not answer"},
		{"not a URL", "amqp://u:secret@[::1", "not a URL"},
		{"wrong scheme", "http://u:secret@127.0.0.1/", "want amqp://"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := start(t.Context(), Options{}, machine{url: test.url})
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v, want an error with %q and without the password", err, test.want)
			}
		})
	}
}

func TestNothingPossible(t *testing.T) {
	t.Parallel()
	nothing := machine{engines: []string{"unix:///nonexistent/docker.sock"}, path: []string{t.TempDir()}}
	_, err := start(t.Context(), Options{Logger: slog.New(slog.DiscardHandler)}, nothing)
	if !errors.Is(err, ErrUnavailable) {
		t.Fatalf("got %v, want ErrUnavailable", err)
	}
	for _, want := range []string{"AMQP_URL: it is not set", "a container: ", "Docker engine", "rabbitmq-server is not installed", "apt-get install"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}
