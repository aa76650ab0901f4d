package jobtest_test

import (
	"os/exec"
	"testing"
)

// The programs of docs/how-to/testing.md do what it says.
func TestHowTo(t *testing.T) {
	t.Parallel()
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-count=1", "./testdata/signup").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
