package ledger_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/errandq/errand/examples/archive/ledger"
)

// patience is how long a server may take to start or to stop.
const patience = time.Minute

// A server is a database server of the test's own: own data, own port.
type server struct {
	t      *testing.T
	dir    string              // its data, inside
	port   string              // on the loopback interface
	socket string              // in which directory it may make one
	as     *syscall.Credential // nil: the test's own user
}

// newServer skips the test if the programs are not installed. account is the user that the server runs as if the test is root's.
func newServer(t *testing.T, programs []string, account string) *server {
	t.Helper()
	if testing.Short() {
		t.Skip("a database server is started, which -short leaves out")
	}
	for _, name := range programs {
		if find(name) == "" {
			t.Skipf("%s is not installed: this database is not tested", name)
		}
	}
	// Not the test's directory, whose name may be too long for a socket's.
	dir, err := os.MkdirTemp("", "errand-ledger-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s := &server{t: t, dir: filepath.Join(dir, "data"), port: freePort(t), socket: dir}
	if os.Getuid() != 0 {
		return s
	}
	u, err := user.Lookup(account)
	if err != nil {
		t.Skipf("root can't run this server, and there is no user %s: %v", account, err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		t.Fatalf("user %s: %v, %v", account, err1, err2)
	}
	s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
	return s
}

// find returns the path of a program. Debian keeps PostgreSQL's out of the way.
func find(name string) string {
	beside, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err == nil && len(beside) > 0 {
		return beside[len(beside)-1]
	}
	for _, dir := range []string{"", "/usr/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return ""
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (s *server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, find(name), args...)
	cmd.Dir = s.socket
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	return cmd
}

// prepare runs a program to its end.
func (s *server) prepare(name string, args ...string) {
	s.t.Helper()
	if out, err := s.command(s.t.Context(), name, args...).CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// run starts the server, until the test ends or stop is called, and waits until url can be opened.
func (s *server) run(url string, quit syscall.Signal, name string, args ...string) (stop func()) {
	s.t.Helper()
	var out bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	cmd := s.command(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(quit) }
	cmd.WaitDelay = patience
	if err := cmd.Start(); err != nil {
		cancel()
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // its exit code says nothing
	}()
	stop = func() {
		cancel()
		<-ended
	}
	s.t.Cleanup(stop)
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		l, err := ledger.Open(s.t.Context(), url)
		if err == nil {
			err = l.Close()
		}
		if err == nil {
			return stop
		}
		if time.Now().After(deadline) || closed(ended) {
			stop()
			s.t.Fatalf("%s does not answer: %v\n%s", name, err, out.String())
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// startPostgres returns the URL of a database, and how to take the server away.
func startPostgres(t *testing.T) (url string, stop func()) {
	t.Helper()
	s := newServer(t, []string{"initdb", "postgres"}, "postgres")
	s.prepare("initdb", "-D", s.dir, "-U", "errand", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
	url = fmt.Sprintf("postgres://errand:secret@127.0.0.1:%s/postgres?sslmode=disable", s.port)
	return url, s.run(url, syscall.SIGINT, "postgres", "-D", s.dir, "-p", s.port, "-h", "127.0.0.1", "-k", s.socket)
}

// startMySQL is startPostgres for MariaDB.
func startMySQL(t *testing.T) (url string, stop func()) {
	t.Helper()
	s := newServer(t, []string{"mariadb-install-db", "mariadbd"}, "mysql")
	s.prepare("mariadb-install-db", "--no-defaults", "--datadir="+s.dir, "--auth-root-authentication-method=normal")
	script := filepath.Join(s.socket, "init.sql")
	grant := "CREATE DATABASE shop;\nCREATE USER errand@'127.0.0.1' IDENTIFIED BY 'secret';\nGRANT ALL ON shop.* TO errand@'127.0.0.1';\n"
	if err := os.WriteFile(script, []byte(grant), 0o644); err != nil {
		t.Fatal(err)
	}
	url = fmt.Sprintf("mysql://errand:secret@127.0.0.1:%s/shop", s.port)
	return url, s.run(url, syscall.SIGTERM, "mariadbd", "--no-defaults", "--datadir="+s.dir, "--port="+s.port,
		"--bind-address=127.0.0.1", "--skip-name-resolve", "--socket="+filepath.Join(s.socket, "s"),
		"--pid-file="+filepath.Join(s.socket, "pid"), "--init-file="+script)
}
