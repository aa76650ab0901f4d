// Package jobtest tests programs that use errand, without a RabbitMQ.
//
//	func TestSignUp(t *testing.T) {
//		b := jobtest.NewBroker(t)
//		s := signup.Service{Jobs: producer.New(b, producer.Config{})}
//		if err := s.SignUp(t.Context(), "ann@example.com"); err != nil {
//			t.Fatal(err)
//		}
//		jobtest.WantEnqueued(t, b, signup.SendMail, signup.Mail{To: "ann@example.com"})
//	}
//
// A [Broker] is a RabbitMQ in memory, as far as errand uses one. Producers, workers and rpc run
// over it as they are: jobs go through the real delay ladder and the real dead-letter queues.
// It keeps no time of its own. In a testing/synctest bubble a day of backoff takes a
// millisecond, and is exact.
//
//   - [WantEnqueued], [WantDead]: what is in the broker; failures say what came near.
//     [Enqueued] and [Dead] return it.
//   - [Drain] works what is due, job by job, and tells the outcomes. [Run] works one job.
//   - [Serve] runs an rpc server and returns a client of it.
//   - [Recorder] is an Enqueuer alone, where a broker would be too much.
//   - [Broker.Inject], [Broker.Block], [Broker.Stop], [Conn.Cut] and [Conn.CutBefore] are
//     what may go wrong.
//   - [Conformance] is what Broker and RabbitMQ have in common, case by case.
//
// It does not imitate what errand does not use: streams, transactions, consumer priorities,
// policies, permissions. A delivery may stay unanswered for ever. Where versions of RabbitMQ differ it does as 4.3 does with
// priorities, and counts deliveries as 4.0 does. It says nothing of speed, and a confirm
// comes at once: what several nodes do to each other only several nodes show.
//
// docs/how-to/testing.md shows its use.
package jobtest
