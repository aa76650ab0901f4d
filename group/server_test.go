//go:build unix

package group_test

import (
	"database/sql"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver
	_ "github.com/jackc/pgx/v5/stdlib" // the driver

	"github.com/errandq/errand/group"
)

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	initdb := program(t, "initdb", "/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql*/bin")
	postgres := filepath.Join(filepath.Dir(initdb), "postgres")
	p := newPrivate(t)
	data := filepath.Join(p.dir, "data")
	p.run(initdb, "-D", data, "-U", "errand", "-A", "trust", "-E", "UTF8", "--no-sync")
	p.serve("kill -QUIT", postgres, "-D", data, "-k", p.dir, "-c", "listen_addresses=", "-c", "fsync=off")
	url := func(database string) string { return "host=" + p.dir + " user=errand dbname=" + database }
	admin := open(t, "pgx", url("postgres"))
	await(t, p, admin)
	execute(t, admin, "CREATE DATABASE prune")

	// The first two processes have a default isolation that conflicts more often.
	serializable := 0
	stores := create(t, group.PostgreSQL, func() *sql.DB {
		dsn := url("postgres")
		if serializable < 2 {
			dsn += " default_transaction_isolation=serializable"
		}
		serializable++
		return open(t, "pgx", dsn)
	})
	testStore(t, stores...)
	testPrune(t, open(t, "pgx", url("prune")), group.PostgreSQL)
}

func TestMariaDB(t *testing.T) {
	t.Parallel()
	install := program(t, "mariadb-install-db", "/opt/homebrew/bin", "/usr/local/mysql/scripts")
	server := program(t, "mariadbd", "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")
	p := newPrivate(t)
	data, socket := filepath.Join(p.dir, "data"), filepath.Join(p.dir, "socket")
	p.run(install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	p.serve("kill -KILL", server, "--no-defaults", "--datadir="+data, "--socket="+socket, "--skip-networking",
		"--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M")
	url := func(database string) string { return "root@unix(" + socket + ")/" + database }
	admin := open(t, "mysql", url(""))
	await(t, p, admin)
	execute(t, admin, "CREATE DATABASE groups_test")
	execute(t, admin, "CREATE DATABASE prune")

	stores := create(t, group.MySQL, func() *sql.DB { return open(t, "mysql", url("groups_test")) })
	testStore(t, stores...)
	testPrune(t, open(t, "mysql", url("prune")), group.MySQL)
}

// program finds an executable in PATH or in the directories, or skips the test.
func program(t *testing.T, name string, dirs ...string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("a database server is started, which -short leaves out")
	}
	if path, err := exec.LookPath(name); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return path
		}
	}
	for _, dir := range dirs {
		found, err := filepath.Glob(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 {
			return found[len(found)-1]
		}
	}
	t.Skipf("%s is not installed, so this database is not tested here", name)
	return ""
}

// A private is a directory in which a database server of the test's own lives. It listens on
// a socket there and nowhere else.
type private struct {
	t    *testing.T
	dir  string
	as   *syscall.SysProcAttr // database servers refuse to run as root
	done chan struct{}        // closed when the server has ended
	log  string
}

func newPrivate(t *testing.T) *private {
	t.Helper()
	// Not t.TempDir: the name of a socket has at most 108 bytes, and the other user must be
	// able to go there.
	dir, err := os.MkdirTemp("", "errand-db-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	p := &private{t: t, dir: dir, done: make(chan struct{}), log: filepath.Join(dir, "log")}
	if os.Getuid() != 0 {
		return p
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skipf("we are root, and there is no user that a database server can run as: %v", err)
	}
	uid, err1 := strconv.Atoi(nobody.Uid)
	gid, err2 := strconv.Atoi(nobody.Gid)
	if err := errors.Join(err1, err2, os.Chown(dir, uid, gid)); err != nil {
		t.Fatal(err)
	}
	p.as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return p
}

func (p *private) command(args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.SysProcAttr = p.dir, p.as
	cmd.Env = append(os.Environ(), "HOME="+p.dir)
	return cmd
}

func (p *private) run(args ...string) {
	p.t.Helper()
	if out, err := p.command(args...).CombinedOutput(); err != nil {
		p.t.Fatalf("%q: %v\n%s", args, err, out)
	}
}

// serve runs a server until the test ends. The shell before it ends it as soon as our end of
// the pipe is closed, which it is however our process ends.
func (p *private) serve(kill string, args ...string) {
	p.t.Helper()
	cmd := p.command(append([]string{"/bin/sh", "-c", `"$@" </dev/null & cat >/dev/null; ` + kill + ` $!; wait`, "sh"}, args...)...)
	input, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	log, err := os.Create(p.log)
	if err != nil {
		p.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // it is killed
	}()
	p.t.Cleanup(func() { p.end(input, log) })
}

func (p *private) end(input, log io.Closer) {
	if err := input.Close(); err != nil {
		p.t.Error(err)
	}
	<-p.done
	if err := log.Close(); err != nil {
		p.t.Error(err)
	}
}

// await returns when the server answers.
func await(t *testing.T, p *private, db *sql.DB) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := db.PingContext(t.Context())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(p.log)
			t.Fatalf("the server does not answer: %v\n%s", err, text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
