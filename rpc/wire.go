package rpc

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"math"
	"strings"
	"time"

	"github.com/errandq/errand/broker"
)

// appID is the app_id of requests whose caller knows this wire form, which is described in
// docs/explanation/wire.md.
const appID = "errand"

// Headers. Most calls have none, because RabbitMQ pays for the table (decision 26).
const (
	prefix        = "errand-"
	headerCredit  = prefix + "credit"  // how many items of a stream the caller takes in advance
	headerCode    = prefix + "code"    // of an error
	headerReply   = prefix + "reply"   // what a reply is, unless it is the result
	headerControl = prefix + "control" // where the caller can send a word about a running call
	headerAgain   = prefix + "again"   // how often a reply was sent again, because no queue took it
	headerSeq     = prefix + "seq"     // number of an item, from 1; in a credit, how many are taken
)

// What replies are: values of headerReply.
const (
	replyStarted = "started" // the call runs; it names the control queue
	replyItem    = "item"    // of a stream
	replyEnd     = "end"     // of a stream, with the number of items
)

// What callers tell a running call: types of messages to its control queue.
const (
	typeCancel = prefix + "cancel"
	typeCredit = prefix + "credit"
)

// directReplyTo is RabbitMQ's name for a queue that is none: replies go straight to the
// channel that consumes from it. What a server gets as reply_to has more behind it.
const directReplyTo = "amq.rabbitmq.reply-to"

// isReplyQueue reports whether replies may be sent to a queue. A reply_to is somebody
// else's word: without this rule it could put replies into a job queue.
func isReplyQueue(name string) bool {
	if len(name) > 255 {
		return false
	}
	if address, direct := strings.CutPrefix(name, directReplyTo+"."); direct {
		return isDirect(address)
	}
	return strings.HasPrefix(name, "amq.gen-") || strings.HasPrefix(name, "errand.reply.")
}

// isDirect reports whether RabbitMQ can have made an address of direct reply-to: an Erlang
// process ID in base64, a dot, and a key. RabbitMQ 3.10 cuts the connection of whoever sends
// a reply to anything else, and the request would come again and cut the next one.
func isDirect(address string) bool {
	process, key, ok := strings.Cut(address, ".")
	if !ok || key == "" {
		return false
	}
	id, err := base64.StdEncoding.Strict().DecodeString(process)
	return err == nil && isProcess(id)
}

// isProcess reports whether b is a process ID in Erlang's external term format: a version, a
// tag, the node's name with its own tag and length, and numbers.
func isProcess(b []byte) bool {
	if len(b) < 5 || b[0] != 131 {
		return false
	}
	var head, name, numbers int
	switch b[1] {
	case 88: // NEW_PID_EXT
		numbers = 12
	case 103: // PID_EXT
		numbers = 9
	default:
		return false
	}
	switch b[2] {
	case 115, 119: // SMALL_ATOM_EXT, SMALL_ATOM_UTF8_EXT
		head, name = 4, int(b[3])
	case 100, 118: // ATOM_EXT, ATOM_UTF8_EXT
		head, name = 5, int(binary.BigEndian.Uint16(b[3:]))
	default:
		return false
	}
	return name > 0 && len(b) == head+name+numbers
}

// maxExpiration is RabbitMQ's limit for an expiration, in milliseconds.
const maxExpiration = math.MaxUint32

// message is r on its way from a caller who takes replies with that correlation ID at address
// until deadline.
func (r *Request) message(correlation, address string, deadline, now time.Time) (broker.Message, error) {
	if err := checkHeaders(r.Headers); err != nil {
		return broker.Message{}, err
	}
	headers := maps.Clone(r.Headers)
	if r.items != nil {
		if headers == nil {
			headers = make(map[string]any, 1)
		}
		headers[headerCredit] = int64(window)
	}
	// A timestamp has whole seconds, so the expiration begins with the second too: their sum is the
	// deadline. RabbitMQ keeps the request so much longer; servers don't run it.
	sent := now.Truncate(time.Second)
	wait := max(deadline.Sub(sent), time.Millisecond) // never none, which would mean for ever
	return broker.Message{
		Key:           r.Queue,
		ID:            r.ID,
		Type:          r.Method,
		ContentType:   r.ContentType,
		AppID:         appID,
		CorrelationID: correlation,
		ReplyTo:       address,
		Timestamp:     sent,
		Expiration:    min(wait, maxExpiration*time.Millisecond),
		Transient:     true,
		Headers:       headers,
		Body:          r.Body,
	}, nil
}

