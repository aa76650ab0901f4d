// Command bench measures errand beside the same work done by hand with amqp091-go, on one
// RabbitMQ, in one run, in turns: hand, errand, hand, errand. It prints the median of the
// rounds and the ratio of the two.
//
//	go run ./bench                  all rows
//	go run ./bench -rows enqueue    only rows whose name holds this
//	go run ./bench -rpc             calls, to a server in another process
//	go run ./bench -event           events, from one publisher to eight durable subscriptions
//	go run ./bench -memory          the resident memory of a worker over a million jobs
//
// The job is 256 bytes of JSON, persistent, on a quorum queue, confirmed. CPU is user and
// system time of this process. Absolute numbers don't carry over to other machines; the
// ratios roughly do.
package main
