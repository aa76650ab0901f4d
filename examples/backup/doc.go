// Package backup names the jobs of the backup example: what its producer enqueues and its
// workers run.
//
//	producer/  walks a directory and enqueues a CopyFile job for each file
//	worker/    copies files to a store, and answers with Report jobs
//
// The parts are usable by themselves: source opens files that a job names without leaving
// their root, store copies them with proof, walk lists a tree, tally counts what became of
// each file, progress shows it.
package backup
