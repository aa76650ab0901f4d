package devserver

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// runInContainer starts a server in a container of an image that is there already.
func runInContainer(t *testing.T, o Options) *Server {
	t.Helper()
	e := localEngine(t)
	image := thisMachine().image
	if image == "" {
		image = DefaultImage
	}
	if _, err := e.ImageInspect(t.Context(), image); err != nil {
		t.Skipf("no image %s here, and a test does not pull it: %v", image, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s, err := startContainer(ctx, o, thisMachine())
	cancel() // bounds the start only
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	t.Log(s)
	return s
}

// localEngine skips the test where no engine answers.
func localEngine(t *testing.T) engine {
	t.Helper()
	e, err := findEngine(t.Context(), engineHosts())
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func TestContainer(t *testing.T) {
	s := runInContainer(t, Options{})
	url, err := s.NewVhost(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lost := login(t, url)
	began := time.Now()
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("restarted in %v", time.Since(began))
	if _, err := lost.receive(50); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("old connection: got %v, want it cut", err)
	}
	kept := login(t, url)
	if err := s.CloseConnections(t.Context(), "for maintenance"); err != nil {
		t.Fatal(err)
	}
	if args := kept.expect(t, 50); !strings.Contains(string(args), "for maintenance") {
		t.Errorf("got close with %q, want the reason", args)
	}
	id := s.backend.(*containerNode).container.GetContainerID()
	for range 2 {
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	expectContainerGone(t, id)
}

func TestKilledParentLeavesNoContainer(t *testing.T) {
	localEngine(t)
	child, id := startAbandoned(t, "container")
	killAbandoned(t, child)
	expectContainerGone(t, id)
}

func TestContainerWithBrokenConfig(t *testing.T) {
	e := localEngine(t)
	image := thisMachine().image
	if _, err := e.ImageInspect(t.Context(), image); err != nil {
		t.Skipf("no image %s: %v", image, err)
	}
	_, err := startContainer(t.Context(), Options{Config: "no_such_setting = 1\n"}, thisMachine())
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("got %v, want the log's words about no_such_setting", err)
	}
}

func TestImageThatCannotBePulled(t *testing.T) {
	localEngine(t)
	began := time.Now()
	_, err := startContainer(t.Context(), Options{Image: "127.0.0.1:1/no/such:image"}, thisMachine())
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1/no/such:image") {
		t.Errorf("got %v, want an error that names the image", err)
	}
	if took := time.Since(began); took > pullFirst+5*time.Second {
		t.Errorf("took %v, want it bounded", took)
	}
}

func TestReaperImageIsThatOfTestcontainers(t *testing.T) {
	t.Parallel()
	//lint:ignore SA1019 deprecated in favour of nothing that can be read
	want := testcontainers.ReaperDefaultImage
	if reaperImage != want {
		t.Errorf("reaperImage: got %s, want %s", reaperImage, want)
	}
}

func expectContainerGone(t *testing.T, id string) {
	t.Helper()
	e := localEngine(t)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := e.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
		if errdefs.IsNotFound(err) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("container %s is still there: %v", id, err)
		case <-tick.C:
		}
	}
}
