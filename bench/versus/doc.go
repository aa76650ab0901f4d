// Command versus measures errand, amqp091-go by hand and other Go libraries for jobs beside
// each other, in one run. See bench/README.md.
//
// It is a module of its own, so that what the others need does not become a dependency of
// errand.
package main
