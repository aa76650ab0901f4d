package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/event"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/rpc"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
	amqp "github.com/rabbitmq/amqp091-go"
)

// meant are the headers that mean something to errand or to RabbitMQ.
var meant = []string{
	"errand-attempt", "errand-crashes", "errand-not-before", "errand-expires-at", "errand-error", "errand-failed-at",
	"errand-reason", "errand-exchange", "errand-key", "errand-group", "errand-group-size", "errand-group-then",
	"errand-credit", "errand-code", "errand-reply", "errand-control", "errand-seq", "errand-unknown",
	"x-death", "x-first-death-queue", "x-last-death-reason", "x-delivery-count", "x-acquired-count", "x-match",
	"traceparent", "", "\x00", strings.Repeat("n", 255),
}

// nested is a table in a table, that deep.
func nested(depth int) amqp.Table {
	t := amqp.Table{"end": int64(depth)}
	for range depth - 1 {
		t = amqp.Table{"t": t}
	}
	return t
}

// values are what the headers are given, of every type that there is and far out of range.
func values() map[string]any {
	vs := map[string]any{
		"minus one": int64(-1), "zero": int64(0), "most": int64(math.MaxInt64), "least": int64(math.MinInt64),
		"digits": "2", "empty": "", "no UTF-8": "\xff\xfe\x00", "text of 50 KB": strings.Repeat("x", 50_000),
		"no bytes": []byte{}, "bytes of 50 KB": bytes.Repeat([]byte{0xff}, 50_000),
		"deep table": nested(30), "empty list": []any{}, "list of nothing": make([]any, 1000), "deaths": forgedDeath("a", "b")["x-death"],
		"group": amqp.Table{"id": "g", "type": strings.Repeat("k", 1000), "queue": "errand.jobs", "body": strings.Repeat("x", 10_000), "headers": nested(20)},
	}
	wide := amqp.Table{}
	for i := range 3000 {
		wide[fmt.Sprint(i)] = nil
	}
	vs["wide table"] = wide
	for name, v := range exotic() {
		vs["exotic "+name] = v
	}
	return vs
}

// hostileHeaders has a message for each header and each value.
func hostileHeaders() (ps []amqp.Publishing) {
	for _, name := range meant {
		for what, v := range values() {
			headers := amqp.Table{name: v}
			switch name {
			case "errand-failed-at", "errand-reason":
				headers["errand-error"] = "x"
			case "errand-group-size", "errand-group-then":
				headers["errand-group"], headers["errand-group-size"] = "g", int64(2)
				headers[name] = v
			}
			ps = append(ps, amqp.Publishing{MessageId: name[:min(len(name), 20)] + " " + what, Headers: headers, Body: []byte(`{"N":1}`)})
		}
	}
	return ps
}

// hostileBodies has bodies of 0 to 1 MiB, most of which are no JSON, or not that of a number.
func hostileBodies() (ps []amqp.Publishing) {
	add := func(id, contentType string, body []byte) {
		ps = append(ps, amqp.Publishing{MessageId: id, ContentType: contentType, Body: body})
	}
	for size := 1; size <= 1<<20; size *= 4 {
		for what, s := range map[string]string{"zeros": "\x00", "lists": "[", "tables": `{"N":`, "quotes": `"`, "digits": "9", "no UTF-8": "\xff", "spaces": " "} {
			add(fmt.Sprintf("%d bytes of %s", size, what), "", []byte(strings.Repeat(s, size/len(s)+1)))
		}
		add(fmt.Sprintf("good, with %d bytes more", size), "", []byte(`{"N":1,"more":"`+strings.Repeat("x", size)+`"}`))
		add(fmt.Sprintf("good, in %d spaces", size), "", []byte(`{"N":1`+strings.Repeat(" ", size)+`}`))
	}
	for _, body := range []string{"", "null", "1", `"N"`, `{"N":1e999999}`, `{"N":9223372036854775808}`, `{"N":1.5}`, `{"N":1}{"N":2}`, `{"N":1}x`, `{"n":1,"N":2,"N":3}`, "\ufeff{}"} {
		add(fmt.Sprintf("body %.20q", body), "", []byte(body))
	}
	for _, contentType := range []string{"application/json; charset=utf-8", "application/x-java-serialized-object", ";", "\x00", strings.Repeat("c", 255)} {
		add(fmt.Sprintf("type %.20q", contentType), contentType, []byte(`{"N":1}`))
	}
	return ps
}

