package worker

import "sync/atomic"

// Stats counts what a Worker has done since it was made.
type Stats struct {
	Running int64 // handlers that run now, abandoned ones included

	Done      int64 // handlers that returned nil
	Retried   int64 // failed attempts that another one follows
	Dead      int64 // jobs put aside, for whatever reason
	Dropped   int64 // the same of temporary queues, which have nowhere to put them
	Snoozed   int64
	Suspected int64 // handed out too often without an answer, and sent away for a moment
	Expired   int64 // dropped unrun
	Requeued  int64 // given back unfinished at shutdown; not those that waited in the broker package
	Lost      int64 // deliveries lost while their handlers ran; other workers have got the jobs
	Abandoned int64 // handlers that ignored the end of their context
	Panicked  int64
}

type counters struct {
	running, done, retried, dead, dropped, snoozed, suspected, expired, requeued, lost, abandoned, panicked atomic.Int64
}

// of is the counter of an outcome.
func (c *counters) of(o Outcome) *atomic.Int64 {
	switch o {
	case Done:
		return &c.done
	case Retried:
		return &c.retried
	case Dead:
		return &c.dead
	case Dropped:
		return &c.dropped
	case Snoozed:
		return &c.snoozed
	case Suspected:
		return &c.suspected
	case Expired:
		return &c.expired
	case Requeued:
		return &c.requeued
	default:
		return &c.lost
	}
}

// Stats returns the counters. It may be called at any time.
func (w *Worker) Stats() Stats {
	c := &w.stats
	return Stats{
		Running:   c.running.Load(),
		Done:      c.done.Load(),
		Retried:   c.retried.Load(),
		Dead:      c.dead.Load(),
		Dropped:   c.dropped.Load(),
		Snoozed:   c.snoozed.Load(),
		Suspected: c.suspected.Load(),
		Expired:   c.expired.Load(),
		Requeued:  c.requeued.Load(),
		Lost:      c.lost.Load(),
		Abandoned: c.abandoned.Load(),
		Panicked:  c.panicked.Load(),
	}
}
