package integration_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// A worker whose permissions are taken away goes on trying, without haste, says why, and
// works again when it has them back.
func TestPermissionIsWithdrawn(t *testing.T) {
	t.Parallel()
	vhost := rabbit.URL(t)
	admin := newAdministrator(t, rabbit.Server(t).ManagementURL(), vhost)
	owner := dial(t, vhost)
	if err := owner.Declare(t.Context(), topology.Work("", "pdf")); err != nil {
		t.Fatal(err)
	}
	least := permissions{nothing, only(`errand\.(jobs|dead|delay\..*)`), only("pdf")}
	login := admin.user(least)
	p := newProxy(t, login)
	log, book := newLog()
	conn := dialWith(t, p.url, broker.Config{NoDeclare: true, Logger: log})
	w := worker.New(conn, worker.Config{Logger: log})
	var worked tally
	worker.Handle(w, render, worked.work)
	start(t, w)
	enqueue(t, owner, render.New(numbered{1}))
	eventually(t, "the first job", func() bool { return worked.has(1) })

	admin.permit(userOf(t, login), permissions{nothing, nothing, nothing})
	p.cut() // the server remembers what a channel may do
	enqueue(t, owner, render.New(numbered{2}))
	why := func() []string { return book.lines("consuming interrupted", "ACCESS_REFUSED", "'pdf'") }
	eventually(t, "the reason in the log", func() bool { return len(why()) > 0 })
	before := time.Now()
	eventually(t, "five attempts", func() bool { return len(why()) >= 5 })
	if took := time.Since(before); took < 500*time.Millisecond {
		t.Errorf("five attempts in %v, want pauses between them", took)
	}
	if worked.has(2) {
		t.Error("the job was worked without permission")
	}
	admin.permit(userOf(t, login), least)
	eventually(t, "the second job", func() bool { return worked.has(2) })
}

// A call that may be made again is not, where that is no use: it says at once what is in the
// way.
func TestIdempotentCallWithoutPermission(t *testing.T) {
	t.Parallel()
	vhost := rabbit.URL(t)
	admin := newAdministrator(t, rabbit.Server(t).ManagementURL(), vhost)
	log, book := newLog()
	conn := dialWith(t, admin.user(permissions{only(`amq\.gen-.*`), nothing, only(`amq\.gen-.*`)}), broker.Config{Logger: log})
	c := newClient(t, conn, rpc.ClientConfig{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := add.Call(ctx, c, sum{1, 2})
	if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "ACCESS_REFUSED") || !strings.Contains(err.Error(), "'amq.default'") {
		t.Errorf("got %v, want at once that access to amq.default was refused", err)
	}
	if n := len(book.lines("consuming interrupted")); n > 5 {
		t.Errorf("it was tried %d times, want no more than once or twice", n)
	}
}