// hostile is all of it, under the names that a handler knows, none, and the longest.
func hostile(kinds ...string) (ps []amqp.Publishing) {
	for i, p := range append(hostileHeaders(), hostileBodies()...) {
		p.Type = kinds[i%len(kinds)]
		ps = append(ps, p)
	}
	for _, kind := range []string{"", strings.Repeat("k", 255), "\xff\x00", "*.#", "errand-cancel"} {
		ps = append(ps, amqp.Publishing{MessageId: fmt.Sprintf("kind %.20q", kind), Type: kind, Body: []byte(`{"N":1}`)})
	}
	for _, size := range []int{60_000, 70_000, 100_000, 125_000} { // the limit of a frame is 131072
		for _, kind := range kinds {
			ps = append(ps, amqp.Publishing{MessageId: fmt.Sprintf("headers of %d bytes", size), Type: kind, Headers: amqp.Table{"novel": strings.Repeat("x", size)}, Body: []byte(`{"N":1}`)})
			ps = append(ps, amqp.Publishing{MessageId: fmt.Sprintf("headers of %d bytes, no JSON", size), Type: kind, Headers: amqp.Table{"novel": strings.Repeat("x", size), "x-death": "x"}, Body: []byte(`{`)})
		}
	}
	return ps
}

// pour sends ps with confirms, a few at a time.
func (r *raw) pour(exchange, key string, ps []amqp.Publishing) {
	r.t.Helper()
	r.must(func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		closed := ch.NotifyClose(make(chan *amqp.Error, 1))
		for len(ps) > 0 {
			n := min(len(ps), 50)
			var waits []*amqp.DeferredConfirmation
			for _, p := range ps[:n] {
				dc, err := ch.PublishWithDeferredConfirm(exchange, key, true, false, p)
				if err != nil {
					return fmt.Errorf("%q: %w: %v", p.MessageId, err, <-closed)
				}
				waits = append(waits, dc)
			}
			for i, dc := range waits {
				if !dc.Wait() {
					return fmt.Errorf("message %q or one after it was refused: %v", ps[i].MessageId, <-closed)
				}
			}
			ps = ps[n:]
		}
		return nil
	})
}

// settled is how many deliveries have come to an end.
func settled(s worker.Stats) int64 {
	return s.Done + s.Retried + s.Dead + s.Dropped + s.Snoozed + s.Expired + s.Requeued + s.Lost
}

// memory is what the process has in use, garbage not counted.
func memory() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// What hostile producers send to a worker comes to an end with its first delivery, or after
// the retries that its handler asks for, and leaves nothing behind. It is not parallel,
// because it looks at the memory.
func TestHostileJobsEnd(t *testing.T) {
	url := rabbit.URL(t)
	conn := dial(t, url)
	r := dialRaw(t, url)
	w := worker.New(conn, worker.Config{Concurrency: 4, Retry: soon, Logger: quiet})
	var done atomic.Int64
	worker.Handle(w, job.Define[numbered]("good", job.Queue("pdf")), func(context.Context, numbered) error {
		done.Add(1)
		return nil
	})
	worker.Handle(w, job.Define[numbered]("bad", job.Queue("pdf")), func(context.Context, numbered) error { return errBoom })
	stop := start(t, w)
	r.awaitConsumer("pdf")
	before := memory()
	ps := hostile("good", "good", "good", "bad")
	r.pour("", "pdf", ps)
	wantSettled(t, r, w, "pdf", len(ps))
	stop()
	if after := memory(); after > before+32<<20 {
		t.Errorf("got %d MB in use after, %d MB before, want about as much", after>>20, before>>20)
	}
	s := w.Stats()
	if s.Requeued+s.Lost+s.Snoozed+s.Dropped+s.Panicked != 0 || s.Done != done.Load() {
		t.Errorf("got %+v and %d runs, want nothing requeued or lost", s, done.Load())
	}
	if n := conn.Status().Consume.Generation + conn.Status().Publish.Generation; n != 2 {
		t.Errorf("it took %d connections, want two", n)
	}
	wantAside(t, r, "pdf", s.Dead)
	t.Logf("%d messages: %+v", len(ps), s)
}

