package integration_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// permissions are RabbitMQ's three regular expressions.
type permissions struct{ configure, write, read string }

// only is a regular expression for nothing but these, each a regular expression itself.
func only(names ...string) string {
	if len(names) == 1 {
		return "^" + names[0] + "$"
	}
	return "^(" + strings.Join(names, "|") + ")$"
}

// nothing is a permission for no name at all.
const nothing = "^$"

// without is expression less one name. A name that ends with a dash stands for all that
// begin with it: the server makes up the rest.
func without(expression, name string) string {
	end := "$"
	if strings.HasSuffix(name, "-") {
		end = ""
	}
	return "^(?!" + strings.ReplaceAll(name, ".", `\.`) + end + ")" + strings.TrimPrefix(expression, "^")
}

// An administrator makes users in the virtual host of a test.
type administrator struct {
	t    *testing.T
	url  *url.URL // of the virtual host's owner
	base string   // of the management API
	http *http.Client
}

func newAdministrator(t *testing.T, base, vhost string) *administrator {
	t.Helper()
	u, err := url.Parse(vhost)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &administrator{t, u, base, &http.Client{Transport: transport, Timeout: patience}}
}

// user makes a user until the test ends, and returns the URL that it connects with.
func (a *administrator) user(p permissions) string {
	a.t.Helper()
	return a.userWith("user-"+strings.ToLower(rand.Text()), rand.Text(), p)
}

// userWith is user with a name and a password of the test's choice.
func (a *administrator) userWith(name, password string, p permissions) string {
	a.t.Helper()
	a.password(name, password)
	a.t.Cleanup(func() { a.call(http.MethodDelete, "/api/users/"+name, nil) })
	a.permit(name, p)
	u := *a.url
	u.User = url.UserPassword(name, password)
	return u.String()
}

// password makes a user, or gives an old one a new password.
func (a *administrator) password(name, password string) {
	a.t.Helper()
	a.put("/api/users/"+name, map[string]any{"password": password, "tags": ""})
}

// permit sets a user's permissions.
func (a *administrator) permit(name string, p permissions) {
	a.t.Helper()
	a.put("/api/permissions"+a.url.Path+"/"+name,
		map[string]any{"configure": p.configure, "write": p.write, "read": p.read})
}

func (a *administrator) put(path string, body any) {
	a.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		a.t.Fatal(err)
	}
	a.call(http.MethodPut, path, b)
}

// names are those of all exchanges and queues in the virtual host, but for RabbitMQ's own
// exchanges, of which it has the default one by the name that permissions know.
func (a *administrator) names() []string {
	a.t.Helper()
	names := []string{"amq.default"}
	for _, what := range []string{"exchanges", "queues"} {
		var list []struct{ Name string }
		if err := json.Unmarshal(a.call(http.MethodGet, "/api/"+what+a.url.Path, nil), &list); err != nil {
			a.t.Fatal(err)
		}
		for _, object := range list {
			if object.Name != "" && (what == "queues" || !strings.HasPrefix(object.Name, "amq.")) {
				names = append(names, object.Name)
			}
		}
	}
	return names
}

func (a *administrator) call(method, path string, body []byte) []byte {
	a.t.Helper()
	answer, err := a.do(method, path, body)
	if err != nil {
		a.t.Fatalf("management API: %s %s: %v", method, path, err)
	}
	return answer
}

func (a *administrator) do(method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequest(method, a.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	password, _ := a.url.User.Password()
	req.SetBasicAuth(a.url.User.Username(), password)
	resp, err := a.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if resp.StatusCode >= 300 {
		return nil, fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return answer, err
}
