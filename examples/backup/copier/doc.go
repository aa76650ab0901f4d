// Package copier is the worker's handler: it ties a job to the source, the store and the
// report that a waiting producer gets.
package copier
