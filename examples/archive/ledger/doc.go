// Package ledger keeps orders in a relational database, a row each, by database/sql.
//
// The ID of the event is the primary key, and a row that is there already is left alone: what is inserted twice is there once. Rows are
// inserted many at a time by one statement, which is one transaction: all are there, on disk, or none.
package ledger
