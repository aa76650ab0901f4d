// Package topology describes what errand declares on RabbitMQ: exchanges, queues and
// bindings as plain values, and every name that occurs in them. It does no I/O; package
// broker declares a [Topology], and its String can be read and compared.
//
//	exchange errand.jobs    direct   jobs enter here, key = queue
//	exchange errand.due     topic    delayed jobs come out here
//	exchange errand.dead    direct   jobs put aside, key = queue
//	exchange errand.parked  fanout   what has nowhere to go is kept here
//	queue    Q              the jobs
//	queue    Q.dead         the jobs that can't succeed
//
// [Work] describes one job queue, [Ladder] the queues that delay jobs, and [Route] the way
// of one delayed job through them.
package topology
