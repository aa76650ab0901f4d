// Command chaos runs producers, workers, callers and servers on a RabbitMQ of its own, does
// to them and to it whatever goes wrong in the world, and counts what became of every job and
// every call.
//
//	go run ./bench/chaos                       a minute of faults, one after the other and mixed
//	go run ./bench/chaos -seed 7               the same faults in the same order again
//	go run ./bench/chaos -faults cut,one-way   only these
//	go run ./bench/chaos -for 30m              a soak: everything has to stay flat, too
//	go run ./bench/chaos -every                each fault once, however long that takes, then mixed
//	go run ./bench/chaos -nodes 3              on a cluster, which needs a Docker engine
//
// ERRAND_RABBITMQ_NODES is what -nodes is by default, and TestChaos is a short run on whatever
// it says. README.md says what each fault does.
//
// Every process writes each event into a ledger, which outlives its being killed: what
// Enqueue returned, when a handler began and ended, what a call came to. At the end nothing is
// broken any more, the queues are drained, and the ledgers are added up. Chaos exits with 1 if
// a job is lost, if one was worked although Enqueue said that it would not be, or before its
// time, if Enqueue or a call hung long after its deadline or a call got another's answer, and if
// something that a fault has hit never worked again.
//
// "Worked again" is measured from the end of the fault to the first job or call that was made
// after it and was handled by the process that was hit.
package main
