package book

// A Fate is what is to become of the jobs of a kind.
type Fate int

// The fates.
const (
	Work   Fate = iota // a handler returns nil, sooner or later
	Die                // it never does, and the job ends in the dead-letter queue
	Refuse             // Enqueue does not take it
	Risk               // its queue is deleted now and then: whether it is worked is open
)
