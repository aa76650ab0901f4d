package devserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
)

// containerDir is where a container's node has its files.
const containerDir = "/errand"

// containerScript is the container's first process. It runs the node and obeys orders that
// come by its input. When the input ends it ends, and the container with it.
//
// The input is a connection of our process to the engine, so it ends when our process does,
// in whatever way. When the node ends by itself, the container ends too.
const containerScript = `
PATH=/usr/lib/rabbitmq/bin:$PATH
cd ` + containerDir + ` || exit 1
trap 'exit 1' TERM
run() {
	rabbitmq-server
	test -f killed || kill -TERM 1
}
run &
while read -r order; do
	case $order in
	kill) touch killed; kill -KILL "$(cat broker.pid)"; wait ;;
	start) rm -f killed; run & ;;
	esac
done
exit 0
`

const (
	orderKill  = "kill\n"
	orderStart = "start\n"
)

// tether is our end of a container's input and output.
type tether struct {
	conn client.HijackedResponse
	done chan struct{} // closed when the container has ended
	log  *head
}

// attach must come before the container is started: one that never had an input does not
// notice its end.
func attach(ctx context.Context, e engine, container string) (*tether, error) {
	attached, err := e.ContainerAttach(ctx, container, client.ContainerAttachOptions{
		Stream: true, Stdin: true, Stdout: true, Stderr: true,
	})
	if err != nil {
		return nil, fmt.Errorf("attach to the container: %w", err)
	}
	t := &tether{conn: attached.HijackedResponse, done: make(chan struct{}), log: &head{}}
	go func() { // ends with the connection, which close closes
		defer close(t.done)
		_, _ = stdcopy.StdCopy(t.log, t.log, t.conn.Reader) // an error is the end
	}()
	return t, nil
}

func (t *tether) order(order string) error {
	if _, err := io.WriteString(t.conn.Conn, order); err != nil {
		return fmt.Errorf("send an order to the container: %w", err)
	}
	return nil
}

func (t *tether) alive() error {
	select {
	case <-t.done:
		return errors.New("the container ended")
	default:
		return nil
	}
}

// close ends the container and waits for our reader of its output.
func (t *tether) close() {
	t.conn.Close()
	<-t.done
}

// head keeps the beginning of what is written to it: enough for a node's start, and no more
// however long the node runs.
type head struct {
	mu   sync.Mutex
	text strings.Builder
}

const headSize = 256 << 10

// Write implements [io.Writer].
func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text.Write(p[:min(len(p), headSize-h.text.Len())])
	return len(p), nil
}

func (h *head) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text.Reset()
}

func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}