// wantSettled waits until n messages have come to an end, none of them by itself.
func wantSettled(t *testing.T, r *raw, w *worker.Worker, queue string, n int) {
	t.Helper()
	ended := func() int { // retries are deliveries of the same message
		s := w.Stats()
		return int(settled(s) - s.Retried)
	}
	eventually(t, fmt.Sprintf("the end of %d messages", n), func() bool { return ended() >= n-waiting(r) })
	silence := time.Now().Add(500 * time.Millisecond)
	for time.Now().Before(silence) {
		time.Sleep(20 * time.Millisecond)
	}
	if got := ended() + waiting(r); got != n {
		t.Errorf("%d messages came to an end, of %d: %+v", got, n, w.Stats())
	}
	r.empty(queue)
}

// waiting is how many jobs are on the longest way of the ladder: they asked for it.
func waiting(r *raw) int {
	if !r.exists("errand.delay.34") {
		return 0
	}
	return r.ready("errand.delay.34")
}

// wantAside wants that so many jobs were put aside, each with a reason.
func wantAside(t *testing.T, r *raw, queue string, n int64) {
	t.Helper()
	reasons := map[string]int{}
	for range n {
		m := r.await(topology.DeadQueue(queue))
		reason, _ := m.Headers["errand-reason"].(string)
		if reason == "" {
			reason, _ = m.Headers["x-first-death-reason"].(string)
		}
		if reason == "" && (strings.HasPrefix(m.ID, "headers of") || strings.HasPrefix(m.ID, "x-")) {
			reason = "rejected" // RabbitMQ says so, unless the sender has forged what it says
		}
		reasons[reason]++
	}
	for reason := range reasons {
		switch job.Reason(reason) {
		case job.Malformed, job.UnknownKind, job.Exhausted, job.Crashed, "rejected":
		default:
			t.Errorf("got reason %q, want malformed, unknown-kind, exhausted, crashed or rejected", reason)
		}
	}
	r.empty(topology.DeadQueue(queue))
	t.Logf("put aside: %v", reasons)
}

// The same for subscriptions to events.
func TestHostileEventsEnd(t *testing.T) {
	url := rabbit.URL(t)
	conn := dial(t, url)
	r := dialRaw(t, url)
	nothing := func(context.Context, numbered) error { return nil }
	durable := worker.New(conn, worker.Config{Concurrency: 4, Retry: soon, Logger: quiet})
	event.Subscribe(durable, orderPlaced, billing, nothing)
	temporary := worker.New(conn, worker.Config{Concurrency: 4, Logger: quiet})
	event.Subscribe(temporary, orderPlaced, event.Temporary(), nothing)
	stop := []func(){start(t, durable), start(t, temporary)}
	eventually(t, "both subscriptions", func() bool {
		publish(t, producer.New(dial(t, url), producer.Config{}), orderPlaced, numbered{1})
		return durable.Stats().Done > 0 && temporary.Stats().Done > 0
	})
	r.awaitConsumer("billing")
	before := memory()
	ps := hostile(orderPlaced.Name())
	eventually(t, "the end of the probes", func() bool { return r.ready("billing") == 0 && durable.Stats().Running == 0 })
	first, second := settled(durable.Stats()), settled(temporary.Stats())
	r.pour("order.placed", "", ps)
	wantSettled(t, r, durable, "billing", len(ps)+int(first))
	eventually(t, "the temporary subscription", func() bool { return settled(temporary.Stats()) >= second+int64(len(ps)) })
	for _, f := range stop {
		f()
	}
	if after := memory(); after > before+32<<20 {
		t.Errorf("got %d MB in use after, %d MB before, want about as much", after>>20, before>>20)
	}
	for _, w := range []*worker.Worker{durable, temporary} {
		if s := w.Stats(); s.Requeued+s.Lost+s.Snoozed+s.Retried+s.Panicked != 0 {
			t.Errorf("got %+v, want nothing requeued, lost or retried", s)
		}
	}
	if n := conn.Status().Consume.Generation + conn.Status().Publish.Generation; n != 2 {
		t.Errorf("it took %d connections, want two", n)
	}
	wantAside(t, r, "billing", durable.Stats().Dead)
	t.Logf("%d messages: %+v, %+v", len(ps), durable.Stats(), temporary.Stats())
}

