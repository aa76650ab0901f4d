package contest

import (
	"context"
	"math/bits"
	"time"

	"github.com/errandq/errand/topology"
)

// ladder measures how much later than due jobs come that wait together for different times.
func ladder(ctx context.Context, r *round) error {
	d, err := as[Delayer](r.client)
	if err != nil {
		return err
	}
	late := func(a Args) (time.Duration, bool) {
		return r.clock.since(a.Sent) - r.work.delayOf(a), a.Number > firstNumber+warmUp
	}
	r.work.Jobs++
	r.meter.sample.Hops = r.work.hops()
	return r.meanwhile(ctx, late, func(ctx context.Context) error {
		if err := d.EnqueueIn(ctx, r.args(), r.work.Delay+r.work.Spread); err != nil { // declares
			return err
		}
		return spread(r.work.Callers, r.work.Jobs-1, func(part int) error {
			for range part {
				a := r.args()
				if err := d.EnqueueIn(ctx, a, r.work.delayOf(a)); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// steps is into how many different delays a spread is divided.
const steps = 997

// delayOf is the delay of a job, by its number: a multiple of what errand rounds up to, so
// that rounding does not count as late.
func (w Work) delayOf(a Args) time.Duration {
	d := w.Delay + w.Spread*time.Duration((a.Number-firstNumber)*31%steps)/steps
	return d.Truncate(topology.Resolution)
}

// hops is through how many queues of errand's ladder a job goes on average.
func (w Work) hops() float64 {
	n, sum := steps, 0
	if w.Spread == 0 {
		n = 1
	}
	for i := range n {
		d := w.delayOf(Args{Number: firstNumber + int64(i)})
		sum += bits.OnesCount64(uint64((d + topology.Resolution - 1) / topology.Resolution))
	}
	return float64(sum) / float64(n)
}
