// Command bench measures errand beside the same work done by hand with amqp091-go, on one
// RabbitMQ, in one run, in turns: hand, careful, errand, hand and so on. It prints the medians
// of the rounds and their ratios. The command in bench/versus measures other libraries too.
//
//	go run ./bench                  all works
//	go run ./bench -rows enqueue    only works whose name holds this
//	go run ./bench -profiles /tmp   with profiles of each contender at each work
//	go run ./bench -scale           how errand scales, as curves
//	go run ./bench -event           events, from one publisher to eight durable subscriptions
//	go run ./bench -memory          the resident memory of a worker over a million jobs
//
// What is measured how is in bench/README.md. Absolute numbers don't carry over to other
// machines; the ratios roughly do.
package main