// The same for calls: requests, words about running calls, and replies.
func TestHostileCallsEnd(t *testing.T) {
	url := rabbit.URL(t)
	admin := newAdministrator(t, rabbit.Server(t).ManagementURL(), url)
	server, caller := dial(t, url), dial(t, url)
	r := dialRaw(t, url)
	s := newRPC(server, rpc.ServerConfig{Concurrency: 4})
	rpc.Handle(s, thumbnail, func(_ context.Context, n numbered) (int, error) { return n.N, nil })
	serve(t, s)
	r.awaitConsumer(thumbnail.Name())
	c := newClient(t, caller, rpc.ClientConfig{})
	call := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if got, err := thumbnail.Call(ctx, c, numbered{7}); err != nil || got != 7 {
			t.Fatalf("got %d, %v for an honest caller, want 7", got, err)
		}
	}
	call()
	before := memory()
	replies := r.consume("errand.reply.hostile")
	ended := make(chan int, 1)
	go func() {
		n := 0
		for range replies {
			n++
		}
		ended <- n
	}()
	ps := hostile(thumbnail.Name())
	for i := range ps {
		ps[i].CorrelationId = fmt.Sprint(i)
		ps[i].ReplyTo = "errand.reply.hostile"
		if i%7 == 0 {
			ps[i].ReplyTo = "pdf.thumbnail"
		}
	}
	r.pour("", thumbnail.Name(), ps)
	total := func() uint64 {
		s := s.Stats()
		return s.Answered + s.Failed + s.Cancelled + s.Expired + s.Interrupted + s.Refused + s.Lost
	}
	eventually(t, "the end of all requests", func() bool { return total() >= uint64(len(ps)) })
	call()
	words := 0
	for _, name := range admin.names() {
		if strings.HasPrefix(name, "amq.gen-") {
			r.pour("", name, hostile("errand-cancel", "errand-credit"))
			words++
		}
	}
	if words != 2 {
		t.Errorf("found %d queues for words and replies, want two", words)
	}
	eventually(t, "all stray replies", func() bool { return c.Stats().Late > 0 && c.Stats().Waiting == 0 })
	call()
	if after := memory(); after > before+32<<20 {
		t.Errorf("got %d MB in use after, %d MB before, want about as much", after>>20, before>>20)
	}
	if got, want := total(), uint64(len(ps))+3; got != want || s.Stats().Lost+s.Stats().Interrupted != 0 {
		t.Errorf("got %+v, %d requests, want each of %d once", s.Stats(), got, want)
	}
	for _, conn := range []*broker.Conn{server, caller} {
		if n := conn.Status().Publish.Generation; n != 1 {
			t.Errorf("it took %d connections, want one", n)
		}
	}
	r.empty(thumbnail.Name())
	t.Logf("%d requests: %+v, %+v", len(ps), s.Stats(), c.Stats())
	r.close()
	if n := receive(t, "the end of the replies", ended); n == 0 {
		t.Error("got no reply at all")
	}
}
