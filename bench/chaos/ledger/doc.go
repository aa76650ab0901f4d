// Package ledger keeps what happened, one event a line, in files that are only ever appended
// to. A process writes each event by a single call, so what it has written outlives its
// being killed, and a line is never half another's. Whoever keeps account follows the files
// while they grow.
package ledger
