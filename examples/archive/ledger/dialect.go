package ledger

import (
	"fmt"
	"strings"
)

// A dialect is what the databases don't agree on.
type dialect struct {
	create  string // the table
	ignore  string // what ends an insert that leaves rows alone that are there
	numbers bool   // placeholders are $1, $2 and so on, not ?
}

const columns = "event_id, number, customer, item, cents, placed_at"

// table makes the table of key type, text type and time type.
const table = `CREATE TABLE IF NOT EXISTS orders (
	event_id  %s PRIMARY KEY,
	number    BIGINT NOT NULL,
	customer  %[2]s NOT NULL,
	item      %[2]s NOT NULL,
	cents     BIGINT NOT NULL,
	placed_at %[3]s NOT NULL
)`

var sqlite = dialect{
	create: fmt.Sprintf(table, "TEXT", "TEXT", "TIMESTAMP"),
	ignore: "ON CONFLICT DO NOTHING",
}

var postgres = dialect{
	create:  fmt.Sprintf(table, "TEXT", "TEXT", "TIMESTAMPTZ"),
	ignore:  "ON CONFLICT DO NOTHING",
	numbers: true,
}

// mysql compares texts without regard to case and accents. IDs are bytes there, else two events would count as one. INSERT IGNORE would
// leave out duplicates as well, and cut texts that are too long without a word.
var mysql = dialect{
	create: fmt.Sprintf(table, "VARBINARY(255)", "TEXT CHARACTER SET utf8mb4", "DATETIME(6)"),
	ignore: "ON DUPLICATE KEY UPDATE event_id = event_id",
}

// insert is the statement for n rows.
func (d dialect) insert(n int) string {
	var b strings.Builder
	b.WriteString("INSERT INTO orders (" + columns + ") VALUES ")
	perRow := strings.Count(columns, ",") + 1
	for row := range n {
		for column := range perRow {
			b.WriteString(separator(row, column))
			if d.numbers {
				fmt.Fprintf(&b, "$%d", row*perRow+column+1)
			} else {
				b.WriteByte('?')
			}
		}
	}
	b.WriteString(") " + d.ignore)
	return b.String()
}

// separator is what stands before a placeholder.
func separator(row, column int) string {
	switch {
	case column > 0:
		return ", "
	case row > 0:
		return "), ("
	default:
		return "("
	}
}
