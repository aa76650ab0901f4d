// Package group counts the jobs of a group, which job.Group makes, and enqueues the job that
// follows when all of them are done.
//
//	store := group.NewSQL(db, group.PostgreSQL)
//	w := worker.New(conn, worker.Config{
//		Middleware: []worker.Middleware{group.Count(store, producer.New(conn, producer.Config{}))},
//	})
//
// The workers of all members' queues count, in one [Store]: [SQL] keeps the counts in a
// database that they share, [Memory] in the one process that runs all of them.
//
// Each member is counted once, by its job ID, however often it runs. The job that follows is
// enqueued by the member that completes the group, and only by that one. If its worker dies
// on the way, the same member is delivered again, and enqueues it again: so it is never
// missing, and a duplicate of it has the same ID, the group's.
//
// A member that fails for good, or that expires, keeps its group waiting.
package group