// An incoming is a request as a server reads it. Everything in it is somebody else's word.
type incoming struct {
	Request
	correlation string
	replyTo     string
	deadline    time.Time // zero: it names none
	credit      int64     // of a stream
	// known says that the caller knows this wire form: it can be told more than the result, and
	// tells when it has stopped waiting. It has a deadline.
	known bool
}

// readRequest reads a request that came at now.
func readRequest(m *broker.Message, now time.Time) incoming {
	in := incoming{
		Request:     Request{ID: m.ID, Method: m.Type, ContentType: m.ContentType, Body: m.Body, Headers: m.Headers},
		correlation: m.CorrelationID,
		replyTo:     m.ReplyTo,
	}
	if in.ID == "" {
		in.ID = m.CorrelationID
	}
	if m.Expiration > 0 {
		in.deadline = now.Add(m.Expiration)
	}
	in.known = m.AppID == appID && in.correlation != "" && m.Expiration > 0
	if in.known && !m.Timestamp.IsZero() {
		// The earlier of the two, in case that the caller's clock is ahead of ours.
		if t := m.Timestamp.Add(m.Expiration); t.Before(in.deadline) {
			in.deadline = t
		}
	}
	in.credit, _ = broker.Integer(m.Headers[headerCredit])
	if !in.known {
		in.ContentType = foreignType(in.ContentType)
	}
	return in
}

// foreignType is a content type as a codec should see it. Plain text is what programs say that
// don't care, those of RabbitMQ's Go tutorial among them: it counts as no type.
func foreignType(contentType string) string {
	if media, _, _ := strings.Cut(contentType, ";"); strings.TrimSpace(media) == "text/plain" {
		return ""
	}
	return contentType
}

// reply is the message that answers in.
func (in *incoming) reply(r Response, headers map[string]any) broker.Message {
	for name, value := range r.Headers {
		if isReserved(name) {
			continue
		}
		if headers == nil {
			headers = make(map[string]any, len(r.Headers))
		}
		headers[name] = value
	}
	return broker.Message{
		Key:           in.replyTo,
		CorrelationID: in.correlation,
		ContentType:   r.ContentType,
		Transient:     true,
		// Until 4.1 RabbitMQ returns every direct reply, from then on none: so it tells nothing.
		Optional: strings.HasPrefix(in.replyTo, directReplyTo),
		Headers:  headers,
		Body:     r.Body,
	}
}

// failure is the reply that says e.
func (in *incoming) failure(e *Error) broker.Message {
	return in.reply(Response{ContentType: "application/json", Body: e.body()}, map[string]any{headerCode: string(e.Code)})
}

// A reply is a message to a caller.
type reply struct {
	kind     string // of headerReply; empty: the result
	seq      int64
	control  string // empty unless it is a queue that one may send to
	response Response
	err      error
}

func readReply(m *broker.Message) reply {
	r := reply{response: Response{ContentType: foreignType(m.ContentType), Headers: m.Headers, Body: m.Body}}
	if len(m.Headers) == 0 {
		return r
	}
	r.kind, _ = m.Headers[headerReply].(string)
	r.seq, _ = broker.Integer(m.Headers[headerSeq])
	if control, _ := m.Headers[headerControl].(string); isReplyQueue(control) {
		r.control = control
	}
	if _, unreadable := m.Headers[broker.Unreadable]; unreadable {
		r.kind = ""
		r.err = &Error{Internal, "the headers of the reply can't be read"}
	}
	if value, failed := m.Headers[headerCode]; failed {
		code, _ := value.(string) // else it is none that we know
		r.kind = ""
		r.err = readError(code, m.Body)
	}
	return r
}

// control is a word to the running call id.
func control(queue, kind, id string, headers map[string]any) broker.Message {
	return broker.Message{Key: queue, CorrelationID: id, Type: kind, Transient: true, Optional: true, Headers: headers}
}

// ended is why ctx has ended: its error, and its cause if that says more.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == err {
		return err
	}
	return &endedError{err, cause}
}

type endedError struct{ err, cause error }

func (e *endedError) Error() string   { return e.err.Error() + ": " + e.cause.Error() }
func (e *endedError) Unwrap() []error { return []error{e.err, e.cause} }
