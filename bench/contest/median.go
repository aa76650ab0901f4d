package contest

import (
	"math"
	"slices"
)

// median of what of says of the samples, and NaN if there are none.
func median(samples []Sample, of func(Sample) float64) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	return middle(values)
}

// ratio is the median of the ratios of the rounds, because neighbours in time are the most
// alike.
func ratio(a, b []Sample, of func(Sample) float64) float64 {
	values := make([]float64, min(len(a), len(b)))
	for i := range values {
		values[i] = of(a[i]) / of(b[i])
	}
	return middle(values)
}

func middle(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// What samples are compared by.
func jobsOf(s Sample) float64      { return float64(s.Jobs) }
func rateOf(s Sample) float64      { return s.Rate }
func cpuOf(s Sample) float64       { return s.CPU }
func serverCPUOf(s Sample) float64 { return s.ServerCPU }
func peerCPUOf(s Sample) float64   { return s.PeerCPU }
func bytesOf(s Sample) float64     { return s.Bytes }
func allocsOf(s Sample) float64    { return s.Allocs }
func peakOf(s Sample) float64      { return s.PeakRSS }

// timesOf makes such a function for one of the quantiles. A sample without times has NaN.
func timesOf(of func(Times) float64) func(Sample) float64 {
	return func(s Sample) float64 {
		if s.Times == nil {
			return math.NaN()
		}
		return of(*s.Times)
	}
}

// Median of what of says of a contender's samples, and NaN if there are none.
func (r Row) Median(contender string, of func(Sample) float64) float64 {
	return median(r.Entry(contender).Samples, of)
}

// Ratio is the median of the rounds' ratios of a contender to [Base], and NaN if there are
// none.
func (r Row) Ratio(contender string, of func(Sample) float64) float64 {
	return ratio(r.Entry(contender).Samples, r.Entry(Base).Samples, of)
}
