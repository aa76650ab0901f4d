package broker

import "time"

// State is what a connection is at.
type State string

// The states of a connection.
const (
	Idle       State = "idle"       // not needed so far
	Connecting State = "connecting" // there is none, and one is being made
	Connected  State = "connected"
	Closed     State = "closed" // by Close
)

// LinkStatus tells about one of the two connections.
type LinkStatus struct {
	State      State
	Since      time.Time // of the last change of State
	Endpoint   string    // where it is connected to; empty if it is not
	Version    string    // the server's; empty if it is not connected
	Blocked    string    // why the server takes no messages; empty if it takes them
	Generation uint64    // how many connections were made so far, this one included
	Err        error     // why the last connection or attempt ended; nil while connected
}

// Status tells what the connections are at. Consume is Idle until something is consumed.
type Status struct {
	Publish, Consume LinkStatus
	// Starved is how many consumers RabbitMQ gave nothing though messages were ready, and so
	// were replaced. It should stay at zero.
	Starved uint64
}

// Ready reports whether messages can be sent now, and received if something is consumed.
func (s Status) Ready() bool {
	return s.Publish.State == Connected && s.Publish.Blocked == "" &&
		(s.Consume.State == Connected || s.Consume.State == Idle)
}
