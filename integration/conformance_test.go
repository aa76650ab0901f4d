package integration_test

import (
	"testing"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/jobtest"
)

// RabbitMQ itself holds what jobtest's broker is measured by.
func TestConformance(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	jobtest.Conformance(t, func(t *testing.T) broker.Broker { return dial(t, url) })
}
