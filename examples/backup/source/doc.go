// Package source reads the files that are to be backed up, and nothing else.
//
// A job names a root and a path below it, and a job may come from anybody who can write to
// the queue. [Roots] therefore says which roots a worker reads at all, and [Roots.Open]
// opens a path through [os.Root], so that neither "../" nor a symbolic link leads out.
//
// Its errors say whether another attempt can help: what is refused, forbidden or leads
// out of its root is permanent (see package retry), [ErrGone] is nothing to back up, and
// everything else, [ErrChanged] among it, is worth another attempt.
package source
