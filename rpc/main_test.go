package rpc_test

import (
	"log/slog"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quiet drops what servers log; tests that look at the log make their own.
var quiet = slog.New(slog.DiscardHandler)
