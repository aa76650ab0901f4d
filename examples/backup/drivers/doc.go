// Package drivers opens the place where copies are kept, by name.
//
// It is a package of its own because the clients of three clouds come with it: whoever
// imports package store alone doesn't wait for them to compile.
package drivers
