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
