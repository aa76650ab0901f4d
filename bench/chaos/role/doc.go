// Package role holds the programs that a run of chaos kills, stops and cuts off: producers,
// workers, callers and servers. Each runs in a process of its own, connects through a proxy
// of its own, and writes what happens into a ledger of its own.
package role
