package group

import (
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// A Dialect is the SQL that a database understands. This package brings no driver: any for
// database/sql will do.
type Dialect string

// The dialects. An SQLite file wants a busy timeout, which is the driver's business, and one
// connection a process, by db.SetMaxOpenConns(1): without, its writers meet conflicts all the
// time. MySQL is MariaDB, too.
const (
	SQLite     Dialect = "sqlite"
	PostgreSQL Dialect = "postgresql"
	MySQL      Dialect = "mysql"
)

func (d Dialect) known() bool { return slices.Contains([]Dialect{SQLite, PostgreSQL, MySQL}, d) }

// tables are the statements that make the tables. Names are bytes, because what else databases
// have for text takes A for a, or refuses what is no UTF-8.
func (d Dialect) tables() []string {
	name, end := "BLOB", ""
	switch d {
	case PostgreSQL:
		name = "BYTEA"
	case MySQL:
		name, end = "VARBINARY("+strconv.Itoa(maxName)+")", " ENGINE=InnoDB"
	}
	return []string{
		`CREATE TABLE IF NOT EXISTS errand_groups (
			id          ` + name + ` NOT NULL PRIMARY KEY,
			size        BIGINT NOT NULL,
			done        BIGINT NOT NULL,
			last_member ` + name + ` NULL,
			recorded_at BIGINT NOT NULL
		)` + end,
		`CREATE TABLE IF NOT EXISTS errand_group_members (
			group_id ` + name + ` NOT NULL,
			member   ` + name + ` NOT NULL,
			PRIMARY KEY (group_id, member)
		)` + end,
	}
}

// lockGroup makes the group's row, or writes to it: either way it is locked until the
// transaction's end. Reading it first would let two transactions in.
func (d Dialect) lockGroup() string {
	insert := "INSERT INTO errand_groups (id, size, done, recorded_at) VALUES (?, ?, 0, ?) "
	if d == MySQL {
		return insert + "ON DUPLICATE KEY UPDATE recorded_at = ?"
	}
	return insert + "ON CONFLICT (id) DO UPDATE SET recorded_at = ?"
}

const (
	readGroup = `SELECT g.size, g.done, g.last_member, m.member FROM errand_groups g
		LEFT JOIN errand_group_members m ON m.group_id = g.id AND m.member = ? WHERE g.id = ?`
	addMember     = "INSERT INTO errand_group_members (group_id, member) VALUES (?, ?)"
	countMember   = "UPDATE errand_groups SET size = ?, done = ? WHERE id = ?"
	dropMembers   = "DELETE FROM errand_group_members WHERE group_id = ?"
	completeGroup = "UPDATE errand_groups SET size = ?, done = ?, last_member = ? WHERE id = ?"
	pruneGroups   = "DELETE FROM errand_groups WHERE last_member IS NOT NULL AND recorded_at < ?"
)

// bind writes the places of arguments as the dialect does.
func (d Dialect) bind(statement string) string {
	if d != PostgreSQL {
		return statement
	}
	parts := strings.Split(statement, "?")
	var b strings.Builder
	for i, part := range parts[:len(parts)-1] {
		b.WriteString(part)
		b.WriteString("$" + strconv.Itoa(i+1))
	}
	return b.String() + parts[len(parts)-1]
}

// isolation is the level that suffices once the group's row is locked: each statement sees
// what others have committed before it. Higher ones have more conflicts. SQLite has but one.
func (d Dialect) isolation() *sql.TxOptions {
	if d == SQLite {
		return nil
	}
	return &sql.TxOptions{Isolation: sql.LevelReadCommitted}
}

// conflict reports whether err is about other transactions, so that the same may succeed the
// next time. Drivers have no form in common for it; the texts are the databases' own.
func (d Dialect) conflict(err error) bool {
	text := err.Error()
	switch d {
	case PostgreSQL:
		// serialization failure, deadlock, lock timeout; and the three things that CREATE TABLE
		// IF NOT EXISTS may say when another session is making the same table
		states := []string{"40001", "40P01", "55P03", "23505", "42710", "42P07"}
		e, ok := errors.AsType[stateError](err)
		return ok && slices.Contains(states, e.SQLState())
	case MySQL:
		return strings.Contains(text, "Error 1213") || strings.Contains(text, "Error 1205") // deadlock, lock timeout
	default:
		return strings.Contains(text, "database is locked") || strings.Contains(text, "table is locked")
	}
}

// stateError is what the errors of PostgreSQL's drivers are.
type stateError interface {
	error
	SQLState() string
}
