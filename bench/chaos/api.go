package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// api asks the management API.
type api struct {
	base, user, password string
	http                 *http.Client
}

func newAPI(base, amqpURL string) (*api, error) {
	if base == "" {
		return nil, errors.New("the server has no management API")
	}
	u := parsed(amqpURL)
	password, _ := u.User.Password()
	return &api{base, u.User.Username(), password, &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}}, nil
}

func (a *api) get(ctx context.Context, path string, out any) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	if err != nil {
		return err
	}
	req.SetBasicAuth(a.user, a.password)
	resp, err := a.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("management API: %s: %s", path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// holdings are what the server holds.
type holdings struct {
	Memory      int  `json:"mem_used"`
	Files       int  `json:"fd_used"`
	Processes   int  `json:"proc_used"`
	Alarm       bool `json:"mem_alarm"`
	Connections int  `json:"-"`
	Channels    int  `json:"-"`
	Queues      int  `json:"-"`
	Consumers   int  `json:"-"`
}

func (a *api) observe(ctx context.Context) (h holdings, err error) {
	var nodes []holdings
	if err := a.get(ctx, "/api/nodes", &nodes); err != nil {
		return h, err
	}
	for _, n := range nodes {
		h.Memory += n.Memory
		h.Files += n.Files
		h.Processes += n.Processes
		h.Alarm = h.Alarm || n.Alarm
	}
	var overview struct {
		Totals struct{ Connections, Channels, Queues, Consumers int } `json:"object_totals"`
	}
	if err := a.get(ctx, "/api/overview", &overview); err != nil {
		return h, err
	}
	t := overview.Totals
	h.Connections, h.Channels, h.Queues, h.Consumers = t.Connections, t.Channels, t.Queues, t.Consumers
	return h, nil
}

// awaitAlarm waits until the memory alarm is on.
func (a *api) awaitAlarm(ctx context.Context) error {
	return until(ctx, 30*time.Second, "the memory alarm is on", func() (bool, error) {
		h, err := a.observe(ctx)
		return h.Alarm, err
	})
}

// until waits for a condition.
func until(ctx context.Context, limit time.Duration, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := ok()
		if done {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waiting until %s: %w", what, context.Cause(ctx)), err)
		}
	}
}
