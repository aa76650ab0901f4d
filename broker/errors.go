package broker

import (
	"errors"
	"fmt"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// What callers branch on. All but [ErrUnconfirmed] and [ErrDeliveryLost] mean that the
// broker certainly has not accepted the message.
var (
	// ErrUnroutable: no queue is bound where the message was sent, or the exchange is missing.
	ErrUnroutable = errors.New("broker: unroutable")
	// ErrNacked: the broker refused the message, because its queue is full or failing.
	ErrNacked = errors.New("broker: refused by the queue")
	// ErrTooLarge: the body or the headers are over the limit.
	ErrTooLarge = errors.New("broker: too large")
	// ErrInvalid: the message can't be written in AMQP at all.
	ErrInvalid = errors.New("broker: invalid message")
	// ErrForbidden: the user may not write to the exchange.
	ErrForbidden = errors.New("broker: not permitted")
	// ErrBlocked: the broker is out of memory or disk and has stopped taking messages.
	ErrBlocked = errors.New("broker: blocked by the server")
	// ErrNotConnected: there was no connection until the context ended.
	ErrNotConnected = errors.New("broker: not connected")
	// ErrClosed: the Conn was closed by its owner.
	ErrClosed = errors.New("broker: closed")
	// ErrUnconfirmed: the message was sent, and the context ended before the broker's answer.
	// The broker may have it. Sending it again with the same ID is safe if its consumer
	// tells duplicates by the ID.
	ErrUnconfirmed = errors.New("broker: sent, not confirmed")
	// ErrDeliveryLost: the channel that the delivery came on is gone, and with it the right to
	// answer it. The broker gives the message to another consumer.
	ErrDeliveryLost = errors.New("broker: delivery lost")
	// ErrRefused: the server closed the channel over something that was sent on it: too large
	// for the server, say, or not permitted. It does not say over what.
	ErrRefused = errors.New("broker: channel closed by the server over what was sent on it")
	// ErrAnswered: the delivery has been answered before.
	ErrAnswered = errors.New("broker: delivery already answered")
)

// A PublishError tells which message could not be published, and why.
type PublishError struct {
	ID       string // the message's
	Exchange string
	Key      string
	Err      error // wraps one of the package's sentinels
}

// Error names the message, where it was sent, and the cause.
func (e *PublishError) Error() string {
	return fmt.Sprintf("publish %s to exchange %q with key %.100q: %v", e.ID, e.Exchange, e.Key, e.Err)
}

// Unwrap returns the cause.
func (e *PublishError) Unwrap() error { return e.Err }

// Failures returns what Publish's error says of each message that failed.
func Failures(err error) []*PublishError {
	if e, ok := err.(*PublishError); ok {
		return []*PublishError{e}
	}
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		return Failures(u.Unwrap())
	case interface{ Unwrap() []error }:
		var all []*PublishError
		for _, e := range u.Unwrap() {
			all = append(all, Failures(e)...)
		}
		return all
	}
	return nil
}

// A DeclareError tells what could not be declared, and what to do about it.
type DeclareError struct {
	Object string // the declaration, as package topology prints it
	Err    error
}

// Error names the object, the server's words, and the way out if there is one.
func (e *DeclareError) Error() string {
	text := fmt.Sprintf("broker: declare %s: %v", e.Object, e.Err)
	switch code(e.Err) {
	case amqp.PreconditionFailed:
		text += " (it exists with other properties: delete it once it is empty, or use it as it is with topology.Existing())"
	case amqp.AccessRefused:
		text += " (the user lacks the permission: have an administrator declare it, and set broker.Config.NoDeclare)"
	}
	return text
}

// Unwrap returns the cause.
func (e *DeclareError) Unwrap() error { return e.Err }

// A DialError tells which endpoint could not be reached, and why, without the password.
type DialError struct {
	Endpoint string // scheme, host, port and virtual host
	Err      error
	hint     string
	// believe is how often Dial sees the error before it takes it for final: once for a wrong
	// password. Zero means that it never does.
	believe int
}

// Error names the endpoint, the cause and what to look at.
func (e *DialError) Error() string {
	text := fmt.Sprintf("broker: dial %s: %v", e.Endpoint, e.Err)
	if e.hint != "" {
		text += " (" + e.hint + ")"
	}
	return text
}

// Unwrap returns the cause.
func (e *DialError) Unwrap() error { return e.Err }

// code is the reply code of the server in err, or 0. The library gives codes to its own
// errors, too: a connection that was cut is a FrameError there.
func code(err error) int {
	if e, ok := errors.AsType[*amqp.Error](err); ok && e.Server {
		return e.Code
	}
	return 0
}

// channelOnly reports whether err closed a channel and left its connection alone.
func channelOnly(err error) bool {
	switch code(err) {
	case amqp.ContentTooLarge, amqp.NoRoute, amqp.NoConsumers, amqp.AccessRefused, amqp.NotFound,
		amqp.ResourceLocked, amqp.PreconditionFailed:
		return true
	}
	return false
}

// timedOut reports whether err closed a channel because a delivery stayed unanswered.
func timedOut(err error) bool {
	return code(err) == amqp.PreconditionFailed && strings.Contains(err.Error(), "delivery acknowledgement")
}

// protocolError reports whether the server closed the whole connection because of what it
// was sent.
func protocolError(err error) bool {
	switch code(err) {
	case amqp.FrameError, amqp.SyntaxError, amqp.CommandInvalid, amqp.UnexpectedFrame,
		amqp.NotAllowed, amqp.NotImplemented, amqp.InternalError:
		return true
	}
	return false
}
