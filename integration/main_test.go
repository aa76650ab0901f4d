package integration_test

import (
	"testing"

	"github.com/errandq/errand/devserver"
	"go.uber.org/goleak"
)

// rabbit is the server that the tests of this package share, each in a vhost of its own.
var rabbit = devserver.NewShared(devserver.Options{})

func TestMain(m *testing.M) { goleak.VerifyTestMain(rabbit.Wrap(m)) }
