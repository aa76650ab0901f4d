package group_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/group"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	testStore(t, group.NewMemory())
}

// A complete group is known for a day, and what is incomplete for ever.
func TestMemoryForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := group.NewMemory()
		wantDone(t, m, "complete", 2, "a", false)
		wantDone(t, m, "complete", 2, "b", true)
		wantDone(t, m, "incomplete", 2, "a", false)
		time.Sleep(24 * time.Hour)
		wantDone(t, m, "complete", 2, "b", true)
		time.Sleep(time.Nanosecond)
		wantDone(t, m, "complete", 2, "b", false)
		wantDone(t, m, "incomplete", 2, "b", true)
		wantDone(t, m, "complete", 2, "a", true)
	})
}
