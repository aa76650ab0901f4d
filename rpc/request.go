package rpc

import (
	"context"
	"fmt"
	"strings"
)

// A Request is a call before its arguments are decoded, as middleware sees it.
type Request struct {
	// ID is unique to the call, and the same when it is sent again. A foreign caller may have
	// given none.
	ID          string
	Method      string
	Queue       string
	ContentType string
	// Headers are free, but for names that begin with errand-, CC and BCC. On the caller's
	// side middleware may add to them, in a map of its own.
	Headers map[string]any
	Body    []byte
	// Redelivered says that the request was handed out before, to a server that died or gave it
	// back: it may have been run. It means nothing in a Client.
	Redelivered bool

	def *definition
	// items takes the items of a stream: on the server it sends them, in the client it hands
	// them to the caller. Nil for a method with one reply.
	items func(context.Context, Response) error
}

// A Response is the result of a call, or one item of a stream, before it is decoded.
type Response struct {
	ContentType string
	// Headers are as free as those of a Request. A server does not send the others.
	Headers map[string]any
	Body    []byte
}

// A Handler answers a request. In a [Server] it runs the method; in a [Client] it is the call
// itself. The Response of a stream is empty, and comes when the stream has ended.
type Handler func(ctx context.Context, r Request) (Response, error)

// Middleware wraps a Handler, on either side: it may look at the request and the response,
// change the context and the error, or not call the handler at all. It passes on the Request
// that it was given, changed or not, and never makes one of its own.
type Middleware func(Handler) Handler

// chain wraps h, the first of ms outermost.
func chain(ms []Middleware, h Handler) Handler {
	for i := len(ms) - 1; i >= 0; i-- {
		h = ms[i](h)
	}
	return h
}

// requestKey is the context key of the running request.
type requestKey struct{}

// RequestFrom returns the request that the handler with this context is answering. ok is
// false outside of a handler.
func RequestFrom(ctx context.Context) (r Request, ok bool) {
	p, ok := ctx.Value(requestKey{}).(*Request)
	if !ok {
		return Request{}, false
	}
	return *p, true
}

// isReserved reports whether a header means something to errand, or to RabbitMQ itself: it
// sends copies to the queues in CC and BCC.
func isReserved(name string) bool {
	return strings.HasPrefix(name, prefix) || name == "CC" || name == "BCC"
}

// checkHeaders finds headers that would mean something to errand or to RabbitMQ itself.
func checkHeaders(headers map[string]any) error {
	for name := range headers {
		if isReserved(name) {
			return fmt.Errorf("%w: header %.100q: names that begin with %s, CC and BCC are reserved", ErrInvalid, name, prefix)
		}
	}
	return nil
}
