package worker

import "time"

// A handler that ignores that its context is done is given up. One timer of the pool sees to
// all of its handlers: hardly one ever needs it, and one for each would cost them all.

// watch has r given up if it is not over by its due time.
func (p *pool) watch(r *run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.due = r.began.Add(r.reg.patience(p.w.cfg.Grace))
	p.lookBy(r.due)
}

// lookBy has look called at t, or before. The caller holds mu.
func (p *pool) lookBy(t time.Time) {
	if !p.nextLook.IsZero() && !t.Before(p.nextLook) {
		return
	}
	p.nextLook = t
	if p.lookTimer == nil {
		p.lookTimer = time.AfterFunc(time.Until(t), p.look)
	} else {
		p.lookTimer.Reset(time.Until(t))
	}
}

// look gives up the handlers whose time has come.
func (p *pool) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nextLook = time.Time{}
	now := time.Now()
	for r := range p.runs {
		switch {
		case r.due.IsZero(): // its handler was not called yet, or has no timeout
		case r.due.After(now):
			p.lookBy(r.due)
		default:
			go r.abandon() // its answer may wait for the server; leave waits for that
		}
	}
}

// endWatch stops the timer, when no run is left: handlers that still go on are given up already.
func (p *pool) endWatch() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lookTimer != nil {
		p.lookTimer.Stop()
	}
}

// abandon gives up on a handler: its job is answered as failed, and nobody waits for it any
// more. It keeps its slot.
func (r *run) abandon() {
	if !r.settled.CompareAndSwap(false, true) {
		return
	}
	p := r.pool
	p.w.stats.abandoned.Add(1)
	p.log.Error("handler ignores that its context is done, and is given up", "kind", r.job.Kind, "job", r.job.ID)
	r.settle(ErrAbandoned)
	p.stuck.Add(1)
	if !p.over(r) {
		p.stuck.Add(-1) // it came back at this very moment
	}
}
