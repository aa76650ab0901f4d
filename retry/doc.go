// Package retry says when a failed job is tried again.
//
// A [Policy] turns "attempt n failed with err" into a delay, or into "give up".
// [Exponential] is the usual one, [Steps] lists the delays by hand, [Never] gives up at
// once, and [FromBackOff] takes any backoff of github.com/cenkalti/backoff/v4. All are
// stateless: one value serves any number of jobs and goroutines.
//
// Whether an error can be cured by trying again is said by the error itself:
// [Permanent] says that it can't, [After] says how long to wait at least.
package retry
