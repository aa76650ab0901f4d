// Package progress shows how far a backup is: a bar on a terminal, now and then a line
// anywhere else, as a log file wants it.
package progress
