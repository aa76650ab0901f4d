package main

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/errandq/errand/devserver"
	"github.com/errandq/errand/examples/video/format"
)

// rabbit is the server that the tests share.
var rabbit = devserver.NewShared(devserver.Options{})

func TestMain(m *testing.M) { goleak.VerifyTestMain(rabbit.Wrap(m)) }

func TestVideosBecomeReady(t *testing.T) {
	t.Parallel()
	s := newSession(t.TempDir(), format.StandIn{}, 4)
	if err := s.run(t.Context(), rabbit.URL(t)); err != nil {
		t.Fatal(err)
	}
	if err := s.report(); err != nil {
		t.Error(err)
	}
}

// The report of what did not happen is an error.
func TestReportSeesWhatIsMissing(t *testing.T) {
	t.Parallel()
	if err := newSession(t.TempDir(), format.StandIn{}, 1).report(); err == nil {
		t.Error("got no error of a session that never ran")
	}
}
