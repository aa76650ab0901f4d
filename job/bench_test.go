package job_test

import (
	"strings"
	"testing"

	"github.com/errandq/errand/job"
)

// benchArgs are 256 bytes as JSON.
type benchArgs struct {
	OrderID string `json:"order_id"`
	Note    string `json:"note"`
}

var (
	benchKind  = job.Define[benchArgs]("bench", job.Queue("bench"))
	benchValue = benchArgs{"order-000001", strings.Repeat("x", 256-len(`{"order_id":"order-000001","note":""}`))}
)

// The envelope on the way out: encoding, an ID, the wire form.
func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		j := benchKind.New(benchValue)
		if m := j.Message(); len(m.Body) != 256 {
			b.Fatalf("a body of %d bytes, want 256", len(m.Body))
		}
	}
}

// The envelope on the way in: parsing, decoding.
func BenchmarkParse(b *testing.B) {
	m := benchKind.New(benchValue).Message()
	m.Headers = map[string]any{"x-delivery-count": int64(1)}
	b.ReportAllocs()
	for b.Loop() {
		j, err := job.Parse(m)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := benchKind.Decode(j); err != nil {
			b.Fatal(err)
		}
	}
}
