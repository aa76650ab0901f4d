package signup

import (
	"context"
	"testing"

	"github.com/errandq/errand/jobtest"
	"github.com/errandq/errand/rpc"
)

var CheckAddress = rpc.Define[string, bool]("address.check")

func TestCheckAddress(t *testing.T) {
	b := jobtest.NewBroker(t)
	s := rpc.NewServer(b, rpc.ServerConfig{})
	rpc.Handle(s, CheckAddress, func(_ context.Context, address string) (bool, error) {
		return address != "", nil
	})
	c := jobtest.Serve(t, b, s)

	ok, err := CheckAddress.Call(t.Context(), c, "ann@example.com")
	if !ok || err != nil {
		t.Errorf("got %v, %v, want true", ok, err)
	}
}
