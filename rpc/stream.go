package rpc

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// window is how many items of a stream may be on their way to a caller that has not taken
// them. It bounds the memory of a slow one.
const window = 32

// A Stream is a method that sends many replies: the progress of a long job, the parts of
// something large. Make it with [DefineStream].
type Stream[Req, Item any] struct{ def *definition }

// DefineStream is [Define] for a Stream. The [Timeout] is for all of it.
func DefineStream[Req, Item any](name string, opts ...Option) Stream[Req, Item] {
	return Stream[Req, Item]{define(name, true, opts)}
}

func (s Stream[Req, Item]) definition() *definition {
	if s.def == nil {
		return undefined()
	}
	return s.def
}

// Name is the stream's name.
func (s Stream[Req, Item]) Name() string { return s.definition().name }

// Call has a server run the stream, when the iterator that it returns is ranged over, each
// time anew. The iterator yields the items in the order they were sent. The server waits
// when the loop is 32 items behind, and its handler's context is cancelled when the loop is
// left. An error is yielded last, with a zero item; it is one of those of [Method.Call].
// A stream that has yielded an item is not called again when the connection is lost,
// whatever it was declared as.
func (s Stream[Req, Item]) Call(ctx context.Context, c *Client, req Req) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		err := s.call(ctx, c, req, yield)
		if err != nil && !errors.Is(err, errLeft) {
			var none Item
			yield(none, err)
		}
	}
}

// errLeft: the caller has left the loop.
var errLeft = errors.New("rpc: caller has left the stream")

func (s Stream[Req, Item]) call(ctx context.Context, c *Client, req Req, yield func(Item, error) bool) error {
	d := s.definition()
	r, err := d.encode(c, req)
	if err != nil {
		return err
	}
	ctx, cancel := d.deadline(ctx)
	defer cancel()
	left := false
	r.items = func(_ context.Context, raw Response) error {
		var item Item
		if err := d.codec.Decode(raw.ContentType, raw.Body, &item); err != nil {
			return fmt.Errorf("rpc: call %s: an item: %w", d.name, err)
		}
		if !yield(item, nil) {
			left = true
			return errLeft
		}
		return nil
	}
	_, err = c.handler(ctx, r)
	switch {
	case left:
		return errLeft // whatever middleware makes of it, yield must not be called again
	case err != nil:
		return callError(d.name, err)
	}
	return nil
}

// takeItems hands the items of a stream to its caller until the end.
func (l *line) takeItems(ctx context.Context, r *Request, id string, c *call) error {
	defer l.cancel(id) // also if the caller's loop panics; nothing once the stream has ended
	credited := int64(0)
	for seq := int64(1); ; seq++ {
		rep, err := l.next(ctx, id, c)
		switch {
		case err == errLost && seq > 1:
			return l.interrupted()
		case err != nil:
			return err
		case rep.err != nil:
			return rep.err
		case rep.kind == "":
			return &Error{Internal, "the server answers with a single reply, not with a stream"}
		case rep.kind == replyEnd && rep.seq == seq-1:
			return nil
		case rep.kind != replyItem || rep.seq != seq:
			return fmt.Errorf("%w: item %d of the stream is missing", ErrInterrupted, seq)
		}
		if err := r.items(ctx, rep.response); err != nil {
			return err
		}
		if seq-credited >= window/2 {
			credited = seq
			l.credit(ctx, id, seq)
		}
	}
}

// credit tells the server that the caller has taken seq items.
func (l *line) credit(ctx context.Context, id string, seq int64) {
	l.mu.Lock()
	queue := ""
	if c := l.calls[id]; c != nil {
		queue = c.control
	}
	l.mu.Unlock()
	if queue != "" {
		l.tell(ctx, control(queue, typeCredit, id, map[string]any{headerSeq: seq}))
	}
}

// HandleStream says that fn runs stream s: it sends items by send, in turn, from one
// goroutine. send waits while the caller is behind, and returns an error when the context
// has ended, which fn should return. The rest is as with [Handle].
func HandleStream[Req, Item any](s *Server, m Stream[Req, Item], fn func(ctx context.Context, req Req, send func(Item) error) error) {
	d := m.definition()
	if fn == nil {
		panic(fmt.Sprintf("rpc: HandleStream: nil handler for stream %q", d.name))
	}
	s.handle(d, func(ctx context.Context, r Request) (Response, error) {
		var req Req
		if err := d.codec.Decode(r.ContentType, r.Body, &req); err != nil {
			return Response{}, &undecodable{err}
		}
		return Response{}, fn(ctx, req, func(item Item) error {
			raw, err := d.response(item)
			if err != nil {
				return err
			}
			return r.items(ctx, raw)
		})
	})
}
