package rpc

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/errandq/errand/codec"
	"github.com/errandq/errand/topology"
)

// DefaultTimeout is how long a call takes at most whose caller set no deadline and whose
// method none either, and how long a server works on a request without one.
const DefaultTimeout = 30 * time.Second

// A definition is what both sides know of a method.
type definition struct {
	name         string
	queue        string
	queueOptions []topology.Option
	codec        codec.Codec
	timeout      time.Duration
	idempotent   bool
	stream       bool
	err          error // the first mistake
}

// An Option says something about a method.
type Option func(*definition)

// Queue sends the method's requests to the named queue instead of one named like the method.
// Methods that share a queue share its servers: all of them have to handle each. Options say
// how it is declared; the one that matters here is topology.Existing().
func Queue(name string, opts ...topology.Option) Option {
	return func(d *definition) { d.queue, d.queueOptions = name, opts }
}

// Codec turns requests and responses into bytes and back. The default is codec.JSON. Nil is
// a mistake.
func Codec(c codec.Codec) Option { return func(d *definition) { d.codec = c } }

// Timeout is how long a call takes at most whose caller set no deadline. The default is
// [DefaultTimeout]. It must be positive.
func Timeout(t time.Duration) Option { return func(d *definition) { d.timeout = t } }

// Idempotent says that running a request twice does no more than running it once. Calls are
// then sent again when a connection is lost, and run again when their server died; otherwise
// they fail with [ErrInterrupted]. A request whose reply RabbitMQ refuses is run again and
// again, too, until its deadline: keep replies under broker.Config.MaxBody, and that under
// RabbitMQ's limit.
func Idempotent() Option { return func(d *definition) { d.idempotent = true } }

func define(name string, stream bool, opts []Option) *definition {
	d := &definition{name: name, queue: name, codec: codec.JSON, timeout: DefaultTimeout, stream: stream}
	for _, o := range opts {
		o(d)
	}
	d.err = d.check()
	return d
}

func (d *definition) check() error {
	switch {
	case d.name == "":
		return fmt.Errorf("%w: a method's name is empty", ErrInvalid)
	case len(d.name) > 255:
		return fmt.Errorf("%w: method %.40q… is %d bytes long, at most 255 are allowed", ErrInvalid, d.name, len(d.name))
	case strings.ContainsFunc(d.name, unicode.IsControl):
		return fmt.Errorf("%w: method %q: control characters are not allowed", ErrInvalid, d.name)
	case d.codec == nil:
		return fmt.Errorf("%w: method %q: the codec is nil", ErrInvalid, d.name)
	case d.timeout <= 0:
		return fmt.Errorf("%w: method %q: a timeout of %v is not positive", ErrInvalid, d.name, d.timeout)
	}
	if err := topology.CheckQueue(d.queue); err != nil {
		return fmt.Errorf("%w: method %q: %w", ErrInvalid, d.name, err)
	}
	return nil
}

// undefined is the definition of a zero Method or Stream.
func undefined() *definition {
	return &definition{err: fmt.Errorf("%w: the zero Method: use rpc.Define", ErrInvalid)}
}

// encode makes the request of a call.
func (d *definition) encode(c *Client, v any) (Request, error) {
	if d.err != nil {
		return Request{}, d.err
	}
	body, err := d.codec.Encode(v)
	if err != nil {
		return Request{}, fmt.Errorf("%w: method %q: %w", ErrInvalid, d.name, err)
	}
	return Request{ID: c.newID(), Method: d.name, Queue: d.queue, ContentType: d.codec.ContentType(), Body: body, def: d}, nil
}

// A Method is a function that another process runs: it takes a Req and returns a Resp. Make it
// with [Define] in a package that both sides import. It is safe for concurrent use.
type Method[Req, Resp any] struct{ def *definition }

// Define names a method. The name stands in every request, and is the name of its queue unless
// [Queue] says otherwise: choose it once. It is 1 to 255 bytes, 180 as a queue's name, without
// control characters. A bad name or option is no panic here: it makes every call an error,
// and the server an error when it starts.
func Define[Req, Resp any](name string, opts ...Option) Method[Req, Resp] {
	return Method[Req, Resp]{define(name, false, opts)}
}

func (m Method[Req, Resp]) definition() *definition {
	if m.def == nil {
		return undefined()
	}
	return m.def
}

// Name is the method's name.
func (m Method[Req, Resp]) Name() string { return m.definition().name }

// Call has a server run the method and returns what it came to. It waits until ctx ends, at
// most for the method's [Timeout] if ctx has no deadline, also for a connection that is
// being made again. When the wait is over the handler's context is cancelled.
//
// The error is an [*Error] if the server sent it. It wraps context.DeadlineExceeded or
// context.Canceled, [ErrNoServer], [ErrInterrupted], [ErrClosed], [ErrInvalid], or an error of
// package broker about a request that can't be sent, or about a reply queue that can't be
// made. A response that does not decode is an error of the codec.
func (m Method[Req, Resp]) Call(ctx context.Context, c *Client, req Req) (resp Resp, err error) {
	d := m.definition()
	r, err := d.encode(c, req)
	if err != nil {
		return resp, err
	}
	ctx, cancel := d.deadline(ctx)
	defer cancel()
	raw, err := c.handler(ctx, r)
	if err != nil {
		return resp, callError(d.name, err)
	}
	if err := d.codec.Decode(raw.ContentType, raw.Body, &resp); err != nil {
		return resp, fmt.Errorf("rpc: call %s: the response: %w", d.name, err)
	}
	return resp, nil
}

// deadline is ctx with the method's own timeout, unless it has a deadline already.
func (d *definition) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d.timeout)
}

func callError(method string, err error) error {
	return fmt.Errorf("rpc: call %s: %w", method, err)
}

// Handle says that fn runs method m. The server consumes the method's queue, and declares
// it. Handle must not be called once Run was; two handlers for one method, and a nil one,
// panic. fn is called from many goroutines at once; its context ends with the caller's
// deadline, when the caller stops waiting, and at the end of the server's Grace.
func Handle[Req, Resp any](s *Server, m Method[Req, Resp], fn func(context.Context, Req) (Resp, error)) {
	d := m.definition()
	if fn == nil {
		panic(fmt.Sprintf("rpc: Handle: nil handler for method %q", d.name))
	}
	s.handle(d, func(ctx context.Context, r Request) (Response, error) {
		var req Req
		if err := d.codec.Decode(r.ContentType, r.Body, &req); err != nil {
			return Response{}, &undecodable{err}
		}
		resp, err := fn(ctx, req)
		if err != nil {
			return Response{}, err
		}
		return d.response(resp)
	})
}

// response encodes what a handler returned.
func (d *definition) response(v any) (Response, error) {
	body, err := d.codec.Encode(v)
	if err != nil {
		return Response{}, fmt.Errorf("rpc: method %s: the response: %w", d.name, err)
	}
	return Response{ContentType: d.codec.ContentType(), Body: body}, nil
}

// undecodable is a request that the method's codec does not read. The caller is told that,
// and not how it was read: the text names the server's own types.
type undecodable struct{ err error }

func (e *undecodable) Error() string { return e.err.Error() }
func (e *undecodable) Unwrap() []error {
	return []error{e.err, &Error{InvalidRequest, "the body does not decode as the method's request"}}
}
