package crew_test

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/errandq/errand/internal/crew"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// All tasks run at once if they have to wait for each other, again and again.
func TestTasksThatWaitRunAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int64
		release := make(chan struct{})
		c := crew.New(func(int) {
			running.Add(1)
			<-release
			running.Add(-1)
		})
		for _, n := range []int{50, 1, 80, 3} {
			for i := range n {
				c.Add(i)
			}
			synctest.Wait()
			if got := running.Load(); got != int64(n) {
				t.Errorf("%d tasks run, want %d", got, n)
			}
			for range n {
				release <- struct{}{}
			}
		}
		c.End()
		c.Wait()
	})
}

// One that is at work keeps nobody waiting.
func TestTaskThatTakesLongHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release, worked := make(chan struct{}), 0
		var mu sync.Mutex
		c := crew.New(func(long bool) {
			if long {
				<-release
				return
			}
			mu.Lock()
			worked++
			mu.Unlock()
		})
		for range 10 {
			c.Add(true)
			c.Add(false)
		}
		synctest.Wait()
		if worked != 10 {
			t.Errorf("%d quick tasks were worked, want 10", worked)
		}
		close(release)
		c.End()
		c.Wait()
	})
}

// Tasks begin in order, each once, whoever adds them.
func TestEachTaskIsWorkedOnce(t *testing.T) {
	t.Parallel()
	const adders, each = 8, 5000
	var mu sync.Mutex
	var got []int
	var done sync.WaitGroup
	done.Add(adders * each)
	c := crew.New(func(n int) {
		mu.Lock()
		got = append(got, n)
		mu.Unlock()
		done.Done()
	})
	var all sync.WaitGroup
	for a := range adders {
		all.Go(func() {
			for i := range each {
				c.Add(a*each + i)
			}
		})
	}
	all.Wait()
	done.Wait()
	c.End()
	c.Wait()
	slices.Sort(got)
	for i, n := range got {
		if n != i {
			t.Fatalf("task %d was worked, want %d: one is missing or doubled", n, i)
		}
	}
}

// A task may end its goroutine, and another takes over.
func TestTaskMayEndItsGoroutine(t *testing.T) {
	t.Parallel()
	worked := make(chan int, 100)
	c := crew.New(func(n int) {
		worked <- n
		runtime.Goexit()
	})
	for i := range cap(worked) {
		c.Add(i)
	}
	for range cap(worked) {
		<-worked
	}
	c.End()
	c.Wait()
}

// What was added before the end is worked.
func TestEndWaitsForWhatIsReady(t *testing.T) {
	t.Parallel()
	for range 100 {
		var worked atomic.Int64
		c := crew.New(func(int) { worked.Add(1) })
		for i := range 20 {
			c.Add(i)
		}
		c.End()
		c.Wait()
		if n := worked.Load(); n != 20 {
			t.Fatalf("%d tasks were worked, want 20", n)
		}
	}
}

// Quick tasks, added one by one, need few switches.
func BenchmarkAdd(b *testing.B) {
	var left atomic.Int64
	done := make(chan struct{})
	c := crew.New(func(int) {
		if left.Add(-1) == 0 {
			close(done)
		}
	})
	n := b.N
	left.Store(int64(n))
	b.ReportAllocs()
	b.ResetTimer()
	for i := range n {
		c.Add(i)
	}
	<-done
	b.StopTimer()
	c.End()
	c.Wait()
}
