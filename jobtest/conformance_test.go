package jobtest_test

import (
	"testing"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/jobtest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	jobtest.Conformance(t, func(t *testing.T) broker.Broker { return jobtest.NewBroker(t) })
}
