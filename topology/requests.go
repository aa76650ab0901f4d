package topology

import "time"

// requestsExpire is how long a queue of requests outlives its last server. Callers hear then
// at once that there is none, instead of waiting.
const requestsExpire = 10 * time.Minute

// Requests declares a queue for the requests of remote calls. They are worth something only
// while their callers wait, so the queue is a classic one, which takes less than half the time of a
// quorum queue for a lone caller, without a place for dead letters: requests that expire vanish. It
// vanishes itself when it has had no consumer for ten minutes. With [Existing] nothing is
// declared.
func Requests(queue string, opts ...Option) Topology {
	if IsExisting(opts...) {
		return Topology{}
	}
	return Topology{Queues: []Queue{{Name: queue, Args: map[string]any{
		"x-queue-type": "classic",
		"x-expires":    int(requestsExpire.Milliseconds()),
	}}}}
}
