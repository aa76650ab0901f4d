package main

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/errandq/errand/devserver"
)

var rabbit = devserver.NewShared(devserver.Options{})

func TestMain(m *testing.M) { goleak.VerifyTestMain(rabbit.Wrap(m)) }
