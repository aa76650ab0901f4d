package contest

import (
	"context"
	"runtime"
	"runtime/debug"
	"time"
)

// A server has so long to finish what the preparation of this sample, and the one before,
// have left it with. It counts as idle when it has used hardly any CPU for a moment.
const (
	moment       = 100 * time.Millisecond
	hardlyAny    = moment / 10
	mostMoments  = 50
	blindMoments = 5 // where its process is not known
)

// A meter measures what lies between start and stop.
type meter struct {
	server int  // process ID, or 0
	hurry  bool // don't wait until the server is idle
	sample Sample

	began     time.Time
	took      time.Duration
	cpu       time.Duration
	serverCPU time.Duration
	memory    runtime.MemStats
}

// settle waits until the server is idle.
func (m *meter) settle(ctx context.Context) error {
	if m.hurry {
		return nil
	}
	for i := range mostMoments {
		before := treeCPU(m.server)
		if err := sleep(ctx, moment); err != nil {
			return err
		}
		if m.server != 0 && treeCPU(m.server)-before <= hardlyAny || m.server == 0 && i == blindMoments {
			return nil
		}
	}
	return nil // it has work of its own
}

func (m *meter) start(ctx context.Context) error {
	if err := m.settle(ctx); err != nil {
		return err
	}
	debug.FreeOSMemory() // what preparing took is not what is measured
	resetPeak()
	runtime.ReadMemStats(&m.memory)
	m.serverCPU = treeCPU(m.server)
	m.cpu = ownCPU()
	m.began = time.Now()
	return nil
}

// done says that the last job is done. What is still to be put in order, such as the acks of
// the last jobs, counts as CPU but not as time.
func (m *meter) done() { m.took = time.Since(m.began) }

func (m *meter) stop(jobs int) {
	if m.took == 0 {
		m.done()
	}
	cpu, serverCPU := ownCPU()-m.cpu, treeCPU(m.server)-m.serverCPU
	var after runtime.MemStats
	runtime.ReadMemStats(&after)
	n := float64(jobs)
	m.sample.Jobs = jobs
	m.sample.Rate = n / m.took.Seconds()
	m.sample.CPU = microseconds(cpu) / n
	m.sample.ServerCPU = microseconds(serverCPU) / n
	m.sample.Bytes = float64(after.TotalAlloc-m.memory.TotalAlloc) / n
	m.sample.Allocs = float64(after.Mallocs-m.memory.Mallocs) / n
	m.sample.PeakRSS = float64(peak()) / (1 << 20)
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
