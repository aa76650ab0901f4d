package devserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// management is a client of RabbitMQ's HTTP API, which does in milliseconds what
// rabbitmqctl, starting an Erlang VM, does in seconds.
type management struct {
	base           string // http://host:port
	user, password string
	http           *http.Client
}

func newManagement(base, user, password string) *management {
	return &management{
		base:     strings.TrimSuffix(base, "/"),
		user:     user,
		password: password,
		// Its own transport, so that close leaves no idle connection and touches
		// nobody else's. A call takes milliseconds, on a busy cluster seconds; the bound is for
		// a node that hangs.
		http: &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second},
	}
}

func (m *management) close() { m.http.CloseIdleConnections() }

// version returns the server's version, once it serves the API.
func (m *management) version(ctx context.Context) (string, error) {
	var overview struct {
		Version string `json:"rabbitmq_version"`
	}
	err := m.call(ctx, http.MethodGet, "/api/overview", nil, nil, &overview)
	return overview.Version, err
}

// administrator returns an error unless the user may make vhosts.
func (m *management) administrator(ctx context.Context) error {
	var who struct {
		Tags tags `json:"tags"`
	}
	if err := m.call(ctx, http.MethodGet, "/api/whoami", nil, nil, &who); err != nil {
		return err
	}
	if !slices.Contains(who.Tags, "administrator") {
		return fmt.Errorf("user %s has no administrator tag", m.user)
	}
	return nil
}

// tags is a list, which servers before 3.9 send as one comma-separated string.
type tags []string

func (t *tags) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = strings.Split(one, ",")
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

// createVhost makes a vhost and a user of that name.
func (m *management) createVhost(ctx context.Context, name, password string) error {
	type object = map[string]string
	all := object{"configure": ".*", "write": ".*", "read": ".*"}
	if err := m.putVhost(ctx, name); err != nil {
		return err
	}
	for _, put := range []struct {
		path string
		body object
	}{
		{"/api/users/" + name, object{"password": password, "tags": "administrator"}},
		{"/api/permissions/" + name + "/" + name, all},
		// The server's own user too, so that its pages show what is in the vhost.
		{"/api/permissions/" + name + "/" + m.user, all},
	} {
		if err := m.call(ctx, http.MethodPut, put.path, nil, put.body, nil); err != nil {
			return err
		}
	}
	return nil
}

// vhostTries is how often a vhost is made, if the server fails at it.
const vhostTries = 5

// putVhost makes a vhost. It says nothing of a default queue type, so that the server's own
// default holds.
//
// A cluster of RabbitMQ 4.3.6 was seen to fail at it, rarely, with no_such_vhost of the new vhost
// itself: the node that makes it tells the others to start it, and one has not heard of it yet.
// What is then there of it is deleted, and it is made again.
func (m *management) putVhost(ctx context.Context, name string) (err error) {
	path := "/api/vhosts/" + name
	body := map[string]string{"description": "made by errand's devserver"}
	for range vhostTries {
		err = m.call(ctx, http.MethodPut, path, nil, body, nil)
		if !errors.Is(err, errInternal) {
			return err
		}
		if remains := m.call(ctx, http.MethodDelete, path, nil, nil, nil); remains != nil && !errors.Is(remains, errNotFound) {
			return errors.Join(err, remains)
		}
	}
	return err
}

// nodes is how many nodes of the cluster run, as this one sees it.
func (m *management) nodes(ctx context.Context) (running int, err error) {
	var nodes []struct {
		Running bool `json:"running"`
	}
	err = m.call(ctx, http.MethodGet, "/api/nodes?columns=running", nil, nil, &nodes)
	for _, n := range nodes {
		if n.Running {
			running++
		}
	}
	return running, err
}

// permitted returns an error unless the user has permissions in the vhost.
func (m *management) permitted(ctx context.Context, vhost, user string) error {
	return m.call(ctx, http.MethodGet, "/api/permissions/"+vhost+"/"+user, nil, nil, nil)
}

func (m *management) deleteVhost(ctx context.Context, name string) error {
	return errors.Join(
		m.call(ctx, http.MethodDelete, "/api/users/"+name, nil, nil, nil),
		m.call(ctx, http.MethodDelete, "/api/vhosts/"+name, nil, nil, nil),
	)
}

func (m *management) users(ctx context.Context) ([]string, error) {
	var users []struct {
		Name string `json:"name"`
	}
	err := m.call(ctx, http.MethodGet, "/api/users?columns=name", nil, nil, &users)
	names := make([]string, len(users))
	for i, u := range users {
		names[i] = u.Name
	}
	return names, err
}

// closeConnections closes the connections of users. Where there are none it looks again for
// a while, because the server learns of a connection after its client does, and also where
// the server fails, which it does over a connection that ends at the same time.
//
// It goes by user and not by the list of all connections: that one is made of statistics
// and misses the connections of the last five seconds.
func (m *management) closeConnections(ctx context.Context, users []string, reason string) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	var failed error
	for range 10 {
		closed := 0
		failed = nil
		for _, user := range users {
			n, err := m.closeConnectionsOf(ctx, user, reason)
			if errors.Is(err, errInternal) {
				failed = err
			} else if err != nil {
				return err
			}
			closed += n
		}
		if closed > 0 && failed == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return failed
}

func (m *management) closeConnectionsOf(ctx context.Context, user, reason string) (int, error) {
	path := "/api/connections/username/" + url.PathEscape(user)
	var open []struct{}
	if err := m.call(ctx, http.MethodGet, path, nil, nil, &open); err != nil || len(open) == 0 {
		return 0, err
	}
	return len(open), m.call(ctx, http.MethodDelete, path, http.Header{"X-Reason": {reason}}, nil, nil)
}

// Wrapped by the error of a call at which the server has failed, and of one about an object that
// it does not have.
var (
	errInternal = errors.New("500 Internal Server Error")
	errNotFound = errors.New("404 Not Found")
)

func (m *management) call(ctx context.Context, method, path string, header http.Header, in, out any) error {
	if err := m.do(ctx, method, path, header, in, out); err != nil {
		return fmt.Errorf("management API: %s %s: %w", method, path, err)
	}
	return nil
}

func (m *management) do(ctx context.Context, method, path string, header http.Header, in, out any) error {
	var body io.Reader = http.NoBody
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, m.base+path, body)
	if err != nil {
		return err
	}
	if header != nil {
		req.Header = header
	}
	req.Header.Set("Content-Type", "application/json")
	// Not sent: it tells the transport that any call may be made again, on another connection,
	// when the server has just closed the one that was idle.
	req.Header["Idempotency-Key"] = []string{}
	req.SetBasicAuth(m.user, m.password)
	resp, err := m.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	switch {
	case resp.StatusCode == http.StatusInternalServerError:
		return fmt.Errorf("%w: %s", errInternal, bytes.TrimSpace(answer))
	case resp.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%w: %s", errNotFound, bytes.TrimSpace(answer))
	case resp.StatusCode >= 300:
		return fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(answer))
	case err != nil:
		return err
	case out == nil:
		return nil
	}
	return json.Unmarshal(answer, out)
}
