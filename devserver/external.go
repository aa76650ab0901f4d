package devserver

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"time"
)

// startExternal uses the server of AMQP_URL.
func startExternal(ctx context.Context, m machine) (*Server, error) {
	list, err := parseURLs(m.url)
	if err != nil {
		return nil, fmt.Errorf("devserver: %s: %w", EnvURL, err)
	}
	u := list[0]
	if err := handshake(ctx, u); err != nil {
		return nil, fmt.Errorf("devserver: %s: %s does not answer (start it, or unset the variable): %w", EnvURL, u.Host, err)
	}

	how := fmt.Sprintf("the server of %s, at %s", EnvURL, u.Host)
	user, password := "guest", "guest"
	if u.User != nil {
		user = u.User.Username()
		password, _ = u.User.Password()
	}
	base := cmp.Or(m.managementURL, "http://"+net.JoinHostPort(u.Hostname(), "15672"))
	api := newManagement(base, user, password)
	// The API is a convenience here: a firewall that swallows the call must not cost much.
	apiCtx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := api.administrator(apiCtx); err != nil {
		api.close()
		how += fmt.Sprintf(", without vhosts of our own (%v; %s can name the address)", err, EnvManagementURL)
		return newServer(m.url, how, nil, nil), nil
	}
	return newServer(m.url, how, api, nil), nil
}
