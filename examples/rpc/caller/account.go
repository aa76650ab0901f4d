package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/errandq/errand/examples/rpc/prices"
	"github.com/errandq/errand/rpc"
)

// An account says what the calls have come to.
type account struct {
	Calls   int
	OK      int            // with the right price
	Refused int            // rightly
	Wrong   int            // with another answer than the right one
	Failed  int            // with any other error: these are lost
	Late    int            // replies to calls that were over, dropped by the client
	Servers map[string]int // quotes of each
	P50     time.Duration
	P99     time.Duration
	Max     time.Duration

	Days        int // of the history that have come, each once and in order
	Interrupted int // how often it was taken up again
}

// String is for people.
func (a account) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "calls    %d: %d ok, %d refused, %d wrong, %d failed; %d late replies dropped\n", a.Calls, a.OK, a.Refused, a.Wrong, a.Failed, a.Late)
	fmt.Fprintf(&b, "latency  p50 %v, p99 %v, max %v\n", a.P50, a.P99, a.Max)
	fmt.Fprintf(&b, "history  %d days, taken up again %d times\n", a.Days, a.Interrupted)
	for _, name := range slices.Sorted(maps.Keys(a.Servers)) {
		fmt.Fprintf(&b, "%-8s %d prices\n", name, a.Servers[name])
	}
	return b.String()
}

// A tally counts calls. It is safe for concurrent use.
type tally struct {
	mu      sync.Mutex
	account account
	times   []time.Duration
}

func newTally() *tally { return &tally{account: account{Servers: map[string]int{}}} }

// add counts the call for a basket. It returns the number of calls, and false if this one did not come to the right answer, which this
// caller knows, unlike a real one.
func (t *tally) add(b prices.Basket, q prices.Quote, err error, took time.Duration) (calls int, right bool) {
	want, wantErr := prices.Of(b)
	want.Server = q.Server
	refusal, answered := errors.AsType[*rpc.Error](err)

	t.mu.Lock()
	defer t.mu.Unlock()
	t.account.Calls++
	t.times = append(t.times, took)
	switch {
	case err == nil && wantErr == nil && q == want:
		t.account.OK++
		right = true
	case answered && wantErr != nil && refusal.Error() == wantErr.Error():
		t.account.Refused++
		right = true
	case err == nil:
		t.account.Wrong++
	default:
		t.account.Failed++
	}
	if err == nil {
		t.account.Servers[q.Server]++
	}
	return t.account.Calls, right
}

// day counts a day of the history.
func (t *tally) day() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.account.Days++
}

// interrupted counts that the history broke off.
func (t *tally) interrupted() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.account.Interrupted++
}

// soFar is what was counted.
func (t *tally) soFar() account {
	t.mu.Lock()
	a, times := t.account, slices.Clone(t.times)
	a.Servers = maps.Clone(a.Servers)
	t.mu.Unlock()
	slices.Sort(times)
	if n := len(times); n > 0 {
		a.P50, a.P99, a.Max = times[n/2], times[n*99/100], times[n-1]
	}
	return a
}
