package integration_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/group"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// Environment of a process that [TestGroupWorkerProcess] is: what it works for, and where it
// dies by its own hand.
const (
	envGroupURL   = "ERRAND_TEST_GROUP_URL"
	envGroupDir   = "ERRAND_TEST_GROUP_DIR" // holds the store and the list of what was worked
	envGroupDeath = "ERRAND_TEST_GROUP_DEATH"
)

// Where a worker process of a group dies.
const (
	diesCounted  = "counted"  // the group was complete, and nothing has followed
	diesEnqueued = "enqueued" // what follows is enqueued, and the member was not acked
	diesKilled   = "killed"   // anywhere: the test kills it
)

type groupMember struct{ Group, Member int }

var (
	memberKind = job.Define[groupMember]("group.member", job.Queue("members"))
	wholeKind  = job.Define[numbered]("group.whole", job.Queue("wholes"))
)

// TestGroupWorkerProcess is not a test: with its environment set, the test binary is a worker
// of groups until it is killed.
func TestGroupWorkerProcess(t *testing.T) {
	url, dir := os.Getenv(envGroupURL), os.Getenv(envGroupDir)
	if url == "" {
		return
	}
	conn := dial(t, url)
	store := deadlyStore{group.NewSQL(openStore(t, dir), group.SQLite), os.Getenv(envGroupDeath) == diesCounted}
	enqueuer := deadlyEnqueuer{producer.New(conn, producer.Config{}), os.Getenv(envGroupDeath) == diesEnqueued}
	w := groupWorker(conn, dir, store, enqueuer)
	fmt.Println("working")
	t.Error(w.Run(t.Context()))
}

// groupWorker works members, and writes them into dir.
func groupWorker(conn *broker.Conn, dir string, s group.Store, e job.Enqueuer) *worker.Worker {
	w := worker.New(conn, worker.Config{Concurrency: 4, Logger: quiet, Middleware: []worker.Middleware{group.Count(s, e)}})
	worker.Handle(w, memberKind, func(_ context.Context, m groupMember) error {
		time.Sleep(10 * time.Millisecond) // the work
		return note(dir, m)
	})
	return w
}

// die is kill -9.
func die() {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(err)
	}
	select {}
}

type deadlyStore struct {
	group.Store
	deadly bool
}

// Done implements [group.Store].
func (s deadlyStore) Done(ctx context.Context, name string, size int, member string) (bool, error) {
	last, err := s.Store.Done(ctx, name, size, member)
	if last && s.deadly {
		die()
	}
	return last, err
}

type deadlyEnqueuer struct {
	job.Enqueuer
	deadly bool
}

// Enqueue implements [job.Enqueuer].
func (e deadlyEnqueuer) Enqueue(ctx context.Context, jobs ...job.Job) error {
	err := e.Enqueuer.Enqueue(ctx, jobs...)
	if err == nil && e.deadly {
		die()
	}
	return err
}

// openStore opens the database in dir, which several processes share, until the test ends.
func openStore(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "groups.db")+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// note adds a member to the list of what was worked.
func note(dir string, m groupMember) error {
	f, err := os.OpenFile(filepath.Join(dir, "worked"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(f, "%d %d\n", m.Group, m.Member); err != nil {
		return err
	}
	return f.Close()
}

// noted returns how often each member was worked.
func noted(dir string) (map[groupMember]int, error) {
	text, err := os.ReadFile(filepath.Join(dir, "worked"))
	if err != nil {
		return nil, err
	}
	times := map[groupMember]int{}
	for line := range strings.Lines(string(text)) {
		var m groupMember
		if _, err := fmt.Sscanf(line, "%d %d\n", &m.Group, &m.Member); err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
		times[m]++
	}
	return times, nil
}

// A groupProcess is a worker process that dies one of the deaths.
type groupProcess struct {
	death string
	cmd   *exec.Cmd
	done  chan struct{} // closed when it has ended
}

func startGroupProcess(t *testing.T, url, dir, death string) *groupProcess {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestGroupWorkerProcess$")
	cmd.Env = append(os.Environ(), envGroupURL+"="+url, envGroupDir+"="+dir, envGroupDeath+"="+death)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "working\n" {
		t.Errorf("the worker process said %q, %v", line, err)
	}
	p := &groupProcess{death, cmd, make(chan struct{})}
	go func() {
		_ = cmd.Wait() // it was killed
		close(p.done)
	}()
	return p
}

// kill ends the process, which may have ended by itself.
func (p *groupProcess) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// wholes counts what has followed on each group, and looks whether it came too early.
type wholes struct {
	dir string

	mu    sync.Mutex
	ids   map[int][]string // of each group
	early []string
}

func (c *wholes) work(ctx context.Context, n numbered) error {
	j, _ := worker.JobFrom(ctx)
	times, err := noted(c.dir)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids[n.N] = append(c.ids[n.N], j.ID)
	for m := range groupSize {
		if times[groupMember{n.N, m}] == 0 {
			c.early = append(c.early, fmt.Sprintf("group %d: what follows it came before member %d was done", n.N, m))
		}
	}
	return nil
}

func (c *wholes) groups() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ids)
}

