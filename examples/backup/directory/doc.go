// Package directory makes a directory a store.
//
// Files on their way into it are kept in its tmp/ until they are complete, because a rename
// is atomic only within one file system. There they do no harm if a worker is killed, and a
// later one removes them.
package directory
