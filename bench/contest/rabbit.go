package contest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/errandq/errand/devserver"
)

// RabbitMQ is the name of the server that StartRabbit starts.
const RabbitMQ = "RabbitMQ"

type rabbit struct {
	*devserver.Server
	pid int
}

// StartRabbit starts a RabbitMQ, or takes that of AMQP_URL.
func StartRabbit(ctx context.Context) (Server, error) {
	s, err := devserver.Start(ctx, devserver.Options{Logger: slog.New(slog.DiscardHandler)})
	if errors.Is(err, devserver.ErrUnavailable) {
		return nil, fmt.Errorf("%w: %w", ErrMissing, err)
	}
	if err != nil {
		return nil, err
	}
	return &rabbit{s, rabbitProcess(ctx, s)}, nil
}

func (r *rabbit) Version() string { return r.How() }
func (r *rabbit) PID() int        { return r.pid }

// Space implements [Server]: a virtual host.
func (r *rabbit) Space(ctx context.Context) (string, func(context.Context) error, error) {
	vhost, err := r.NewVhost(ctx)
	if err != nil {
		return "", nil, err
	}
	if vhost == r.URL() {
		return "", nil, fmt.Errorf("each sample needs a virtual host of its own, which the server of %s does not let us make: its user is no administrator, or has no management API", devserver.EnvURL)
	}
	return vhost, func(ctx context.Context) error { return r.DeleteVhost(ctx, vhost) }, nil
}

// rabbitProcess is the process of the server as this machine sees it, or 0: the server may be
// elsewhere. A node tells its process ID a few seconds after its start.
func rabbitProcess(ctx context.Context, s *devserver.Server) int {
	for range 20 {
		nodes, err := askNodes(ctx, s)
		if err != nil || len(nodes) != 1 {
			return 0
		}
		if nodes[0].PID != "" {
			return serverProcess("beam.smp", nodes[0].PID)
		}
		if err := sleep(ctx, 500*time.Millisecond); err != nil {
			return 0
		}
	}
	return 0
}

type node struct {
	PID string `json:"os_pid"`
}

func askNodes(ctx context.Context, s *devserver.Server) (nodes []node, err error) {
	u, err := url.Parse(s.URL())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.ManagementURL()+"/api/nodes", nil)
	if err != nil {
		return nil, err
	}
	password, _ := u.User.Password()
	req.SetBasicAuth(u.User.Username(), password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("/api/nodes: %s", resp.Status)
	}
	return nodes, json.NewDecoder(resp.Body).Decode(&nodes)
}
