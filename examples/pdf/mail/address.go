package mail

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// server is where letters are handed over.
type server struct {
	host     string
	port     int
	user     string // empty: no authentication
	password string
}

const wantAddress = "want host:port or smtp://user:password@host:port"

// parseServer reads "host:port" or "smtp://[user:password@]host[:port]"; the port defaults to 25. Its errors quote nothing that could be
// the password.
func parseServer(address string) (server, error) {
	if address == "" {
		return server{}, errors.New("the server's address is empty; " + wantAddress)
	}
	if !strings.Contains(address, "://") {
		address = "smtp://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return server{}, errors.New("the server's address does not parse; " + wantAddress) // url's error quotes the password
	}
	if u.Scheme != "smtp" {
		return server{}, fmt.Errorf("the server's address begins with %q; %s", u.Scheme+"://", wantAddress)
	}
	if u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return server{}, errors.New("the server's address has no host, or more than a host and a port; " + wantAddress)
	}
	s := server{host: u.Hostname(), port: 25, user: u.User.Username()}
	s.password, _ = u.User.Password()
	if text := u.Port(); text != "" {
		if s.port, err = strconv.Atoi(text); err != nil || s.port < 1 || s.port > 65535 {
			return server{}, fmt.Errorf("the server's port is %q, want 1 to 65535", text)
		}
	}
	return s, nil
}

// String is the address without user and password.
func (s server) String() string {
	return net.JoinHostPort(s.host, strconv.Itoa(s.port))
}
