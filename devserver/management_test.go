package devserver

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

// RabbitMQ fails over a connection that ends while it is being closed: that is no reason to
// give up, unless it lasts.
func TestConnectionsAreClosedThoughOneEndsMeanwhile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		failures int
		want     error
	}{{1, nil}, {1000, errInternal}} {
		deletes := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				_, _ = w.Write([]byte(`[{},{}]`))
				return
			}
			if deletes++; deletes <= c.failures {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}))
		m := &management{base: server.URL, http: server.Client()}
		err := m.closeConnections(t.Context(), []string{"user"}, "why")
		server.Close()
		if !errors.Is(err, c.want) || deletes < 2 {
			t.Errorf("after %d failures: got %v and %d tries, want %v after more than one", c.failures, err, deletes, c.want)
		}
	}
}

// A cluster may fail at a new vhost that one of its nodes does not know yet. What is half made is
// deleted before the next try.
func TestVhostIsMadeAgainWhereANodeDidNotKnowIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		failures int
		remains  int // the status with which what is half made is deleted
		want     error
		tries    int
	}{
		{1, http.StatusNoContent, nil, 2},
		{1, http.StatusNotFound, nil, 2},
		{1, http.StatusInternalServerError, errInternal, 1},
		{1000, http.StatusNoContent, errInternal, vhostTries},
	} {
		var calls []string
		tries := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			calls = append(calls, r.Method)
			if r.Method == http.MethodDelete {
				w.WriteHeader(c.remains)
			} else if tries++; tries <= c.failures {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}))
		m := &management{base: server.URL, http: server.Client()}
		err := m.putVhost(t.Context(), "vhost")
		server.Close()
		if !errors.Is(err, c.want) || tries != c.tries {
			t.Errorf("%+v: got %v after %d tries", c, err, tries)
		}
		for i, call := range calls {
			if want := []string{http.MethodPut, http.MethodDelete}[i%2]; call != want {
				t.Errorf("%+v: call %d was %s, want %s", c, i, call, want)
			}
		}
	}
}
