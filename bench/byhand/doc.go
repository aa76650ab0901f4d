// Package byhand does what errand does directly with amqp091-go, in two ways. Naive is what
// one writes with the library's documentation at hand. Careful is the same by somebody who
// has measured: writes to the socket are joined, acks too, and publishing and consuming have
// a connection each.
package byhand
