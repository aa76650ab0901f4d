//go:build unix

package devserver

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"
)

// watchScript waits for the end of its input, whose other end only our process holds, and
// which therefore comes when our process ends in whatever way. Then it kills the process
// groups whose leaders' ids are in the directory, and removes it.
//
// The directory is renamed first: a process that is about to be launched can't write its
// id any more, and does not start. Removing is tried for a while because a killed process
// may take a moment to let go.
const watchScript = `
trap '' HUP INT QUIT TERM
while read -r line; do :; done
gone="$1.gone"
mv "$1" "$gone" || gone="$1"
for file in "$gone"/*.pid; do
	test -f "$file" && kill -KILL "-$(cat "$file")"
done
tries=0
until rm -rf "$gone"; do
	tries=$((tries + 1))
	test "$tries" -lt 50 || exit 1
	sleep 0.1
done
`

// watchdog is a process that cleans up after ours.
type watchdog struct {
	pipe io.WriteCloser
	done chan struct{} // closed when it has ended
	dir  string
}

func startWatchdog(dir string) (*watchdog, error) {
	cmd := exec.Command("/bin/sh", "-c", watchScript, "errand-watchdog", dir)
	cmd.Dir = "/"
	// A session of its own: what ends our terminal or our process group must not end it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start watchdog: %w", err)
	}
	w := &watchdog{pipe: pipe, done: make(chan struct{}), dir: dir}
	go func() { // ends with the process, for which stop waits
		// Holding w here also keeps the pipe from being closed by the garbage collector,
		// which would end the server of a program that has dropped its *Server.
		defer close(w.done)
		_ = cmd.Wait() // what it could not do, stop finds out
	}()
	return w, nil
}

// stop lets it do its work and returns when that is done.
func (w *watchdog) stop() error {
	_ = w.pipe.Close() // closed already, if it died
	select {
	case <-w.done:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("watchdog: %s.gone is not removed after 10 s: remove it by hand", w.dir)
	}
}
