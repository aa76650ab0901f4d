package orders_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/errandq/errand/examples/archive/orders"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Other programs read the value, and publish their own.
func TestWireForm(t *testing.T) {
	t.Parallel()
	o := orders.Sample(4, time.Date(2026, 3, 14, 15, 9, 26, 535897932, time.FixedZone("", 3600)))
	e := orders.Placed.New(o)
	want := `{"number":4,"customer":"\"Bobby\" Tables'); -- 4","item":"teapot","cents":248,"placed_at":"2026-03-14T14:09:26.535897Z"}`
	if e.Kind != "order.placed" || e.Exchange != "order.placed" || string(e.Body) != want {
		t.Errorf("got kind %s, exchange %s, body %s, want order.placed twice and %s", e.Kind, e.Exchange, e.Body, want)
	}
	var got orders.Order
	if err := json.Unmarshal(e.Body, &got); err != nil || got != o {
		t.Errorf("got %+v, %v, want %+v", got, err, o)
	}
}
