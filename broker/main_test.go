package broker

import (
	"log/slog"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quiet drops what a Conn logs.
var quiet = slog.New(slog.DiscardHandler)
