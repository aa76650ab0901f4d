package jobtest

import (
	"testing"

	"github.com/errandq/errand/broker"
)

// Conformance tests what a broker must do, case by case, each a subtest with a broker that
// open makes or shares. Whatever implements [broker.Broker] has to pass; the cases of
// conversations are skipped for one that is no [broker.Converser].
//
// It declares exchanges and queues of names that nobody else has, and leaves them there, so
// give a real server a virtual host for it alone. It takes some seconds of real time: t.Run
// does not work in a testing/synctest bubble.
func Conformance(t *testing.T, open func(t *testing.T) broker.Broker) {
	t.Helper()
	for _, subject := range []struct {
		name  string
		cases []conformanceCase
	}{
		{"declare", declareCases()},
		{"route", routeCases()},
		{"publish", publishCases()},
		{"consume", consumeCases()},
		{"end", endCases()},
		{"redeliver", redeliverCases()},
		{"expire", expireCases()},
		{"deadletter", deadLetterCases()},
		{"limit", limitCases()},
		{"delay", delayCases()},
		{"converse", converseCases()},
	} {
		t.Run(subject.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range subject.cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.test(newTrial(t, open(t)))
				})
			}
		})
	}
}

// A conformanceCase is one thing that a broker must do.
type conformanceCase struct {
	name string
	test func(*trial)
}

// onBoth are two cases, one for each type of queue.
func onBoth(name string, test func(c *trial, queueType string)) []conformanceCase {
	return []conformanceCase{
		{name + "/classic", func(c *trial) { test(c, "classic") }},
		{name + "/quorum", func(c *trial) { test(c, "quorum") }},
	}
}
