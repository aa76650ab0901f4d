package broker

import (
	"sync"
	"time"
)

// A waiter waits for a confirm, with a timer.
type waiter struct {
	timer *time.Timer
	wake  chan struct{} // has room for one; gets a value when it is worth another look
}

func (w *waiter) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// waiters are used again and again: each message that is waited for needs one. Somebody may
// still nudge one on behalf of its last use.
type waiters struct{ unused sync.Pool }

// get returns a waiter whose timer goes off after d.
func (ws *waiters) get(d time.Duration) *waiter {
	if w, ok := ws.unused.Get().(*waiter); ok {
		w.timer.Reset(d)
		return w
	}
	return &waiter{time.NewTimer(d), make(chan struct{}, 1)}
}

func (ws *waiters) put(w *waiter) {
	w.timer.Stop()
	ws.unused.Put(w)
}
