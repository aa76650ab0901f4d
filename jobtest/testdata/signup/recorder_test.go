package signup

import (
	"errors"
	"testing"

	"github.com/errandq/errand/job"
	"github.com/errandq/errand/jobtest"
)

func TestSignUpTellsThatNothingWasSent(t *testing.T) {
	down := errors.New("down")
	r := jobtest.Recorder{Fail: func([]job.Job) error { return down }}
	if err := (Service{Jobs: &r}).SignUp(t.Context(), "ann@example.com"); !errors.Is(err, down) {
		t.Errorf("got %v, want %v", err, down)
	}
}