func (c *wholes) runs() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ids := range c.ids {
		n += len(ids)
	}
	return n
}

const (
	groupCount = 40
	groupSize  = 5
)

// Three worker processes die again and again: of kill -9 wherever they are, and at the two
// points at which what follows a group could be lost or doubled.
func TestGroupsUnderKill(t *testing.T) {
	t.Parallel()
	url, dir := rabbit.URL(t), t.TempDir()
	conn := dial(t, url)
	if err := group.NewSQL(openStore(t, dir), group.SQLite).Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	ids := map[int]string{}
	for g := range groupCount {
		then := wholeKind.New(numbered{g})
		ids[g] = then.ID
		var members []job.Job
		for m := range groupSize {
			members = append(members, memberKind.New(groupMember{g, m}))
		}
		enqueue(t, conn, job.Group(then, members...)...)
	}
	followed := &wholes{dir: dir, ids: map[int][]string{}}
	w := newWorker(conn, 10)
	worker.Handle(w, wholeKind, followed.work)
	stop := start(t, w)

	deaths := workGroups(t, url, dir, func() bool { return followed.groups() == groupCount })
	// A process that dies after it has enqueued what follows leaves the member, whose next run
	// enqueues it again. That may take a while: suspects of killing workers are sent away.
	finishGroups(t, url, dir, func() bool { return followed.runs() >= groupCount+deaths[diesEnqueued] })
	r := dialRaw(t, url)
	eventually(t, "an end of what follows", func() bool { return r.ready("wholes") == 0 })
	stop()
	r.empty("members", "wholes", topology.DeadQueue("members"), topology.DeadQueue("wholes"))

	times, err := noted(dir)
	if err != nil {
		t.Fatal(err)
	}
	runs := 0
	for _, n := range times {
		runs += n
	}
	if len(times) != groupCount*groupSize {
		t.Errorf("%d members were worked, want %d", len(times), groupCount*groupSize)
	}
	for _, text := range followed.early {
		t.Error(text)
	}
	doubled := 0
	for g, id := range ids {
		got := followed.ids[g]
		doubled += len(got) - 1
		for _, other := range got {
			if other != id {
				t.Errorf("group %d: the job that followed has ID %s, want %s", g, other, id)
			}
		}
	}
	for _, death := range []string{diesCounted, diesEnqueued, diesKilled} {
		if deaths[death] == 0 {
			t.Errorf("no process has died %s: the test shows less than it should", death)
		}
	}
	t.Logf("deaths: %v; members run again: %d; duplicates of what follows: %d", deaths, runs-len(times), doubled)
}

// workGroups keeps three worker processes until over, and returns how many have died by each
// death before. After a while they are left in peace: RabbitMQ puts a job aside that has seen
// 20 deaths.
func workGroups(t *testing.T, url, dir string, over func() bool) (deaths map[string]int) {
	t.Helper()
	const most = 12
	deaths = map[string]int{}
	next := 0
	begin := func() *groupProcess {
		deadly := []string{diesCounted, diesEnqueued, diesKilled}
		death := ""
		if next < most {
			death = deadly[next%len(deadly)]
		}
		next++
		return startGroupProcess(t, url, dir, death)
	}
	processes := make([]*groupProcess, 3)
	for i := range processes {
		processes[i] = begin()
	}
	defer func() {
		for _, p := range processes {
			p.kill()
		}
	}()
	eventually(t, "what follows all groups", func() bool {
		for i, p := range processes {
			select {
			case <-p.done:
			case <-time.After(20 * time.Millisecond):
				if p.death != diesKilled {
					continue
				}
				p.kill()
			}
			deaths[p.death]++
			processes[i] = begin()
		}
		return over()
	})
	return deaths
}

// finishGroups works what the dead have left.
func finishGroups(t *testing.T, url, dir string, over func() bool) {
	t.Helper()
	conn := dial(t, url)
	w := groupWorker(conn, dir, group.NewSQL(openStore(t, dir), group.SQLite), producer.New(conn, producer.Config{}))
	stop := start(t, w)
	r := dialRaw(t, url)
	eventually(t, "an end of the members", func() bool {
		return over() && r.consumers("members") == 1 && r.ready("members") == 0 // the dead have given back theirs
	})
	stop()
}
