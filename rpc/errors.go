package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// What callers branch on, beside [Error], context.DeadlineExceeded and context.Canceled.
var (
	// ErrNoServer: no queue takes the method's requests. A server that stops leaves its queue
	// behind for ten minutes, in which requests wait for the next one.
	ErrNoServer = errors.New("rpc: no server")
	// ErrInterrupted: the connection was lost, or the server died, while the call was on its
	// way. It may have been run. Methods that are declared [Idempotent] are called again instead.
	ErrInterrupted = errors.New("rpc: interrupted, the call may have been run")
	// ErrClosed: the Client was closed, or the broker.Conn under it.
	ErrClosed = errors.New("rpc: client closed")
	// ErrInvalid is wrapped by errors about a method's definition, and about requests that
	// can't be sent: then nothing was.
	ErrInvalid = errors.New("rpc: invalid")
	// ErrShutdown is the cause of a handler's context that was cut off by the end of its
	// server's Grace.
	ErrShutdown = errors.New("rpc: server shuts down")
	// ErrCallerGone is the cause of a handler's context whose caller has stopped waiting.
	ErrCallerGone = errors.New("rpc: caller is gone")
)

// Code is the kind of an [Error]. The set is closed: what a program does not know it reads as
// Internal.
type Code string

// The codes.
const (
	InvalidRequest   Code = "invalid_request"   // the request makes no sense, now or later
	NotFound         Code = "not_found"         // what the request names is not there
	AlreadyExists    Code = "already_exists"    // what it would make is there
	Conflict         Code = "conflict"          // it does not fit the state of things
	PermissionDenied Code = "permission_denied" // the caller may not
	Unavailable      Code = "unavailable"       // not now: trying later may help
	DeadlineExceeded Code = "deadline_exceeded" // the caller's deadline, or the server's limit
	Canceled         Code = "canceled"          // somebody has given up on the call
	Unimplemented    Code = "unimplemented"     // the server does not know the method
	Interrupted      Code = "interrupted"       // the server died; see ErrInterrupted
	Internal         Code = "internal"          // the server's own trouble
)

func (c Code) known() bool {
	switch c {
	case InvalidRequest, NotFound, AlreadyExists, Conflict, PermissionDenied, Unavailable,
		DeadlineExceeded, Canceled, Unimplemented, Interrupted, Internal:
		return true
	}
	return false
}

// Error is a failure that crosses the wire. A handler that returns one, wrapped or not, lets
// its caller know Code and Message; of any other error the caller learns only that it was
// [Internal]. The error of a call that the handler itself has made is an Error as well: passed
// on, it tells the caller what was meant for the handler. errors.Is(err, ErrInterrupted),
// context.DeadlineExceeded and context.Canceled hold for the codes of these names.
type Error struct {
	Code    Code
	Message string // for people; cut at 1 KiB on the wire
}

// Errorf makes an Error. The text is for the caller to read: %w has no meaning in it.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Error is the code and the message.
func (e *Error) Error() string {
	if e.Message == "" {
		return "rpc: " + string(e.Code)
	}
	return fmt.Sprintf("rpc: %s: %s", e.Code, e.Message)
}

// Is makes the codes that have a Go error of their own match it.
func (e *Error) Is(target error) bool {
	switch e.Code {
	case Interrupted:
		return target == ErrInterrupted
	case DeadlineExceeded:
		return target == context.DeadlineExceeded
	case Canceled:
		return target == context.Canceled
	}
	return false
}

// maxMessage is how much of a message crosses the wire, in bytes.
const maxMessage = 1 << 10

// outward is what the caller may know of err.
func outward(err error) *Error {
	e, ok := errors.AsType[*Error](err)
	switch {
	case ok && e != nil && e.Code.known():
		return &Error{e.Code, cut(e.Message)}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{DeadlineExceeded, "the handler's time was up"}
	case errors.Is(err, context.Canceled):
		return &Error{Canceled, "the handler's context was cancelled"}
	}
	return &Error{Internal, "the handler failed; its server's log says why"}
}

func cut(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	end := maxMessage
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// wireError is an Error as the body of a reply.
type wireError struct {
	Code    Code   `json:"code"`
	Message string `json:"message,omitempty"`
}

func (e *Error) body() []byte {
	body, err := json.Marshal(wireError(*e))
	if err != nil {
		panic(fmt.Sprintf("rpc: two strings do not encode: %v", err))
	}
	return body
}

// readError is the error of a reply whose header has code.
func readError(code string, body []byte) *Error {
	e := &Error{Code: Code(code)}
	var w wireError
	if json.Unmarshal(body, &w) == nil { // else there is only the code
		e.Message = cut(w.Message)
	}
	if !e.Code.known() {
		e.Code = Internal
	}
	return e
}

// PanicError is what a panic of a handler or middleware becomes on the server, in the log. The
// caller learns of it only as [Internal].
type PanicError struct {
	Value any    // what it panicked with
	Stack []byte // of the goroutine that panicked
}

// Error is the panic's value.
func (e *PanicError) Error() string { return fmt.Sprintf("rpc: handler panicked: %v", e.Value) }
