// Package contest measures several ways to do the same work, in turns, on one machine and in
// one run.
//
// A contender is one way, such as a library with its settings. A work is what they are asked
// to do, such as enqueueing with 64 callers. A sample is one round of one contender at one
// work, made by a child process of its own, so that CPU and memory are of it alone. Each
// sample has an empty space of its own on its server.
//
// A command that measures calls Child first and Run then, with its contenders and servers:
// [Run] starts the command again for each sample, and that is what [Child] is for.
package contest
