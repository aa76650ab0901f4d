// Package tally counts what becomes of the files of one run.
//
// A [Tally] is told which files are sent off and, in any order and any number of times,
// what workers report of them; it adds up what is known so far ([Tally.Snapshot]), says
// when everything is known ([Tally.Done]), and sums up ([Tally.Summary]).
package tally
