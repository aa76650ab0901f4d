package job

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/errandq/errand/broker"
)

// Headers of the wire form, version 1. See docs/explanation/wire.md.
const (
	prefix          = "errand-"
	headerAttempt   = prefix + "attempt"
	headerCrashes   = prefix + "crashes"
	headerNotBefore = prefix + "not-before"
	headerExpiresAt = prefix + "expires-at"
	headerError     = prefix + "error"
	headerFailedAt  = prefix + "failed-at"
	headerReason    = prefix + "reason"
	headerExchange  = prefix + "exchange" // of an event, in what is sent to one queue again
	headerKey       = prefix + "key"
)

// MaxError is how many bytes of an error's text a job carries.
const MaxError = 1 << 10

// maxAttempt keeps a hostile attempt number from overflowing anybody's arithmetic.
const maxAttempt = 1 << 30

// ErrMalformed is wrapped by the errors of [Parse].
var ErrMalformed = errors.New("job: malformed message")

// Message is the job in its wire form, without an address: a [Sender] adds that.
func (j Job) Message() broker.Message {
	return broker.Message{
		ID:          j.ID,
		Type:        j.Kind,
		ContentType: j.ContentType,
		AppID:       j.AppID,
		Timestamp:   j.CreatedAt,
		Priority:    j.Priority,
		Headers:     j.wireHeaders(),
		Body:        j.Body,
	}
}

func (j Job) wireHeaders() map[string]any {
	again := j.Exchange != "" && !j.Published()
	own := j.Attempt > 1 || j.Crashes > 0 || !j.NotBefore.IsZero() || !j.ExpiresAt.IsZero() || j.Failure != nil || j.Group != nil || again
	if !own {
		return j.Headers
	}
	h := make(map[string]any, len(j.Headers)+8)
	for name, value := range j.Headers {
		h[name] = value
	}
	if again {
		h[headerExchange], h[headerKey] = j.Exchange, j.Key
	}
	if j.Group != nil {
		j.Group.write(h)
	}
	if j.Attempt > 1 {
		h[headerAttempt] = int64(j.Attempt)
	}
	if j.Crashes > 0 {
		h[headerCrashes] = int64(j.Crashes)
	}
	if !j.NotBefore.IsZero() {
		h[headerNotBefore] = j.NotBefore.UnixMilli()
	}
	if !j.ExpiresAt.IsZero() {
		h[headerExpiresAt] = j.ExpiresAt.UnixMilli()
	}
	if f := j.Failure; f != nil {
		h[headerError] = cut(f.Error)
		if !f.At.IsZero() {
			h[headerFailedAt] = f.At.UnixMilli()
		}
		if f.Reason != "" {
			h[headerReason] = string(f.Reason)
		}
	}
	return h
}

// cut shortens an error's text to MaxError bytes of valid UTF-8.
func cut(text string) string {
	text = strings.ToValidUTF8(text, "�")
	if len(text) <= MaxError {
		return text
	}
	end := MaxError
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// Parse reads a message of the wire form. It takes any message that has a type and sane
// headers, whoever sent it: what is missing has the defaults of the wire form, an empty ID
// among them. The Queue is empty, because a message does not say it: see [Job.On]. What is wrong is an error that wraps [ErrMalformed]; the Job then still holds
// what could be read, enough to put the message aside. It never panics.
func Parse(m broker.Message) (Job, error) {
	j := Job{
		ID:          m.ID,
		Kind:        m.Type,
		ContentType: m.ContentType,
		Body:        m.Body,
		Priority:    m.Priority,
		AppID:       m.AppID,
		CreatedAt:   m.Timestamp,
		Attempt:     1,
	}
	j.Headers = userHeaders(m.Headers)
	r := reader{headers: m.Headers}
	if n, ok := r.integer(headerAttempt); ok {
		if n < 1 || n > maxAttempt {
			r.failf("header %s is %d, want 1 to %d", headerAttempt, n, maxAttempt)
		} else {
			j.Attempt = int(n)
		}
	}
	if n, ok := r.integer(headerCrashes); ok {
		if n < 0 || n > maxAttempt {
			r.failf("header %s is %d, want 0 to %d", headerCrashes, n, maxAttempt)
		} else {
			j.Crashes = int(n)
		}
	}
	j.NotBefore = r.time(headerNotBefore)
	j.ExpiresAt = r.time(headerExpiresAt)
	j.Exchange, _ = r.text(headerExchange)
	j.Key, _ = r.text(headerKey)
	if text, ok := r.text(headerError); ok {
		reason, _ := r.text(headerReason)
		j.Failure = &Failure{Error: cut(text), At: r.time(headerFailedAt), Reason: Reason(reason)}
	}
	j.Group = r.membership()
	if reason, ok := r.text(broker.Unreadable); ok {
		r.failf("its headers can't be read: %s", reason)
	}
	if m.Type == "" {
		r.failf("no type")
	}
	return j, r.err
}

// userHeaders is headers without ours and the broker's own. Those must not be sent again:
// up to 3.13 RabbitMQ believes an x-death that it is sent, and drops the message as one that
// goes in circles.
func userHeaders(headers map[string]any) map[string]any {
	reserved := 0
	for name := range headers {
		if isReserved(name) {
			reserved++
		}
	}
	if reserved == 0 {
		return headers
	}
	if reserved == len(headers) {
		return nil
	}
	own := make(map[string]any, len(headers)-reserved)
	for name, value := range headers {
		if !isReserved(name) {
			own[name] = value
		}
	}
	return own
}

// A reader reads headers and keeps the first error.
type reader struct {
	headers map[string]any
	err     error
}

func (r *reader) failf(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
}

func (r *reader) integer(name string) (int64, bool) {
	v := r.headers[name]
	n, ok := broker.Integer(v)
	if !ok && v != nil {
		r.failf("header %s is a %T, want an integer", name, v)
	}
	return n, ok
}

// maxMillis is the end of the year 9999, beyond which times have no common form.
const maxMillis = 253402300799999

func (r *reader) time(name string) time.Time {
	ms, ok := r.integer(name)
	if !ok {
		return time.Time{}
	}
	if ms < 0 || ms > maxMillis {
		r.failf("header %s is %d, want milliseconds since 1970", name, ms)
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

func (r *reader) text(name string) (string, bool) {
	switch v := r.headers[name].(type) {
	case nil:
		return "", false
	case string:
		return v, true
	case []byte:
		return string(v), true
	default:
		r.failf("header %s is a %T, want a string", name, v)
		return "", false
	}
}
