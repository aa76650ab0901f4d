// Package book keeps account of a run: from the events of the ledgers and from what is left
// in the queues at the end it tells what became of each job and call, and how long
// everything took to work again after a fault.
package book
