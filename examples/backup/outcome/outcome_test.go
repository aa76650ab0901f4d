package outcome_test

import (
	"testing"

	"github.com/errandq/errand/examples/backup/outcome"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status      outcome.Status
		final, well bool
	}{
		{outcome.Copied, true, true},
		{outcome.Unchanged, true, true},
		{outcome.Linked, true, true},
		{outcome.Skipped, true, true},
		{outcome.Gone, true, true},
		{outcome.Failed, true, false},
		{outcome.Retrying, false, false},
		{"", false, false},
		{"sideways", false, false},
	} {
		t.Run(string(tc.status), func(t *testing.T) {
			t.Parallel()
			if got := tc.status.Final(); got != tc.final {
				t.Errorf("Final() = %v, want %v", got, tc.final)
			}
			if got := tc.status.Well(); got != tc.well {
				t.Errorf("Well() = %v, want %v", got, tc.well)
			}
		})
	}
}
