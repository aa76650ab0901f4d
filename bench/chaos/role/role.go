package role

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/errandq/errand/bench/chaos/ledger"
	"github.com/errandq/errand/broker"
)

// Env is the environment variable that makes a process a role: it holds a [Config].
const Env = "ERRAND_CHAOS_ROLE"

// The roles.
const (
	Producer = "producer"
	Worker   = "worker"
	Caller   = "caller"
	Server   = "server"
)

// Config is what a role is told. Its commands come by lines of the standard input, and the
// input's end is its own: so none is left over.
type Config struct {
	Role string
	Name string // of the process; that of its ledger too
	URL  string
	Dir  string // of the ledgers
	Seed uint64
	Rate int           // jobs or calls a second
	Long time.Duration // how long a long job goes on unless its delivery is lost
	Big  int           // bytes of a job that the server refuses
}

// Commands that every role obeys, and those of producers.
const (
	Stop      = "stop"      // finish what is begun, and end
	Dump      = "dump"      // write the goroutines' stacks into the log
	SendLong  = KindLong    // enqueue a job that runs past the delivery timeout
	SendQuick = "quick"     // enqueue a quick one to the same queue
	SendLarge = KindRefused // enqueue one that the server refuses
	heartbeat = 2 * time.Second
	grace     = 5 * time.Second
	tolerance = 10 * time.Second // after a deadline; a process may be stopped for some of it
)

// Main is the main function of a process whose [Env] is raw. It returns the exit code.
func Main(raw string) int {
	var cfg Config
	if err := json.Unmarshal([]byte(raw), &cfg); err != nil {
		fmt.Fprintln(os.Stderr, "role:", err)
		return 2
	}
	if err := run(cfg, os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, cfg.Name+":", err)
		return 1
	}
	return 0
}

// A program is a running role.
type program struct {
	Config
	ledger   *ledger.Writer
	log      *slog.Logger
	commands chan string // without Stop
	soft     context.Context
	ctx      context.Context // ends with a failure only
	fail     context.CancelCauseFunc
}

var errOrphan = errors.New("the process that started it is gone")

func run(cfg Config, input io.Reader) (err error) {
	w, err := ledger.Create(cfg.Dir, cfg.Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	ctx, fail := context.WithCancelCause(context.Background())
	defer fail(nil)
	soft, stop := context.WithCancel(ctx)
	defer stop()
	p := &program{
		Config: cfg, ledger: w, commands: make(chan string, 16), soft: soft, ctx: ctx, fail: fail,
		log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	go p.listen(input, stop) // until the process ends: nothing ends a read of standard input

	conn, err := p.dial()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(p.observe)
	roles := map[string]func(*broker.Conn) error{
		Producer: p.produce, Worker: p.work, Caller: p.callAll, Server: p.serve,
	}
	if err := roles[cfg.Role](conn); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// listen takes commands.
func (p *program) listen(input io.Reader, stop func()) {
	lines := bufio.NewScanner(input)
	for lines.Scan() {
		switch lines.Text() {
		case Stop:
			stop()
		case Dump:
			p.dump()
		default:
			p.commands <- lines.Text()
		}
	}
	if p.soft.Err() == nil {
		p.fail(errOrphan)
	}
}

// dial waits for the server as long as it takes.
func (p *program) dial() (*broker.Conn, error) {
	for {
		conn, err := broker.Dial(p.soft, p.URL, broker.Config{Name: p.Name, Heartbeat: heartbeat, Logger: p.log})
		if err == nil || p.soft.Err() != nil {
			return conn, err
		}
		p.log.Warn("no server yet", "err", err)
	}
}

// dump writes what all goroutines do.
func (p *program) dump() {
	if err := pprof.Lookup("goroutine").WriteTo(os.Stderr, 1); err != nil {
		p.fail(err)
	}
}

// late runs f when something has not ended long after its deadline, unless it is stopped
// before. What keeps it is in the process's output then.
func (p *program) late(limit time.Duration, f func()) (stop func()) {
	t := time.AfterFunc(limit+tolerance, func() {
		f()
		p.dump()
	})
	return func() { t.Stop() }
}

// note writes an event. A ledger that can't be written makes the account wrong, so the
// process ends over it.
func (p *program) note(e ledger.Event) {
	if err := p.ledger.Write(e); err != nil {
		p.fail(err)
	}
}

// observe notes now and then what the process holds.
func (p *program) observe() {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		u := usage()
		p.note(ledger.Event{What: ledger.Self, Usage: &u})
		select {
		case <-tick.C:
		case <-p.soft.Done():
			return
		}
	}
}
