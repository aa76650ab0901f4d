package devserver

import (
	"strconv"
	"strings"
	"testing"

	"github.com/moby/moby/client"
)

func TestCluster(t *testing.T) {
	s := runInContainer(t, Options{Nodes: 3})
	members := s.Members()
	if len(members) != 3 {
		t.Fatalf("got %d members, want 3", len(members))
	}
	vhost, err := s.NewVhost(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		url, err := m.Of(vhost)
		if err != nil {
			t.Fatal(err)
		}
		login(t, url) // each of them knows vhost and user
	}
	c := s.backend.(*cluster)
	sees := func(m *Member, want int) {
		t.Helper()
		if got, err := m.node.endpoint.manage.nodes(t.Context()); err != nil || got != want {
			t.Errorf("%s sees %d nodes, %v, want %d", m.Name(), got, err, want)
		}
	}
	second := members[1]
	for _, away := range []struct {
		name         string
		leave, enter func() error
	}{
		{"kill", func() error { return second.Kill(t.Context()) }, func() error { return second.Start(t.Context()) }},
		{"shutdown", func() error { return second.Shutdown(t.Context()) }, func() error { return second.Start(t.Context()) }},
		{"isolate", func() error { return second.Isolate(t.Context()) }, func() error { return second.Rejoin(t.Context()) }},
	} {
		if err := away.leave(); err != nil {
			t.Fatal(err)
		}
		if away.name == "isolate" {
			url, err := second.Of(s.URL())
			if err != nil {
				t.Fatal(err)
			}
			login(t, url) // clients still reach it
		}
		if err := away.enter(); err != nil {
			t.Fatal(err)
		}
		if err := c.waitJoined(t.Context()); err != nil {
			t.Fatal(err)
		}
		sees(second, 3)
	}
	out, err := second.Run(t.Context(), "rabbitmqctl", "cluster_status", "--silent")
	if err != nil || !strings.Contains(out, members[2].Name()) {
		t.Errorf("got cluster status %q, %v, want %s in it", out, err, members[2].Name())
	}
	if _, err := second.Run(t.Context(), "false"); err == nil {
		t.Error("got no error of a command that fails")
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.nodes {
		expectContainerGone(t, n.container.GetContainerID())
	}
	if _, err := localEngine(t).NetworkInspect(t.Context(), c.network, client.NetworkInspectOptions{}); err == nil {
		t.Error("the network is still there")
	}
}

func TestNumberOfNodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		option int
		env    string
		want   int // 0: an error
	}{
		{0, "", 1}, {0, "3", 3}, {1, "3", 1}, {3, "", 3}, {0, "0", 0}, {0, "three", 0}, {0, "-1", 0},
	} {
		t.Run(strconv.Itoa(c.option)+" "+c.env, func(t *testing.T) {
			t.Parallel()
			got, err := countNodes(Options{Nodes: c.option}, machine{nodes: c.env})
			if got != c.want || (err != nil) != (c.want == 0) {
				t.Errorf("got %d, %v, want %d", got, err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), EnvNodes) {
				t.Errorf("got %v, want it to name %s", err, EnvNodes)
			}
		})
	}
}
